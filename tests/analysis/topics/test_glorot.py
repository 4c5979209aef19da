"""LeCun's and Glorot's variances, and which average is taken."""

from __future__ import annotations

import sympy as sp

from analysis.symbolic.expectation import Var
from analysis.topics import derive
from analysis.topics.dense import N_IN, N_OUT, W


def test_lecun() -> None:
    derivation = derive("lecun")
    assert derivation.result == sp.Eq(Var(W), 1 / N_IN)
    assert [used.name for used in derivation.uses] == ["dense-forward"]


def test_glorot() -> None:
    derivation = derive("glorot")
    assert derivation.result == sp.Eq(Var(W), 2 / (N_IN + N_OUT))
    assert [used.name for used in derivation.uses] == ["dense-forward", "dense-backward"]


def test_each_direction_alone_depends_on_its_own_fan() -> None:
    lemmas = [step.rhs.rhs for step in derive("glorot").steps if step.role == "lemma"]
    assert lemmas == [1 / N_IN, 1 / N_OUT]


def test_the_two_averages_differ() -> None:
    values = [s.rhs for s in derive("glorot").steps if s.claim.where.get(N_OUT) == 4]
    assert values == [sp.Rational(9, 16), sp.Rational(2, 5)]


def test_the_uniform_bound() -> None:
    bound = derive("glorot").steps[-1].rhs
    assert sp.simplify(bound.rhs - sp.sqrt(6 / (N_IN + N_OUT))) == 0
