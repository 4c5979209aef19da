"""Identical units have identical gradients, in both directions of their weights."""

from __future__ import annotations

import sympy as sp

from analysis.topics import derive
from tests.analysis.topics.steps import result, stated, step


def test_the_gradients_are_equal() -> None:
    assert result("identical-units") == 0
    assert stated("identical-units", "likewise") == 0


def test_only_if_the_outgoing_weights_are_equal_too() -> None:
    a_1, a_2 = sp.symbols("a_1 a_2", real=True)
    left = stated("identical-units", "unequal outgoing")
    assert left != 0
    assert left.subs(a_2, a_1) == 0
    assert "w_1 = w_2" in step("identical-units", "unequal outgoing").assumption


def test_the_chain_starts_from_derivatives_of_the_loss() -> None:
    assert derive("identical-units").start.atoms(sp.Derivative)


def test_zero_weights_give_the_constants_of_the_lecture() -> None:
    values = {name: stated("identical-units", f"{name} gives") for name in ("relu", "tanh")}
    assert values == {"relu": 0, "tanh": 0}
    assert stated("identical-units", "sigmoid gives") == sp.Rational(1, 2)
