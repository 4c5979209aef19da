"""The SymPy reader says the same as the readers that compute."""

from __future__ import annotations

import itertools
import math

import pytest
import sympy as sp

from analysis.symbolic.namespace import exact, symbolic
from tinygrad_edu import ops
from tinygrad_edu.ops import floats

X = sp.Symbol("x", real=True)
POINTS = [-7.3, -2.5, -0.7, -0.11, 0.13, 0.6, 0.9, 2.2, 6.4]  # between the kinks
UNARY = {
    op.name: op
    for op in ops.TABLE.values()
    if len(getattr(op, "partials", ())) == 1 and op.result != "bool"
}


def number(expression: sp.Expr, at: float) -> float | None:
    """The value of a formula, computed with 50 digits; None where it is not real."""
    value = sp.sympify(expression).subs(X, sp.Rational(at)).n(50)
    return float(value) if value.is_real and value.is_finite else None


def test_the_namespace_offers_what_rules_may_call() -> None:
    assert {name for name in floats.__all__ if not hasattr(symbolic, name)} == set()


@pytest.mark.parametrize("name", UNARY)
def test_a_rule_read_in_sympy_is_the_rule_that_computes(name: str) -> None:
    formula = exact(UNARY[name].rule(symbolic, X))
    compared = 0
    for at in POINTS:
        expected = number(formula, at)
        if expected is not None:
            assert UNARY[name].rule(floats, at) == pytest.approx(expected, rel=1e-13)
            compared += 1
    assert compared >= 2


BINARY = {
    op.name: op
    for op in ops.TABLE.values()
    if len(getattr(op, "partials", ())) == 2 and not op.name.startswith("logical_")
}


@pytest.mark.parametrize("name", BINARY)
def test_a_rule_of_two_operands_is_the_one_that_computes(name: str) -> None:
    rule = BINARY[name].rule
    for a, b in itertools.product([-2.5, -0.7, 0.3, 2.2], [-1.7, -0.7, 0.4, 3.0]):
        formula = rule(symbolic, exact(a), exact(b))
        if isinstance(formula, bool | sp.logic.boolalg.Boolean):
            assert bool(formula) == bool(rule(floats, a, b))
        elif (expected := number(formula, 0.0)) is not None:
            assert rule(floats, a, b) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("name", [name for name, op in UNARY.items() if op.partials[0]])
def test_a_partial_is_the_derivative_of_the_rule(name: str) -> None:
    op = UNARY[name]
    formula = exact(op.rule(symbolic, X))
    derivative = sp.diff(formula, X)
    partial = op.partials[0](symbolic, formula, X, *(op.rule.__defaults__ or ()))
    if isinstance(partial, sp.logic.boolalg.Boolean):  # a mask
        partial = sp.Piecewise((1, partial), (0, True))
    for at in POINTS:
        expected = number(derivative, at)
        if expected is not None:
            assert number(exact(partial), at) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (0.5, sp.Rational(1, 2)),
        (0.01, sp.Rational(1, 100)),
        (0.044715, sp.Rational(44715, 10**6)),
        (2.0**-60, sp.Rational(1, 2**60)),
        (-3.0, sp.Integer(-3)),
        (1e300, sp.Integer(10) ** 300),
    ],
)
def test_a_float_is_the_number_its_author_meant(x: float, expected: sp.Rational) -> None:
    assert exact(x * X) == expected * X


def test_branches_are_piecewise() -> None:
    y = sp.Symbol("y", real=True)
    for branching in (
        symbolic.maximum(X, y),
        symbolic.minimum(X, y),
        symbolic.abs(X),
        symbolic.sign(X),
        symbolic.where(y < X, X, y),
    ):
        assert isinstance(branching, sp.Piecewise)
    assert symbolic.maximum(X, y).subs({X: 2, y: 3}) == 3
    assert symbolic.minimum(X, y).subs({X: 2, y: 3}) == 2
    assert [symbolic.sign(X).subs(X, v) for v in (-2, 0, 2)] == [-1, 0, 1]
    assert symbolic.abs(X).subs(X, -2) == 2


def test_the_textbook_definitions() -> None:
    assert symbolic.softplus(X) == sp.log(1 + sp.exp(X))
    assert symbolic.sigmoid(X) == 1 / (1 + sp.exp(-X))
    assert symbolic.expm1(X) == sp.exp(X) - 1
    assert symbolic.log1p(X) == sp.log(1 + X)
    assert float(symbolic.sqrt2 * symbolic.sqrtpi) == pytest.approx(math.sqrt(2 * math.pi))
