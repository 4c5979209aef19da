"""The tools that made what is checked in: the polynomials of the vector functions."""

from __future__ import annotations

import pytest
from mpmath import mp, mpf

from tinygrad_edu.kernels.vector_math import coefficients
from tools import minimax

LARGEST = 0.25
"""Of a polynomial's relative error, in units of 2^-24 or 2^-53: next to the half unit of each
rounding behind it, no more than that may be added."""


@pytest.fixture(autouse=True)
def digits() -> None:
    mp.dps = minimax.DIGITS


@pytest.mark.parametrize(
    "problem", minimax.problems(), ids=lambda problem: f"{problem.name} {problem.precision}"
)
def test_the_coefficients_approximate_what_they_say(problem: minimax.Problem) -> None:
    stored = getattr(coefficients, problem.name)[problem.precision]
    assert len(stored) == problem.degree + 1
    assert [minimax.rounded(c, problem.precision) for c in stored] == list(stored)
    for x in minimax.chebyshev(problem.low, problem.high, 150):
        error = problem.weight(x) * (minimax.horner(stored, x) - problem.function(x))
        assert abs(error) * 2 ** minimax.BITS[problem.precision] <= LARGEST


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_parts_of_ln2(precision: str) -> None:
    high, low = coefficients.LN2[precision]
    largest_exponent = {"float32": 151, "float64": 1077}[precision]
    for k in range(1, largest_exponent):
        assert minimax.rounded(mpf(k) * mpf(high), precision) == mpf(k) * mpf(high)
    unit = mpf(2) ** -minimax.BITS[precision] * low
    assert abs(mpf(high) + mpf(low) - mp.log(2)) <= unit


def test_the_error_alternates() -> None:
    """The best approximation of degree n errs n + 2 times as much, in turns (Chebyshev)."""
    points = minimax.chebyshev(mpf(-1), mpf(1), 200)
    wanted, weights = [mp.exp(x) for x in points], [mpf(1)] * 200
    found = minimax.remez(points, wanted, weights, 0, 4)
    errors = [minimax.horner(found, x) - y for x, y in zip(points, wanted, strict=True)]
    heights = [abs(errors[i]) for i in minimax.alternating_extrema(errors)]
    assert len(heights) == 6
    assert max(heights) <= min(heights) * mpf("1.001")
