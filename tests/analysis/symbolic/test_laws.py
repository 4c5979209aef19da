"""The checker proves what is true for every law, and refutes the rest."""

from __future__ import annotations

import pytest
import sympy as sp
from sympy import Expr

from analysis.symbolic.expectation import Cov, E, RandomVariable, Var
from analysis.symbolic.laws import Refuted, Undecided, compare

W, X, Y = (RandomVariable(name) for name in "WXY")
C = RandomVariable("C", zero_mean=True)
D = RandomVariable("D", zero_mean=True, group="G")
F = RandomVariable("F", group="G")
Z = RandomVariable("Z", symmetric=True)
P = RandomVariable("P", exchangeable=True)
a = sp.Symbol("a", real=True)
n = sp.Symbol("n", positive=True)
phi = sp.Function("phi")


def relu(x: Expr) -> Expr:
    return sp.Piecewise((0, x <= 0), (x, True))


TRUE = [
    (Var(X), E(X**2) - E(X) ** 2),
    (Var(a * X + 1), a**2 * Var(X)),
    (Var(W * X), E(W) ** 2 * Var(X) + E(X) ** 2 * Var(W) + Var(W) * Var(X)),
    (Var(X + Y), Var(X) + Var(Y)),
    (Var(D + F), Var(D) + Var(F) + 2 * Cov(D, F)),
    (Var(C * X), Var(C) * E(X**2)),
    (Cov(C * P, C.copy(1) * P.copy(1)), sp.S.Zero),
    (E(D * F), Cov(D, F)),
    (Var(X / sp.sqrt(n)), Var(X) / n),
    (E((X - E(X)) ** 3), E(X**3) - 3 * E(X) * E(X**2) + 2 * E(X) ** 3),
    (E(Z**3), sp.S.Zero),
    (E(relu(Z) ** 2), E(Z**2) / 2),
    (E(relu(Z) ** 4), E(Z**4) / 2),
    (E(relu(Z.assuming(nonzero=True)) ** 0), sp.S.One),
    (E(phi(Z) ** 2), E(phi(-Z) ** 2)),
    (E(phi(X) * C), sp.S.Zero),
    (E(X**2) / E(X) - E(X), Var(X) / E(X)),
]

FALSE = [
    (E(X**2), E(X) ** 2),  # true for one-point laws: one atom would not do
    (E(X**3), E(X) * E(X**2)),
    (E(C**3), sp.S.Zero),  # true for symmetric laws only
    (E(relu(C) ** 2), E(C**2) / 2),  # mean zero is not enough
    (E(relu(Z)), E(Z**2) / 2),
    (E(D * F), sp.S.Zero),  # dependent, in spite of a zero mean
    (E(P * P.copy(1)), E(P) ** 2),
    (E(phi(Z)), sp.S.Zero),
    (Var(X / sp.sqrt(n)), Var(X) / n**2),
    (Var(X + Y), Var(X) + Var(Y) + a * Cov(X, X)),
]


@pytest.mark.parametrize(("lhs", "rhs"), TRUE, ids=str)
def test_proved_for_every_law(lhs: Expr, rhs: Expr) -> None:
    assert compare(lhs, rhs).proved


@pytest.mark.parametrize(("lhs", "rhs"), FALSE, ids=str)
def test_refuted(lhs: Expr, rhs: Expr) -> None:
    with pytest.raises(Refuted):
        compare(lhs, rhs)


def test_an_atom_at_zero_matters() -> None:
    """P(Z > 0) = 1/2 needs P(Z = 0) = 0."""

    def step(x: Expr) -> Expr:
        return sp.Piecewise((0, x <= 0), (1, True))

    half = sp.Rational(1, 2)
    assert compare(E(step(Z.assuming(nonzero=True))), half).proved
    with pytest.raises(Refuted):
        compare(E(step(Z)), half)


def test_without_symmetry_a_branch_is_only_tried_on_random_laws() -> None:
    check = compare(E(relu(X)) - E(relu(-X)), E(X))
    assert not check.proved
    assert "random rational laws" in check.evidence


def test_a_counterexample_is_shown() -> None:
    with pytest.raises(Refuted, match=r"under the law X: X=.*\(p="):
        compare(E(X**2), E(X) ** 2)


@pytest.mark.parametrize("f", [sp.exp, phi])
def test_what_is_not_polynomial_in_expectations_is_not_decided(f: type[Expr]) -> None:
    with pytest.raises(Undecided):
        compare(E(f(X)), f(E(X)))


def test_too_costly_a_proof_is_not_attempted() -> None:
    many = sp.Add(*(X.copy(i) for i in range(5)))
    check = compare(E(relu(many)) - E(relu(-many)), 5 * E(X))
    assert not check.proved
    assert "too many" in check.evidence


def test_independent_draws_are_averaged_one_by_one() -> None:
    """Ten copies have 2^10 joint values, but a product of two of them has only 2 * 2."""
    many = sp.Add(*(X.copy(i) for i in range(10)))
    assert compare(E(many**2), 10 * E(X**2) + 90 * E(X) ** 2).proved
    with pytest.raises(Refuted):
        compare(E(many**2), 10 * E(X**2) + 91 * E(X) ** 2)
    assert compare(E(phi(X.copy(3)) * X.copy(1)), E(phi(X)) * E(X)).proved
    with pytest.raises(Refuted):
        compare(E(phi(X.copy(1)) * X.copy(1)), E(phi(X)) * E(X))
    with pytest.raises(Refuted):
        compare(E(P.copy(1) * P.copy(2)), E(P) ** 2)
