"""Whole powers as products are as exact as the powers of the vector functions."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_edu.kernels.whole_powers import MOST_FACTORS, MOST_INVERSES, product

POWERS = [*range(-MOST_INVERSES, 0), *range(1, MOST_FACTORS + 1)]


def units_off(n: int) -> float:
    """The largest error in units of the last place over all float32 of one exponent, which are like
    those of any other. (That of the power in float64 is some 2**-28 of such a unit.)"""
    x = (np.arange(2**23, 2**24) / 2**23).astype(np.float32)
    found, exact = product(x if n > 0 else 1 / x, abs(n)), x.astype(np.float64) ** n
    return float(np.max(np.abs(found - exact) / np.spacing(exact.astype(np.float32))))


@pytest.mark.parametrize("n", POWERS)
def test_within_two_units_in_the_last_place(n: int) -> None:
    assert units_off(n) < 2


@pytest.mark.parametrize("n", [-MOST_INVERSES - 1, MOST_FACTORS + 1])
def test_higher_ones_are_not(n: int) -> None:
    assert units_off(n) > 2


def test_integers_wrap_around_as_numpy_does() -> None:
    x = np.arange(-50, 50)
    for n in range(1, 40):
        np.testing.assert_array_equal(product(x, n), x**n)
