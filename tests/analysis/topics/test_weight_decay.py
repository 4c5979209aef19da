"""The equilibrium of weight decay and gradient, against the recursion it is the rest of."""

from __future__ import annotations

import math

import pytest

from analysis.topics import derive
from tests.analysis.topics.steps import number, result, stated, step

ETA, LAMBDA, G = 0.1, 0.02, 0.7


def after(q: float, steps: int) -> float:
    """|w|^2 after some steps in which w . grad = 0 and |grad| = g/|w|."""
    for _ in range(steps):
        q = (1 - ETA * LAMBDA) ** 2 * q + ETA**2 * G**2 / q
    return q


def test_the_recursion_comes_to_rest_there() -> None:
    rest = math.sqrt(
        number(result("weight-decay-under-batchnorm"), eta=ETA, g=G, **{"lambda": LAMBDA})
    )
    assert after(rest, 1) == pytest.approx(rest, rel=1e-14)
    for start in (0.01, 50.0):
        assert after(start, 5000) == pytest.approx(rest, rel=1e-9)


def test_how_fast_it_gets_there() -> None:
    """A small deviation shrinks by the stated factor."""
    rest = math.sqrt(
        number(result("weight-decay-under-batchnorm"), eta=ETA, g=G, **{"lambda": LAMBDA})
    )
    factor = number(
        stated("weight-decay-under-batchnorm", "near rest"), eta=ETA, **{"lambda": LAMBDA}
    )
    deviation = 1e-5 * rest
    assert (after(rest + deviation, 1) - rest) / deviation == pytest.approx(factor, rel=1e-4)


def test_eps_breaks_the_invariance() -> None:
    """d/dt yhat = (y - mu) eps / (v + eps)^(3/2) at t = 1, by differences."""
    y, mu, v, eps, h = 1.7, 0.2, 0.8, 0.3, 1e-6

    def stretched(t: float) -> float:
        return (t * y - t * mu) / math.sqrt(t**2 * v + eps)

    slope = (stretched(1 + h) - stretched(1 - h)) / (2 * h)
    values = {"y[i]": y, "mu": mu, "v": v, "eps": eps, "t": 1}
    derived = stated("weight-decay-under-batchnorm", "weights `t w`")
    assert number(derived, **values) == pytest.approx(slope, rel=1e-8)
    assert "eps = 0" in step("weight-decay-under-batchnorm", "so the loss").assumption


def test_it_says_that_eps_is_zero() -> None:
    assert any("eps = 0" in given for given in derive("weight-decay-under-batchnorm").given)
