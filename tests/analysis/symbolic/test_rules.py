"""A formula becomes a rule over any namespace, with the engine's conventions at kinks."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from analysis.errors import UnsupportedActivation
from analysis.symbolic.namespace import symbolic
from analysis.symbolic.rules import derivative, rule_of
from analysis.symbolic.text import X, parse
from tinygrad_edu import ops
from tinygrad_edu.ops import arrays

AT = np.array([-1e4, -20, -3, -1, -1e-30, 0, 1e-30, 0.5, 1, 3, 6, 1e4])
ENGINE = [
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "sigmoid",
    "softplus",
    "softsign",
    "silu",
    "mish",
    "gelu",
    "gelu_tanh",
    "hardtanh",
    "hardswish",
    "tanh",
    "erf",
    "atan",
    "abs",
    "sign",
]


@pytest.mark.parametrize("name", ENGINE)
def test_value_and_slope_are_the_engine_s_kinks_included(name: str) -> None:
    op = ops.TABLE[name]
    f = parse(f"{name}(x)")
    with np.errstate(all="ignore"):
        y = op.forward(AT)
        assert np.allclose(rule_of(f, X)(arrays, AT), y, rtol=1e-14, atol=1e-15)
        partial = op.partials[0]
        if partial is not None:
            theirs = partial(ops.array_reader(np.dtype(np.float64)), y, AT, **_defaults(op))
            ours = rule_of(derivative(f, X), X)(arrays, AT)
            assert np.allclose(ours, theirs, rtol=1e-13, atol=2e-15)


def _defaults(op: object) -> dict[str, float]:
    import inspect

    parameters = list(inspect.signature(op.rule).parameters.values())[2:]
    return {p.name: p.default for p in parameters}


@pytest.mark.parametrize(
    ("text", "at_0"),
    [
        ("abs(x)", 0),
        ("max(x, 0)", 0.5),
        ("min(x, 0)", 0.5),
        ("where(x > 0, x, 0)", 0),
        ("where(x >= 0, x, 0)", 1),
        ("clamp(x, 0, 1)", 1),
        ("x/(1 + abs(x))", 1),
    ],
)
def test_at_a_kink(text: str, at_0: float) -> None:
    slope = derivative(parse(text), X)
    assert float(rule_of(slope, X)(arrays, np.zeros(1))[0]) == at_0


@pytest.mark.parametrize(
    "text",
    [
        "where(x > 0, x, 0)",
        "elu(x)",
        "clamp(x, -1, 1)",
        "sign(x)",
        "where(x > 0, 1, 0)",
        "x*exp(x)",
        "max(x, 0)",
    ],
)
def test_nan_stays_nan_and_float32_stays_float32(text: str) -> None:
    value = rule_of(parse(text), X)(arrays, np.array([np.nan, 1.0], np.float32))
    assert np.isnan(value[0])
    assert not np.isnan(value[1])
    assert value.dtype == np.float32


def test_a_rule_is_read_by_sympy_too() -> None:
    f = parse("x*tanh(log(1 + exp(x)))")
    assert sp.simplify(rule_of(f, X)(symbolic, X) - f) == 0


def test_common_subexpressions_are_computed_once() -> None:
    calls = []

    class Counting:
        def __getattr__(self, name: str) -> object:
            calls.append(name)
            return getattr(arrays, name)

    rule_of(parse("sin(exp(x)) + cos(exp(x)) + exp(x)"), X)(Counting(), AT[3:8])
    assert sorted(calls) == ["cos", "exp", "sin"]


def test_what_the_engine_does_not_have_is_refused() -> None:
    with pytest.raises(UnsupportedActivation, match="no gamma"):
        rule_of(sp.gamma(X), X)


def test_a_value_at_one_point() -> None:
    """Pieces of one formula are not merged over a point where the function has another value."""
    f = sp.Piecewise((5, sp.Eq(X, 1)), (2, X > -3), (0, True))
    rule = rule_of(f, X)
    assert rule(arrays, np.array([-4.0, 0.0, 1.0, 2.0])).tolist() == [0, 2, 5, 2]
