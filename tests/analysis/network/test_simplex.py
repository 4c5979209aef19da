"""Softmax of independent logits: the integrals against exact values and against draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.network.simplex import Simplex, gaussian_logits


def simplex(n: int, variance: float) -> Simplex:
    return Simplex(*gaussian_logits(np.array([variance])), n)


def test_two_classes_are_a_sigmoid() -> None:
    """p_1 = sigmoid(z_1 - z_2), and z_1 - z_2 is N(0, 2 v)."""
    for variance in (0.01, 1.0, 30.0):
        z = np.linspace(-12, 12, 40_001) * math.sqrt(2 * variance)
        weight = np.exp(-(z**2) / (4 * variance))
        weight /= weight.sum()
        p = 1 / (1 + np.exp(-z))
        s = simplex(2, variance)
        assert s.moment((0, 2))[0] == pytest.approx(weight @ p**2, rel=1e-10)
        assert s.moment((0, 4))[0] == pytest.approx(weight @ p**4, rel=1e-10)
        assert s.slope()[0] == pytest.approx(2 * weight @ (p * (1 - p)) ** 2, rel=1e-9)
        logarithm = -np.log1p(np.exp(-np.clip(z, -700, 700)))
        for found, power in zip(s.log_moments(), (1, 2, 4), strict=True):
            assert found[0] == pytest.approx(weight @ logarithm**power, rel=1e-8)


@given(st.integers(2, 3000), st.floats(1e-6, 200.0))
@settings(deadline=None, max_examples=25)
def test_probabilities_add_up(n: int, variance: float) -> None:
    """E[p] = 1/n, and the square of the sum is 1."""
    s = simplex(n, variance)
    assert s.error[0] < 1e-9
    whole = n * s.moment((0, 2)) + n * (n - 1) * s.moment((0, 1), (0, 1))
    assert whole[0] == pytest.approx(1.0, rel=1e-9)
    third = n * s.moment((0, 3)) + 3 * n * (n - 1) * s.moment((0, 2), (0, 1))
    if n > 2:
        third = third + n * (n - 1) * (n - 2) * s.moment((0, 1), (0, 1), (0, 1))
    assert third[0] == pytest.approx(1.0, rel=1e-9)


def test_many_classes_have_the_law_of_large_numbers() -> None:
    """n^2 E[p^2] goes to e^v, with a relative correction of order e^v / n."""
    assert 1e10 * simplex(100_000, 1.0).moment((0, 2))[0] == pytest.approx(math.e, rel=1e-4)


@given(st.integers(2, 30), st.floats(0.05, 20.0), st.integers(0, 2**32))
@settings(deadline=None, max_examples=8)
def test_against_draws(n: int, variance: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    count = 60_000
    z = random.standard_normal((count, n)) * math.sqrt(variance)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    g = random.standard_normal(p.shape)
    centre = (p * z).sum(axis=1, keepdims=True)
    back = p * (g - (p * g).sum(axis=1, keepdims=True))
    s = simplex(n, variance)
    drawn = {
        "second": (s.moment((0, 2)), p**2),
        "slope": (s.slope(), back**2),
        "radial": (s.radial(), p**2 * (z - centre) ** 2),
        "log radial": (s.log_radial(), (z - centre) ** 2),
        "log": (s.log_moments()[1], np.log(p) ** 2),
    }
    for name, (found, values) in drawn.items():
        each = values.mean(axis=1)
        error = each.std() / math.sqrt(count)
        assert abs(found[0] - each.mean()) < 7 * error, name  # 1e-11 of a normal law
    spread = (p**2).mean(axis=1)
    error = np.std((spread - spread.mean()) ** 2) / math.sqrt(count)
    assert abs(s.square_of_sum()[0] - spread.var()) < 7 * error


def test_given_a_logit() -> None:
    """Averaged over the logit again, conditional moments are the moments."""
    s = simplex(7, 2.0)
    first, second, slope = s.given(0, s.z[0])
    assert s.weight[0] @ first == pytest.approx(1 / 7, rel=1e-9)
    assert s.weight[0] @ second == pytest.approx(s.moment((0, 2))[0], rel=1e-9)
    assert s.weight[0] @ slope == pytest.approx(s.slope()[0], rel=1e-9)


def test_excess_kurtosis() -> None:
    z, weight = gaussian_logits(np.array([2.0]), np.array([-0.3]))
    square, fourth = (np.sum(weight * z**k) for k in (2, 4))
    assert square == pytest.approx(2.0, rel=1e-12)
    assert fourth / square**2 - 3 == pytest.approx(-0.3, rel=1e-9)
