"""Gradients of one sign, and the condition number, against matrices."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from analysis.topics import derive
from tests.analysis.topics.steps import number, result, stated


def test_the_counterexample() -> None:
    x, delta = np.array([[1, 2], [2, 1]]), np.array([1, -1])
    assert list(delta @ x) == [-1, 1]
    assert stated("same-sign-gradients", "positive inputs alone") == -1
    assert stated("same-sign-gradients", "and `g_2`") == 1


def test_the_product_of_two_entries() -> None:
    x, delta = np.array([[1.0, 2.0], [2.0, 1.0], [0.5, 3.0]]), np.array([1.0, 0.5, 2.0])
    gradient = delta @ x
    elements = {f"x[{i + 1}, {j + 1}]": x[i, j] for i in range(3) for j in range(2)}
    elements |= {f"delta[{i + 1}]": delta[i] for i in range(3)}
    written_out = result("same-sign-gradients").subs(
        {s: v for s in result("same-sign-gradients").free_symbols for n, v in _AT if s.name == n}
    )
    assert number(written_out.doit(), **elements) == pytest.approx(gradient[0] * gradient[1])


_AT = (("B", 3), ("j", 1), ("k", 2))


@pytest.mark.parametrize(("n", "m", "v"), [(5, 0.0, 2.0), (5, 1.5, 2.0), (40, -0.3, 0.1)])
def test_the_condition_number_of_the_second_moments(n: int, m: float, v: float) -> None:
    hessian = v * np.eye(n) + m**2
    assert number(result("zig-zag"), n=n, m=m, v=v) == pytest.approx(np.linalg.cond(hessian))


def test_behind_relu() -> None:
    """1 + n/(pi - 1); m^2/v = 0.46694220692426 by mpmath."""
    assert number(stated("zig-zag", "behind relu"), n=100) == pytest.approx(47.694220692426)


def test_descent_along_the_flat_direction() -> None:
    n, m, v = 10, 0.8, 0.5
    hessian = v * np.eye(n) + m**2
    step = np.eye(n) - 2 / (v + n * m**2) * hessian
    flat, steep = np.eye(n)[0] - np.eye(n)[1], np.ones(n)
    shrinks = number(stated("zig-zag", "at the largest stable step"), n=n, m=m, v=v)
    assert step @ flat == pytest.approx(shrinks * flat)
    assert step @ steep == pytest.approx(-steep)


def test_what_is_assumed() -> None:
    assert any("independent" in given for given in derive("zig-zag").given)
    assert sp.Symbol("n", integer=True, positive=True) in result("zig-zag").free_symbols
