"""The rewriting rules keep the value of an expression under explicit laws."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Expr

from analysis.symbolic.expectation import (
    Cov,
    E,
    Named,
    RandomVariable,
    SumOfCopies,
    Var,
    assuming,
    definition,
    free_variables,
    identical_copies,
    independence,
    linearity,
    symmetry,
    unfold,
    zero_mean,
)
from analysis.symbolic.laws import compare

W = RandomVariable("W", zero_mean=True)
X = RandomVariable("X")
Y = RandomVariable("Y", group="X")  # depends on X
Z = RandomVariable("Z", symmetric=True)
a = sp.Symbol("a", real=True)


def test_independence_splits_only_what_shares_no_group() -> None:
    assert independence(E(W * X * Y)) == E(W) * E(X * Y)
    assert independence(E(X * Y)) == E(X * Y)


def test_linearity_pulls_out_constants_and_expectations() -> None:
    assert linearity(E(a * X + X * E(X) + 1)) == a * E(X) + E(X) ** 2 + 1


def test_zero_mean_needs_the_hypothesis() -> None:
    assert zero_mean(E(W) + E(X)) == E(X)
    assert zero_mean(E(W**2)) == E(W**2)


def test_symmetry_kills_odd_functions_only() -> None:
    assert symmetry(E(Z**3) + E(Z**2) + E(X**3)) == E(Z**2) + E(X**3)


def test_definition_and_unfold() -> None:
    assert definition(Cov(X, Y)) == E(X * Y) - E(X) * E(Y)
    assert definition(Var(X)) == E((X - E(X)) ** 2)
    assert unfold(Var(Named("s", X + Y))) == Var(X + Y)


def test_constants_are_their_own_expectation() -> None:
    assert E(a) == a
    assert E(E(X)) == E(X)
    assert Var(E(X)) == 0
    assert Cov(a, X) == 0


def test_copies_are_renamed_from_the_first_one_on() -> None:
    assert identical_copies(E(X.copy(2) ** 2)) == E(X**2)
    assert identical_copies(E(X.copy(1) * X.copy(3))) == E(X * X.copy(1))


def test_copies_are_independent_unless_exchangeable() -> None:
    S = RandomVariable("S", exchangeable=True)
    assert independence(E(X * X.copy(1))) == E(X) * E(X.copy(1))
    assert independence(E(S * S.copy(1))) == E(S * S.copy(1))


def test_a_sum_over_copies_depends_on_each_of_them() -> None:
    total = SumOfCopies(X, sp.Symbol("i"), sp.Symbol("n", integer=True))
    assert independence(E(total * X.copy(3))) == E(total * X.copy(3))
    assert independence(E(total * W)) == E(total) * E(W)


def test_a_variable_is_its_name_and_hypotheses() -> None:
    assert RandomVariable("W", zero_mean=True) is W
    assert RandomVariable("W") != W
    assert W.assuming(zero_mean=False) == RandomVariable("W")
    assert Z.zero_mean, "a symmetric law has mean 0"
    assert str(X.copy(2)) == "X''"


@pytest.mark.parametrize(
    "twin", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_variable_survives_copying(twin: Callable[[Expr], Expr]) -> None:
    assert twin(Z.copy(1)) == Z.copy(1)
    assert twin(E(W * X)) == E(W * X)


def test_assuming_reaches_the_copies() -> None:
    replaced = assuming(E(X * X.copy(1)), {X: X.assuming(zero_mean=True)})
    assert all(v.zero_mean for v in replaced.atoms(RandomVariable))


def test_free_variables_are_those_not_averaged_over() -> None:
    assert free_variables(X * E(W) + Var(Z)) == {X}


polynomials = st.lists(
    st.tuples(st.integers(-3, 3), *(st.integers(0, 2) for _ in range(4))), min_size=1, max_size=3
).map(lambda terms: sp.Add(*(c * W**i * X**j * Y**k * Z**m for c, i, j, k, m in terms)))
RULES = [definition, linearity, independence, zero_mean, symmetry, identical_copies]


@settings(max_examples=25)
@given(polynomials, st.permutations(RULES))
def test_rules_keep_the_value_in_any_order(
    polynomial: Expr, rules: list[Callable[[Expr], Expr]]
) -> None:
    start = E(polynomial) + Var(polynomial.subs(X, 1))
    expression = start
    for rule in [*rules, linearity, independence, zero_mean]:
        expression = rule(expression)
    compare(start, expression)  # raises if they differ under some law
