"""The two lemmas, by differentiation and against slow quadrature."""

from __future__ import annotations

import random

import mpmath
import pytest
import sympy as sp
from sympy import Expr, Rational

from analysis.errors import DivergentMoment, InvalidLaw
from analysis.symbolic.gaussian import (
    GaussianExpectation,
    certified,
    closed_form,
    erf_moment,
    exponential_moment,
    lemma_a_holds,
    lemma_b_holds,
)
from analysis.symbolic.quadrature import integrand, precise_expectation

x = sp.Symbol("x", real=True)
q, s = sp.symbols("q s", positive=True)
mu = sp.Symbol("mu", real=True)
relu = sp.Piecewise((0, x <= 0), (x, True))
elu = sp.Piecewise((sp.exp(x) - 1, x <= 0), (x, True))
gelu = x * (1 + sp.erf(x / sp.sqrt(2))) / 2


def agrees(f: Expr, mean: Rational, variance: Rational, digits: int = 30) -> bool:
    """Whether the closed form, evaluated, is the integral computed by quadrature."""
    value = closed_form(f, x, mean, variance)
    assert value is not None
    reference = precise_expectation(integrand(f, x), mean, variance, digits)
    scale = precise_expectation(integrand(f**2, x), mean, variance, 15)
    with mpmath.workdps(digits + 10):
        error = abs(mpmath.mpf(str(sp.N(value, digits + 5))) - reference)
        return bool(error <= mpmath.mpf(10) ** (3 - digits) * (1 + mpmath.sqrt(scale)))


@pytest.mark.parametrize("k", range(6))
def test_lemma_a_by_differentiation(k: int) -> None:
    assert lemma_a_holds(k)


@pytest.mark.parametrize(
    ("k", "p"), [(0, 1), (1, 1), (3, 1), (0, 2), (2, 2), (4, 2), (1, 3), (3, 3)]
)
def test_lemma_b_by_differentiation(k: int, p: int) -> None:
    assert lemma_b_holds(k, p)


def test_the_checks_by_differentiation_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    import analysis.symbolic.gaussian as gaussian

    with monkeypatch.context() as patch:
        patch.setattr(gaussian, "exponential_moment", lambda *args: 2 * exponential_moment(*args))
        assert not lemma_a_holds.__wrapped__(2)
    with monkeypatch.context() as patch:
        patch.setattr(gaussian, "erf_moment", lambda k, p, *args: (1 + p) * erf_moment(k, p, *args))
        assert not lemma_b_holds.__wrapped__(1, 1)


def random_activation(rng: random.Random) -> Expr:
    """A random piecewise polynomial x exponential with one to three kinks."""
    ends = sorted(rng.sample([Rational(n, 4) for n in range(-12, 13)], rng.randint(1, 3)))

    def formula() -> Expr:
        return sp.Add(
            *(
                Rational(rng.randint(-6, 6), 3)
                * x ** rng.randint(0, 3)
                * sp.exp(Rational(rng.choice([0, 0, -2, -1, 1, 2]), 2) * x)
                for _ in range(rng.randint(1, 3))
            )
        )

    return sp.Piecewise(*((formula(), x < end) for end in ends), (formula(), True))


@pytest.mark.parametrize("seed", range(6))
def test_lemma_a_against_quadrature(seed: int) -> None:
    rng = random.Random(seed)
    f = random_activation(rng)
    assert agrees(f**2, sp.S.Zero, Rational(rng.randint(1, 40), 16), digits=35)
    assert agrees(f, Rational(rng.randint(-9, 9), 4), Rational(rng.randint(1, 40), 16))


@pytest.mark.parametrize("variance", [Rational(1, 10), Rational(17, 10)])
@pytest.mark.parametrize(
    "f",
    [
        gelu**2,
        sp.diff(gelu, x) ** 2,
        x**3 * sp.erf(2 * x) * sp.exp(-(x**2)),
        sp.exp(-(x**2) / 5),
        sp.exp(x**2 / 5) * x**2,
        sp.sin(x) ** 2 * x**2,
    ],
)
def test_other_classes_against_quadrature(f: Expr, variance: Rational) -> None:
    assert agrees(f, sp.S.Zero, variance)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (relu, sp.sqrt(q / (2 * sp.pi))),
        (relu**2, q / 2),
        (sp.erf(x) ** 2, 2 / sp.pi * sp.asin(2 * q / (1 + 2 * q))),
        (sp.diff(sp.erf(x), x) ** 2, 4 / (sp.pi * sp.sqrt(1 + 4 * q))),
        (sp.sin(x) ** 2, (1 - sp.exp(-2 * q)) / 2),
        (sp.exp(x), sp.exp(q / 2)),
        (x**6, 15 * q**3),
    ],
)
def test_closed_forms_with_a_symbolic_variance(f: Expr, expected: Expr) -> None:
    assert sp.simplify(closed_form(f, x, sp.S.Zero, q) - expected) == 0


def test_a_symbolic_mean() -> None:
    value = closed_form(relu, x, mu, q)
    point = {mu: Rational(1, 3), q: Rational(5, 4)}
    reference = precise_expectation(integrand(relu, x), point[mu], point[q])
    assert float(abs(sp.N(value.subs(point), 30) - sp.Float(reference, 30))) < 1e-28


@pytest.mark.parametrize("f", [sp.tanh(x), sp.log(1 + sp.exp(x)), 1 / (1 + x**2), sp.erf(x) ** 4])
def test_what_the_lemmas_do_not_cover_is_none(f: Expr) -> None:
    assert closed_form(f, x) is None


def test_divergence_names_its_condition() -> None:
    with pytest.raises(DivergentMoment, match="it is -1"):
        closed_form(sp.exp(x**2), x)
    with pytest.raises(DivergentMoment, match=r"1 - 2\*q"):
        closed_form(sp.exp(x**2), x, sp.S.Zero, q)
    assert closed_form(sp.exp(x**2), x, sp.S.Zero, Rational(1, 4)) == sp.sqrt(2)


def test_a_variance_must_be_positive() -> None:
    for variance in (sp.S(-1), sp.Symbol("v"), sp.Symbol("v", real=True)):
        with pytest.raises(InvalidLaw, match="positive"):
            closed_form(x, x, sp.S.Zero, variance)
    assert closed_form(elu, x, sp.S(2), sp.S.Zero) == 2


@pytest.mark.parametrize("f", [relu, elu**2, gelu**2, sp.erf(x) ** 2])
def test_certified_values_are_the_closed_forms(f: Expr) -> None:
    assert certified(f, x, sp.S.Zero, q) == closed_form(f, x, sp.S.Zero, q)


def test_the_inert_expectation_binds_its_variable() -> None:
    node = GaussianExpectation(sp.tanh(s * x), x, mu, q)
    assert node.free_symbols == {s, mu, q}
    assert node.subs(q, 2).args[3] == 2
    assert node.doit() == node


@pytest.mark.parametrize("text", ["cos(x*x)", "sin(x*x + x)", "x*sin(x*x)*exp(-0.3*x*x)"])
def test_oscillations_that_quicken(text: str) -> None:
    """exp(i x^2) has moments, by a Gaussian of complex width."""
    from analysis.symbolic.activations import moments

    second = moments(text).second
    assert second.exact is not None
    f = sp.lambdify(sp.Symbol("x"), sp.sympify(text), "mpmath")
    truth = mpmath.quad(lambda z: f(z) ** 2 * mpmath.npdf(z), [i / 2 for i in range(-20, 21)])
    assert float(second) == pytest.approx(float(truth), rel=1e-12)
