"""Residual stacks: doubling, taming, and adding."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp

from analysis.symbolic.expectation import E
from analysis.topics.residual import BETA, DEPTH, Y
from tests.analysis.topics.steps import number, result, stated


def test_a_block() -> None:
    assert sp.expand(result("residual") - (1 + BETA**2) * E(Y**2)) == 0
    assert number(result("residual"), beta=1, **{"E[Y**2]": 3}) == 6


def test_ten_plain_blocks_multiply_by_1024() -> None:
    assert number(stated("residual", "a plain block"), L=10) == 1024


def test_scaled_branches_tend_to_e() -> None:
    """(1 + 1/10)^10 = 2.5937424601, and e in the limit."""
    ten = number(stated("residual", "after `L`").xreplace({BETA: 1 / sp.sqrt(DEPTH)}), L=10)
    assert ten == pytest.approx(2.5937424601, rel=1e-10)
    assert number(stated("residual", "branches scaled")) == pytest.approx(math.e)


def test_normalised_branches_add() -> None:
    assert number(stated("residual-normalised", "after `L`"), L=10) == 11
    gradient = np.prod([1 + 1 / block for block in range(1, 11)])
    assert number(stated("residual-normalised", "back through"), L=10) == pytest.approx(gradient)


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_a_block_of_random_weights(beta: float) -> None:
    """Branch: relu, then a He layer, over many draws of its weights."""
    rng = np.random.default_rng(0)
    n, draws = 32, 20_000
    y = rng.standard_normal(n)
    h = np.maximum(y, 0)
    weights = rng.standard_normal((draws, n)) * math.sqrt(1 / np.sum(h**2)) * np.sqrt(np.mean(y**2))
    out = y[0] + beta * weights @ h
    squares = out**2
    predicted = y[0] ** 2 + beta**2 * np.mean(y**2)
    assert abs(squares.mean() - predicted) < 5 * squares.std() / math.sqrt(draws)
