"""An activation written as text is an op: it computes, differentiates, trains and is analysed."""

from __future__ import annotations

import itertools
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp

import analysis
import tinygrad_edu as tg
from analysis.errors import InputError, NameTaken, UnsupportedActivation
from analysis.symbolic.custom import WORST
from analysis.symbolic.text import X
from tinygrad_edu import nn, ops
from tinygrad_edu.ops.kinds import Elementwise

AS_TEXT = {
    "gelu": "x*(1 + erf(x/sqrt(2)))/2",
    "silu": "x/(1 + exp(-x))",
    "mish": "x*tanh(log(1 + exp(x)))",
    "softplus": "log(1 + exp(x))",
    "tanh": "(exp(x) - exp(-x))/(exp(x) + exp(-x))",
    "sigmoid": "1/(1 + exp(-x))",
    "relu": "where(x > 0, x, 0)",
    "elu": "where(x > 0, x, exp(x) - 1)",
    "softsign": "x/(1 + abs(x))",
}
EXTREME = np.array([-1e4, -30.0, -1.0, -1e-30, 0.0, 1e-30, 0.5, 30.0, 1e4, np.inf, np.nan])
OTHERS = [
    "x*exp(-x**2)",
    "log(cosh(x))",
    "sin(x) + x",
    "x - tanh(x)*log(1 + exp(x))",
    "max(x, x**2)",
    "abs(x)*sigmoid(x)",
    "(exp(2*x) + 2*exp(x))/(exp(2*x) + 2*exp(x) + 2)",
    "2*x + 1",
]


@pytest.mark.parametrize("name", AS_TEXT)
def test_it_is_the_engine_s_own(name: str) -> None:
    mine, theirs = analysis.activation(AS_TEXT[name]), getattr(tg, name)
    for dtype, rtol in ((np.float64, 1e-14), (np.float32, 2e-6)):
        a, b = (tg.tensor(EXTREME.astype(dtype), requires_grad=True) for _ in range(2))
        ours, expected = mine(a), theirs(b)
        assert ours.dtype == dtype
        ours.sum().backward()
        expected.sum().backward()
        scale = np.finfo(dtype).eps * 4  # of 1, where gelu's 1 + erf(x) cancels
        np.testing.assert_allclose(ours.detach().numpy(), expected.detach().numpy(), rtol, scale)
        finite = np.isfinite(EXTREME)  # beyond, a product of limits may be nan in one form only
        np.testing.assert_allclose(a.grad.numpy()[finite], b.grad.numpy()[finite], rtol, scale)


@pytest.mark.parametrize("text", [*AS_TEXT.values(), *OTHERS])
def test_gradients_of_two_orders(text: str) -> None:
    phi = analysis.activation(text)
    x = tg.tensor(np.array([-2.3, -0.4, 0.7, 1.9, 4.0]), requires_grad=True)
    assert tg.autograd.gradcheck(phi, (x,))
    assert tg.autograd.gradgradcheck(phi, (x,))


@pytest.mark.parametrize("text", [*AS_TEXT.values(), *OTHERS])
def test_every_digit_over_the_range_of_doubles(text: str) -> None:
    """Against 50 digits (of a computation with 800, as exp(-x) beside 1 needs them)."""
    phi = analysis.activation(text)
    precise = sp.lambdify(X, phi.expression, "mpmath")
    for size, sign in itertools.product([1e-25, 1e-9, 0.02, 0.77, 4.3, 17, 90, 500, 3e4], (-1, 1)):
        x = float(sign * size)
        with mpmath.workdps(800):
            expected = precise(mpmath.mpf(x))
            off = abs(mpmath.mpf(float(phi(tg.tensor(np.array([x]))).item())) - expected)
            if abs(expected) < 1e300:
                assert off <= 1e-14 * max(abs(expected), min(abs(x), 1)), (x, float(off))


def test_third_order_and_a_compiled_reading() -> None:
    phi = analysis.activation("x*tanh(log(1 + exp(x)))")
    third = tg.func.grad(tg.func.grad(tg.func.grad(lambda t: phi(t).sum())))(
        tg.tensor(0.3, dtype=tg.float64)
    )
    expected = float(sp.diff(phi.expression, X, 3).subs(X, sp.Rational(3, 10)).evalf(20))
    assert third.item() == pytest.approx(expected, rel=1e-12)


def test_values_of_the_scalar_engine() -> None:
    phi = analysis.activation("x/(1 + exp(-x))")
    v = tg.Value(0.7)
    y = phi(v)
    y.backward()
    assert y.data == pytest.approx(0.7 / (1 + np.exp(-0.7)), rel=1e-15)
    t = tg.tensor(0.7, dtype=tg.float64, requires_grad=True)
    phi(t).backward()
    assert v.grad == pytest.approx(t.grad.item(), rel=1e-14)


def test_a_layer_a_trace_and_the_analyzer() -> None:
    mila = analysis.activation("x*tanh(log(1 + exp(x + 1)))", name="mila_test")
    assert isinstance(mila.op, Elementwise)
    assert ops.TABLE["mila_test"] is mila.op
    assert mila.error <= WORST
    tg.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 64), mila.Module(), nn.Linear(64, 4))
    assert "MilaTest" in repr(net)
    assert net(tg.ones(2, 8)).shape == (2, 4)
    for spelled in (mila, "mila_test", mila.Module(), mila.op, lambda x: mila(x)):
        assert float(analysis.moments(spelled).second) == pytest.approx(
            float(analysis.moments(mila.expression).second), rel=1e-13
        )
    assert analysis.maps("mila_test").fixed_point(1.0).q == analysis.maps(mila).fixed_point(1.0).q
    rows = analysis.analyze(net).layers
    q = rows[0].forward.variance
    expected = analysis.moments(mila, variance=float(q)).second
    assert rows[1].forward.second == pytest.approx(float(expected), rel=0.05)  # plus order 1/width


def test_registering_again() -> None:
    first = analysis.activation("x*sigmoid(3*x)", name="swish_three")
    assert analysis.activation("x/(1 + exp(-3*x))", name="swish_three") is first
    assert analysis.activation("x/(1 + exp(-3*x))") is first  # by any name
    with pytest.raises(NameTaken, match="another op"):
        analysis.activation("x*sigmoid(2*x)", name="swish_three")


@pytest.mark.parametrize(
    "name", ["relu", "where", "exp", "pi", "class", "a b", "2x", "_x", "\u00e4", ""]
)
def test_names_that_are_taken_or_none(name: str) -> None:
    before = dict(ops.TABLE)
    with pytest.raises(NameTaken):
        analysis.activation("x + sin(2*x)", name=name)
    assert before == ops.TABLE


@pytest.mark.parametrize(
    ("expression", "error", "message"),
    [
        ("f(x)", InputError, "no function is named"),
        ("sqrt(x)", UnsupportedActivation, "not real"),
        ("floor(x)", UnsupportedActivation, "infinitely many"),
        (sp.besselj(0, X), UnsupportedActivation, "the engine has no besselj"),
        (sp.Function("g")(X), UnsupportedActivation, "not a function that has values"),
        ("(x + 1e20) - 1e20*cos(x)**2 - 1e20*sin(x)**2", UnsupportedActivation, "loses its digits"),
    ],
)
def test_a_refusal_leaves_the_table_as_it_was(expression: Any, error: Any, message: str) -> None:
    before = dict(ops.TABLE)
    with pytest.raises(error, match=message):
        analysis.activation(expression)
    assert before == ops.TABLE
