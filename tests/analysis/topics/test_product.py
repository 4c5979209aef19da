"""The variance of a product, against a law written out by hand."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from analysis.symbolic.expectation import E, RandomVariable, Var
from analysis.topics import derive

W, Y = RandomVariable("W"), RandomVariable("Y")


def test_result() -> None:
    derivation = derive("product-variance")
    assert derivation.start == Var(W * Y)
    expected = E(Y) ** 2 * Var(W) + E(W) ** 2 * Var(Y) + Var(Y) * Var(W)
    assert sp.expand(derivation.result - expected) == 0


def test_result_for_two_coins() -> None:
    """W is 1 or 3, Y is 0 or 2, each with probability 1/2: W Y is 0 (1/2), 2 (1/4) or 6 (1/4)."""
    moments = {E(W): 2, Var(W): 1, E(Y): 1, Var(Y): 1}
    mean = Fraction(2 + 6, 4)
    variance = Fraction(4 + 36, 4) - mean**2
    assert derive("product-variance").result.xreplace(moments) == variance


def test_the_lecture_s_form_is_a_special_case_with_its_assumption() -> None:
    (remark,) = (step for step in derive("product-variance").steps if step.role == "remark")
    assert remark.rhs == Var(W) * Var(Y)
    assert "E[W] = 0" in remark.assumption
    assert "E[Y] = 0" in remark.assumption
