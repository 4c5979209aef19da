"""An activation is read from wherever it is written, with its parameters."""

from __future__ import annotations

from typing import Any

import pytest
import sympy as sp

import analysis
import tinygrad_edu as tg
from analysis.errors import InputError, UnknownActivation, UnsupportedActivation
from analysis.symbolic.namespace import exact, symbolic
from analysis.symbolic.reading import X, read
from tinygrad_edu import nn, ops


def formula(name: str, **parameters: Any) -> sp.Expr:
    return exact(ops.TABLE[name].rule(symbolic, X, **parameters))


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("leaky_relu", formula("leaky_relu")),
        ("LeakyReLU", formula("leaky_relu")),
        ("linear", X),
        (ops.tanh, sp.tanh(X)),
        (tg.gelu, formula("gelu")),
        (nn.ReLU(), formula("relu")),
        (nn.LeakyReLU(0.2), formula("leaky_relu", negative_slope=0.2)),
        (nn.Hardtanh(-2.0, 2.0), formula("hardtanh", low=-2.0, high=2.0)),
        (nn.GELU(approximate="tanh"), formula("gelu_tanh")),
        (nn.Softplus(beta=2.0), sp.log(1 + sp.exp(2 * X)) / 2),
        (sp.tanh, sp.tanh(X)),
        (sp.sin(sp.Symbol("t")), sp.sin(X)),
    ],
)
def test_the_formula(activation: Any, expected: sp.Expr) -> None:
    assert sp.simplify(read(activation).expression - expected) == 0


def test_a_function_composed_of_the_engine_s() -> None:
    swish = read(lambda x: x * tg.sigmoid(1.7 * x))
    assert swish.expression == X / (1 + sp.exp(-sp.Rational(17, 10) * X))
    assert swish.name == "phi"

    def squared_relu(x: tg.Tensor) -> tg.Tensor:
        return tg.relu(x) ** 2

    assert read(squared_relu).name == "squared_relu"
    assert analysis.moments(squared_relu).second.exact == sp.Rational(3, 2)


def test_parameters_may_be_symbols_or_numbers() -> None:
    slope = sp.Symbol("a", real=True)
    given = analysis.moments("leaky_relu", negative_slope=slope).second.exact
    assert sp.expand(given - (1 + slope**2) / 2) == 0
    assert analysis.moments("leaky_relu", negative_slope=0.2).second.exact == sp.Rational(13, 25)
    assert analysis.moments(tg.leaky_relu, negative_slope=0.2).second.exact == sp.Rational(13, 25)


def test_a_sympy_expression_in_one_symbol() -> None:
    t, a = sp.Symbol("t"), sp.Symbol("a", real=True)
    assert analysis.moments(sp.Max(t, 0)).second.exact == sp.Rational(1, 2)
    assert analysis.moments(a * sp.Symbol("x")).second.exact == a**2
    for unreadable in (t * a, sp.Integer(3)):
        with pytest.raises(UnsupportedActivation, match="one variable"):
            read(unreadable)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tg.softmax(x, -1),
        lambda x: x.sum(),
        lambda x: x - x.mean(),
        lambda x: 3.0,
        lambda x: x if x > 0 else 0 * x,
        lambda x, y: x + y,
        lambda x: x + tg.tensor([1.0, 2.0]),
    ],
)
def test_what_is_no_function_of_one_number_is_refused(function: Any) -> None:
    with pytest.raises(UnsupportedActivation):
        read(function)


def test_an_unknown_name_lists_close_ones() -> None:
    with pytest.raises(UnknownActivation, match="did you mean leaky_relu"):
        read("leaky_rleu")
    with pytest.raises(KeyError, match="no activation"):
        read(3)


def test_text_is_never_evaluated() -> None:
    with pytest.raises(InputError, match="cannot be called"):
        read("__import__('os').abort()")


def test_named_functions_print_by_name_and_stand_for_their_formula() -> None:
    Z = sp.Symbol("Z", real=True)
    relu = read("relu")
    assert str(relu.function(Z)) == "relu(Z)"
    assert relu.function(Z).definition == sp.Piecewise((0, Z <= 0), (Z, True))
    assert relu.derivative_function(Z).definition == sp.Piecewise((0, Z <= 0), (1, True))
    assert relu.function(Z) == read("ReLU").function(Z)
