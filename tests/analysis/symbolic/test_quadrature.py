"""The stated error bounds the error, and what has no value gets none."""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp
from sympy import Expr, Rational

from analysis.errors import DivergentMoment, NotANumber, QuadratureError, UnsupportedActivation
from analysis.symbolic.gaussian import GaussianExpectation
from analysis.symbolic.namespace import exact, symbolic
from analysis.symbolic.quadrature import estimate, evaluate, expectation, integrand
from tinygrad_edu import ops

x = sp.Symbol("x", real=True)
ACTIVATIONS = ["tanh", "sigmoid", "softplus", "silu", "mish", "gelu"]
SIGMAS = [Rational(1, 100), Rational(1, 10), sp.S(1), sp.S(5), sp.S(30)]


def formula(name: str) -> Expr:
    return exact(ops.TABLE[name].rule(symbolic, x))


def bounds_its_error(f: Expr, mean: Expr, variance: Expr) -> bool:
    compiled = integrand(f, x)
    found = expectation(compiled, float(mean), float(variance))
    reference = evaluate(GaussianExpectation(f, x, mean, variance), 20)._to_mpmath(100)
    with mpmath.workdps(30):
        return bool(abs(reference - mpmath.mpf(found.value)) <= found.error)


@pytest.mark.parametrize("sigma", SIGMAS, ids=str)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_error_is_a_bound(name: str, sigma: Expr) -> None:
    variance = Rational(float(sigma**2))  # what double precision makes of it
    f = formula(name)
    for moment in (f, f**2, sp.diff(f, x) ** 2):
        assert bounds_its_error(moment, sp.S.Zero, variance)


@pytest.mark.parametrize(("name", "mean"), [("tanh", 20), ("tanh", 3), ("softplus", -40)])
def test_the_error_is_a_bound_far_from_zero(name: str, mean: int) -> None:
    f = formula(name)
    assert bounds_its_error(f**2, sp.S(mean), sp.S(1))
    assert bounds_its_error(sp.diff(f, x) ** 2, sp.S(mean), sp.S(1))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_error_is_small(name: str) -> None:
    found = expectation(integrand(formula(name) ** 2, x))
    assert found.error < 1e-14 * max(1, found.value)


def test_kinks_that_are_known_cost_no_digits() -> None:
    shifted = sp.Abs(x - Rational(1, 3))
    assert expectation(integrand(shifted, x)).error < 1e-14


def test_kinks_that_are_not_known_are_found() -> None:
    assert bounds_its_error(sp.sqrt((x - Rational(1, 3)) ** 2), sp.S.Zero, sp.S.One)


@pytest.mark.parametrize(
    "f",
    [1 / x, 1 / x**2, 1 / sp.Abs(x - Rational(3, 10)), sp.exp(x**2), sp.exp(x**4), sp.tan(x)],
    ids=str,
)
def test_divergence_is_detected(f: Expr) -> None:
    with pytest.raises(DivergentMoment):
        expectation(integrand(f, x))


@pytest.mark.parametrize("f", [sp.sin(1 / x), sp.exp(Rational(49, 100) * x**2)], ids=str)
def test_what_cannot_be_bounded_has_no_value(f: Expr) -> None:
    with pytest.raises(QuadratureError):
        expectation(integrand(f, x))


def test_a_singularity_that_can_be_integrated() -> None:
    """E log|z| = -(gamma + log 2) / 2"""
    found = expectation(integrand(sp.log(sp.Abs(x)), x))
    exactly = -(float(sp.EulerGamma) + float(sp.log(2))) / 2
    assert abs(found.value - exactly) <= found.error + 1e-16


def test_overflow_in_double_precision_does_no_harm() -> None:
    slope = sp.diff(formula("sigmoid"), x)  # exp(800)^2 at the far nodes
    assert bounds_its_error(slope**2, sp.S.Zero, sp.S(10**4))


def test_complex_values_are_refused() -> None:
    with pytest.raises(UnsupportedActivation, match="not real"):
        expectation(integrand(sp.log(x), x))


def test_symbols_are_refused() -> None:
    a = sp.Symbol("a")
    with pytest.raises(NotANumber, match="until a have"):
        integrand(sp.tanh(a * x), x)
    with pytest.raises(NotANumber):
        estimate(GaussianExpectation(sp.tanh(x), x, 0, a))


def test_a_law_without_spread() -> None:
    assert expectation(integrand(sp.cosh(x), x), 0.0, 0.0).value == 1


def test_evaluate_gives_the_digits_asked_for() -> None:
    """E tanh(z)^2, mpmath, 25 digits"""
    node = GaussianExpectation(sp.tanh(x) ** 2, x)
    assert str(evaluate(node, 15)) == "0.394294490397841"
    with pytest.raises(DivergentMoment):
        evaluate(GaussianExpectation(1 / x**2, x))
