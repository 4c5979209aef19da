"""Gaussian expectations of activations: against closed forms, mpmath, and differences in q."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import mpmath
import numpy as np
import pytest

from analysis.network.response import NOT_POSITIVE, Grid, Response, expectations, linear

Function = Callable[[np.ndarray], np.ndarray]


def respond(
    phi: Function, derivative: Function, q: np.ndarray, kinks: Sequence[float] = ()
) -> Response:
    """The response of `phi` to N(0, q)."""
    grid = Grid.gaussian(np.zeros_like(q), q, kinks)
    off = not (np.any(phi(NOT_POSITIVE)) or np.any(derivative(NOT_POSITIVE)))
    return expectations(phi(grid.x), derivative(grid.x), grid, off)


def relu(q: float) -> object:
    return respond(lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0, np.array([q]), (0.0,))


@pytest.mark.parametrize("q", [1e-6, 0.3, 1.0, 40.0])
def test_relu_in_closed_form(q: float) -> None:
    r = relu(q)
    assert r.mean[0] == pytest.approx(math.sqrt(q / (2 * math.pi)), rel=1e-13)
    assert r.second[0] == pytest.approx(q / 2, rel=1e-13)
    assert r.fourth[0] == pytest.approx(1.5 * q * q, rel=1e-13)
    assert r.slope[0] == pytest.approx(0.5, rel=1e-13)
    assert r.second_1[0] == pytest.approx(0.5, rel=1e-11)
    assert abs(r.second_2[0]) * q < 1e-11
    assert abs(r.slope_1[0]) * q < 1e-11
    assert r.radial[0] == pytest.approx(q / 2, rel=1e-13)
    assert r.cross[0] == pytest.approx(q / 2, rel=1e-13)


@pytest.mark.parametrize("q", [1e-4, 0.02, 1.0, 30.0, 1e4])
def test_tanh_against_mpmath(q: float) -> None:
    r = respond(np.tanh, lambda x: 1 / np.cosh(np.clip(x, -300, 300)) ** 2, np.array([q]))
    s = mpmath.sqrt(q)
    cuts = sorted({-12, -4, 0, 4, 12, *(float(c / s) for c in (-30, -8, -2, 2, 8, 30))})
    cuts = [c for c in cuts if abs(c) <= 12]

    def expect(g: object) -> float:
        return float(mpmath.quad(lambda z: g(s * z) * mpmath.npdf(z), cuts))

    assert r.second[0] == pytest.approx(expect(lambda x: mpmath.tanh(x) ** 2), rel=1e-12)
    assert r.slope[0] == pytest.approx(expect(lambda x: mpmath.sech(x) ** 4), rel=1e-11)
    assert r.stretch[0] == pytest.approx(expect(lambda x: x**2 * mpmath.sech(x) ** 4), rel=1e-11)


def test_derivatives_in_q_are_differences_of_values() -> None:
    def of(q: float) -> object:
        return respond(np.tanh, lambda x: 1 - np.tanh(x) ** 2, np.array([q]))

    q, h = 0.7, 1e-3
    low, here, high = of(q - h), of(q), of(q + h)
    for value, first, second in (
        ("second", "second_1", "second_2"),
        ("slope", "slope_1", "slope_2"),
    ):
        a, b, c = (getattr(r, value)[0] for r in (low, here, high))
        # central differences are off by h^2 times a derivative of order 1
        assert getattr(here, first)[0] == pytest.approx((c - a) / (2 * h), abs=1e-5)
        assert getattr(here, second)[0] == pytest.approx((c - 2 * b + a) / h**2, abs=1e-4)


def test_the_identity_in_closed_form_is_the_quadrature() -> None:
    q = np.array([0.1, 2.0])
    closed = linear(q)
    computed = respond(lambda x: x, np.ones_like, q)
    for name, value in vars(closed).items():
        # second derivatives cancel to 1e-16 / q^2
        np.testing.assert_allclose(getattr(computed, name), value, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("q", [1e-26, 1e-60, 1e-130])
def test_no_variance_is_too_small(q: float) -> None:
    assert relu(q).second[0] == pytest.approx(q / 2, rel=1e-12)


def test_no_variance_has_the_slope_at_0_and_moments_that_count_as_0() -> None:
    r = relu(0.0)
    assert r.second[0] > 0
    assert [r.moment(order)[0] for order in (1, 2, 4)] == [0, 0, 0]
    assert r.slope[0] == pytest.approx(0.5, rel=1e-12)
    assert r.second_1[0] == pytest.approx(0.5, rel=1e-10)
