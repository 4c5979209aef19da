"""The laws that claims are tried on satisfy their hypotheses, and no others."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import sympy as sp

from analysis.symbolic.discrete import (
    GenericNumbers,
    Numbers,
    Plan,
    Point,
    RationalNumbers,
    Undecided,
    law_degrees,
    plan_laws,
)
from analysis.symbolic.expectation import E, RandomVariable, Var

X = RandomVariable("X")
C = RandomVariable("C", zero_mean=True)
S = RandomVariable("S", symmetric=True)
Q = RandomVariable("Q", exchangeable=True, zero_mean=True)


def moment(law: list[Point], *variables: RandomVariable) -> Any:
    total: Any = 0
    for point in law:
        product = point.weight
        for v in variables:
            product = product * point.values[v]
        total += product
    return total


@pytest.fixture(params=["rational", "generic"])
def numbers(request: pytest.FixtureRequest) -> Numbers:
    return RationalNumbers(0) if request.param == "rational" else GenericNumbers(40)


@pytest.mark.parametrize(
    "plan", [Plan((X,), 1, 3), Plan((C,), 1, 2), Plan((S,), 1, 2), Plan((Q,), 3, 2)]
)
def test_weights_sum_to_one(plan: Plan, numbers: Numbers) -> None:
    assert moment(plan.law(numbers)) == 1


def test_hypotheses_hold(numbers: Numbers) -> None:
    assert moment(Plan((C,), 1, 2).law(numbers), C) == 0
    symmetric = Plan((S,), 1, 2).law(numbers)
    assert moment(symmetric, S) == moment(symmetric, S, S, S) == 0
    exchangeable = Plan((Q,), 3, 1).law(numbers)
    q, r, t = (Q.copy(i) for i in range(3))
    assert moment(exchangeable, q) == 0
    assert moment(exchangeable, q, q, r) == moment(exchangeable, t, t, q)


def test_nothing_else_holds(numbers: Numbers) -> None:
    assert moment(Plan((X,), 1, 2).law(numbers), X) != 0
    assert moment(Plan((C,), 1, 2).law(numbers), C, C, C) != 0
    exchangeable = Plan((Q,), 2, 1).law(numbers)
    assert moment(exchangeable, Q, Q.copy(1)) != 0, "exchangeable is not uncorrelated"


def test_a_symmetric_law_has_an_atom_at_zero_unless_excluded(numbers: Numbers) -> None:
    nonzero = S.assuming(nonzero=True)
    assert any(point.values[S] == 0 for point in Plan((S,), 1, 1).law(numbers))
    assert all(point.values[nonzero] != 0 for point in Plan((nonzero,), 1, 1).law(numbers))


def test_a_joint_symmetric_law_does_not_fix_the_signs() -> None:
    """Z = 0 while its neighbour is not must stay possible, so no branch on Z may be decided."""
    neighbour = RandomVariable("T", group="S", symmetric=True)
    numbers = GenericNumbers(10)
    for point in Plan((S, neighbour), 1, 1).law(numbers)[:2]:
        with pytest.raises(Undecided):
            numbers.sign(point.values[S])


def test_degree_counts_the_laws_multiplied_with_each_other() -> None:
    assert law_degrees(Var(X)) == {"X": 2}
    assert law_degrees(E(X) ** 3 * E(C) + E(X)) == {"X": 3, "C": 1}
    assert law_degrees(E(X * X.copy(1) * C)) == {"X": 2, "C": 1}
    with pytest.raises(Undecided):
        law_degrees(sp.exp(E(X)))


def test_a_plan_covers_all_copies_of_an_exchangeable_variable() -> None:
    (plan,) = plan_laws(E(Q * Q.copy(2))).values()
    assert plan.copies == 3


def test_unlike_hypotheses_in_one_group_are_not_guessed_at() -> None:
    other = RandomVariable("T", group="S")
    with pytest.raises(Undecided, match="not alike"):
        plan_laws(E(S * other))


def test_rational_numbers_never_repeat() -> None:
    numbers = RationalNumbers(1)
    drawn = [numbers.draw() for _ in range(500)]
    assert len(set(drawn)) == 500
    assert Fraction(0) not in drawn


def test_generic_signs_are_known_only_for_positive_symbols() -> None:
    numbers = GenericNumbers(3)
    x, p = numbers.draw(), numbers.draw(positive=True)
    assert [numbers.sign(v) for v in (p, -p, p * p + p, 0 * p)] == [1, -1, 1, 0]
    for unknown in (x, p - 1):
        with pytest.raises(Undecided):
            numbers.sign(unknown)
    with pytest.raises(Undecided):
        numbers.power(x, -1)
