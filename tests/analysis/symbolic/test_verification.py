"""Every grade is reached by what deserves it, and a false claim reaches none."""

from __future__ import annotations

import time

import pytest
import sympy as sp
from sympy import Expr

from analysis.errors import Unverified
from analysis.symbolic.expectation import E, RandomVariable, SumOfCopies, Var
from analysis.symbolic.gaussian import GaussianExpectation
from analysis.symbolic.verification import Grade, Verdict, verify, verify_solution, weakest

X = RandomVariable("X")
Z = RandomVariable("Z", symmetric=True)
x, u = sp.symbols("x u", real=True)
b, n, q = sp.symbols("b n q", positive=True)
N = sp.Symbol("N", integer=True, positive=True)
i, j, k = sp.symbols("i j k", integer=True)


def branch(t: Expr) -> Expr:
    return sp.Piecewise((0, t <= 0), (t, True))


def total(power: int = 1) -> SumOfCopies:
    return SumOfCopies(X**power, i, N)


CLAIMS = {
    Grade.NORMAL_FORM: [
        (sp.sin(x) ** 2 + sp.cos(x) ** 2, sp.S.One),
        ((E(X) + 1) ** 2, E(X) ** 2 + 2 * E(X) + 1),
        (sp.sqrt(E(X**2) * b**2), b * sp.sqrt(E(X**2))),
        (branch(x) - branch(-x), x),
        (sp.Integral(u**2, (u, -b, b)), 2 * b**3 / 3),
    ],
    Grade.EVERY_LAW: [(Var(X), E(X**2) - E(X) ** 2), (E(branch(Z) ** 2), E(Z**2) / 2)],
    Grade.POLYNOMIAL: [
        (Var(total()), N * Var(X)),
        (E(total(2) / N), E(X**2)),
        (E(total(2) - total() ** 2 / N), (N - 1) * Var(X)),
    ],
    Grade.RANDOM_LAWS: [(E(branch(X)) - E(branch(-X)), E(X))],
    Grade.DERIVATIVE: [
        (GaussianExpectation(branch(x) ** 2, x, 0, q), q / 2),
        (GaussianExpectation(sp.erf(x) ** 2, x, 0, q), 2 / sp.pi * sp.asin(2 * q / (1 + 2 * q))),
    ],
}


@pytest.mark.parametrize(
    ("grade", "lhs", "rhs"), [(g, lhs, rhs) for g, claims in CLAIMS.items() for lhs, rhs in claims]
)
def test_a_true_claim_gets_its_grade(grade: Grade, lhs: Expr, rhs: Expr) -> None:
    assert verify(lhs, rhs).grade is grade


@pytest.mark.parametrize(("lhs", "rhs"), [claim for claims in CLAIMS.values() for claim in claims])
@pytest.mark.parametrize("wrong", [lambda r: 2 * r, lambda r: r + 1, lambda r: r**2 + 1])
def test_a_false_one_gets_none(lhs: Expr, rhs: Expr, wrong: type[Expr]) -> None:
    with pytest.raises(Unverified):
        verify(lhs, wrong(rhs), numerical=True)


def test_derivative_and_boundary_value() -> None:
    lhs, rhs = sp.asin(b / sp.sqrt(1 + b**2)), sp.atan(b)
    assert verify(lhs, rhs, boundary=(b, sp.S.Zero)).grade.is_proof
    with pytest.raises(Unverified):
        verify(lhs, rhs + 1, boundary=(b, sp.S.Zero))


ELEMENT, F = sp.IndexedBase("y", real=True), sp.Function("f")(x)
FIRST, SECOND = (sp.Sum(ELEMENT[i] ** power, (i, 1, N)) for power in (1, 2))


@pytest.mark.parametrize(
    ("lhs", "rhs", "wrong"),
    [
        (sp.Sum((ELEMENT[i] - b) ** 2, (i, 1, N)), SECOND - 2 * b * FIRST + N * b**2, SECOND),
        (sp.Derivative(F * sp.exp(x), x), (F + F.diff(x)) * sp.exp(x), F * sp.exp(x)),
        (
            E(X) * sp.Sum(ELEMENT[i], (i, 1, N)),
            sp.Sum(E(X) * ELEMENT[j], (j, 1, N)),
            E(X) * ELEMENT[1],
        ),
        (sp.Product(1 + b, (i, 1, N)) * E(X), (1 + b) ** N * E(X), (1 + b) ** N),
        (sp.Limit((1 + b / n) ** n, n, sp.oo), sp.exp(b), sp.exp(2 * b)),
    ],
    ids=str,
)
def test_sums_unknown_functions_products_and_limits(lhs: Expr, rhs: Expr, wrong: Expr) -> None:
    assert verify(lhs, rhs).grade is Grade.NORMAL_FORM
    with pytest.raises(Unverified):
        verify(lhs, wrong)


def test_an_integral_by_its_slope_and_value() -> None:
    integral = sp.Integral(1 / sp.sqrt(1 - u**2), (u, 0, x))
    assert verify(integral, sp.asin(x), boundary=(x, sp.S.Zero)).grade is Grade.DERIVATIVE
    for wrong in (2 * sp.asin(x), sp.asin(x) + 1, sp.acos(x)):
        with pytest.raises(Unverified):
            verify(integral, wrong, boundary=(x, sp.S.Zero))


def test_a_sum_may_hold_for_one_size_only() -> None:
    """N = 2 would not tell the two apart."""
    with pytest.raises(Unverified):
        verify(sp.Sum(i * ELEMENT[i], (i, 1, N)), ELEMENT[1] + 2 * ELEMENT[2])


def test_thirty_digits_must_be_asked_for_and_are_no_proof() -> None:
    lhs = GaussianExpectation(sp.tanh(x) ** 2, x)
    rhs = 1 - GaussianExpectation(1 / sp.cosh(x) ** 2, x)
    with pytest.raises(Unverified, match="none refuted"):
        verify(lhs, rhs)
    verdict = verify(lhs, rhs, numerical=True)
    assert verdict.grade is Grade.NUMERICAL
    assert not verdict.grade.is_proof
    with pytest.raises(Unverified, match="the sides are"):
        verify(lhs, rhs + sp.Rational(1, 10**15), numerical=True)


def test_a_size_is_decided_by_degree_plus_one_points() -> None:
    """The two sides agree at N = 1; only a second point tells them apart."""
    with pytest.raises(Unverified):
        verify(E(total() ** 2), N * E(X**2))
    assert "N = 1, 2" in verify(E(total() ** 2), N * E(X**2) + N * (N - 1) * E(X) ** 2).evidence


def test_equations_are_compared_side_by_side() -> None:
    assert verify(sp.Eq(Var(X), q), sp.Eq(E(X**2) - E(X) ** 2, q)).grade is Grade.EVERY_LAW
    with pytest.raises(Unverified):
        verify(sp.Eq(2 * Var(X), 2 * q), sp.Eq(Var(X), q))


def test_a_derivative_of_a_symbolic_sum() -> None:
    w, y = sp.IndexedBase("w"), sp.IndexedBase("y")
    m = sp.Symbol("m", integer=True, positive=True)  # 1 <= m <= m + 3
    derivative = sp.Derivative(sp.Sum(w[j] * y[j], (j, 1, m + 3)), y[m])
    assert verify(derivative, w[m]).grade is Grade.NORMAL_FORM
    with pytest.raises(Unverified):
        verify(derivative, w[1])


def test_an_activation_is_never_integrated() -> None:
    start = time.perf_counter()
    integral = sp.Integral(sp.log(1 + sp.exp(u)) * sp.exp(-(u**2)), (u, -sp.oo, sp.oo))
    with pytest.raises(Unverified):
        verify(integral, integral + 1)
    assert time.perf_counter() - start < 5


def test_a_solution_must_solve_and_be_the_only_one() -> None:
    equation = sp.Eq(n * q, 1)
    assert verify_solution(equation, q, 1 / n).grade.is_proof
    assert verify_solution(sp.Eq(b**2 / 3, q), b, sp.sqrt(3 * q)).grade.is_proof
    with pytest.raises(Unverified):
        verify_solution(equation, q, 1 / n**2)
    with pytest.raises(Unverified, match="further solutions"):
        verify_solution(sp.Eq(x**2, 4), x, sp.S(2))
    with pytest.raises(Unverified, match="further solutions"):
        verify_solution(sp.Eq(b**2 - 3 * b + 2, 0), b, sp.S(2))


def test_the_weakest_verdict_counts() -> None:
    verdicts = [
        Verdict(grade, "") for grade in (Grade.EVERY_LAW, Grade.NUMERICAL, Grade.POLYNOMIAL)
    ]
    assert weakest(verdicts).grade is Grade.NUMERICAL
    assert [grade for grade in Grade if not grade.is_proof] == [Grade.RANDOM_LAWS, Grade.NUMERICAL]
