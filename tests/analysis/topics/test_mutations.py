"""No derivation accepts a wrong right-hand side, at any of its steps."""

from __future__ import annotations

import dataclasses

import pytest
import sympy as sp

from analysis.errors import Unverified
from analysis.symbolic.derivation import Claim
from analysis.symbolic.expectation import E, RandomVariable, Var
from analysis.topics import derivations, derive
from tests.analysis.topics.mutations import mutants, still_true


def accepted(claim: Claim, rhs: sp.Expr) -> bool:
    try:
        dataclasses.replace(claim, rhs=rhs).check()
    except Unverified:
        return False
    return True


@pytest.mark.parametrize("name", derivations())
def test_no_wrong_mutant_is_accepted(name: str) -> None:
    refused = 0
    for step in derive(name).steps:
        of_this_step = list(mutants(step.rhs))
        passed = [mutant for mutant in of_this_step if accepted(step.claim, mutant)]
        for mutant in passed:
            assert still_true(step.claim, mutant), f"{step.name}: {step.lhs} = {mutant}"
        assert len(of_this_step) - len(passed) >= 3, f"too little is refused for {step.rhs}"
        refused += len(of_this_step) - len(passed)
    assert refused >= 20


@pytest.mark.parametrize("name", derivations())
def test_every_derivation_holds_when_checked_again(name: str) -> None:
    derivation = derive(name)
    assert derivation.recheck() is derivation.grade
    assert derivation.grade.is_proof


def test_the_mutations_are_those_that_authors_make() -> None:
    W, Y = RandomVariable("W"), RandomVariable("Y")
    n_in, n_out = sp.symbols("n_in n_out", integer=True, positive=True)
    made = set(mutants(n_in * Var(W) + 2 * E(Y) ** 2))
    for mistake in (
        n_out * Var(W) + 2 * E(Y) ** 2,  # the wrong fan
        n_in * Var(W) + 3 * E(Y) ** 2,  # a coefficient
        n_in * Var(W),  # a term dropped
        Var(W) + 2 * E(Y) ** 2,  # a factor dropped
        n_in * Var(W) - 2 * E(Y) ** 2,  # a sign
        n_in * Var(W) + 2 * E(Y) ** 3,  # an exponent
        2 * n_in * Var(W) + 2 * E(Y) ** 2,  # a symbol doubled
        n_in * Var(Y) + 2 * E(W) ** 2,  # two variables swapped
    ):
        assert mistake in made


def test_a_mutant_that_is_true_is_recognised() -> None:
    W = RandomVariable("W", zero_mean=True)
    claim = Claim(E(W**2), Var(W))
    assert still_true(claim, Var(W) + E(W) ** 2)
    assert not still_true(claim, Var(W) + E(W**2))
