"""Roots and exponentials as symbols: what vanishes, and what does not."""

from __future__ import annotations

import pytest
import sympy as sp
from sympy import Expr, exp, sqrt

from analysis.symbolic.radicals import vanishes

x, y = sp.symbols("x y", positive=True)
t = sp.Symbol("t", real=True)

ZERO = [
    1 / (sqrt(x) + 1) - (sqrt(x) - 1) / (x - 1),
    sqrt(x**2 + 2 * x * y + y**2) - x - y,
    1 / sqrt(x * y) - 1 / (sqrt(x) * sqrt(y)),
    (sqrt(1 + sqrt(x)) + 1) * (sqrt(1 + sqrt(x)) - 1) - sqrt(x),
    sqrt(1 - t**2) ** 3 / (1 - t**2) - sqrt(1 - t**2),
    sqrt(2) * sqrt(sp.pi) / 2 - sqrt(sp.pi) / sqrt(2),
    exp(-(t**2)) * exp(2 * t**2 * x / (1 + 2 * x)) - exp(-(t**2) / (1 + 2 * x)),
    1 / (1 + exp(-t)) - (1 + sp.tanh(t / 2)) / 2,
    sp.cosh(t) ** 2 - sp.sinh(t) ** 2 - 1,
]


@pytest.mark.parametrize("expression", ZERO, ids=str)
def test_what_is_zero_vanishes(expression: Expr) -> None:
    assert vanishes(expression)


@pytest.mark.parametrize("expression", ZERO, ids=str)
@pytest.mark.parametrize("error", [sp.Rational(1, 10**9), x, exp(t), sqrt(1 + x)], ids=str)
def test_what_is_not_does_not(expression: Expr, error: Expr) -> None:
    assert not vanishes(expression + error)
    assert not vanishes(expression - error / (1 + y))


def test_the_sign_of_a_root_matters() -> None:
    assert not vanishes(sqrt(t**2) - t)
    assert not vanishes(sqrt(x) + sqrt(x))
