"""Whether a sample fits an expectation, at a set rate of false alarms."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.analysis.tails import ALARM

examples = settings(max_examples=4)
seeds = st.integers(0, 2**32 - 1)

Fits = Callable[[float], bool]
BLOCKS = math.ceil(-2 * math.log(ALARM) / math.log(4 / 3))
"""Of a median of means, so many that half of them are off by chance once in 1 / ALARM."""


def median_of_means_fits(x: np.ndarray, variance: float, expectation: float) -> bool:
    """Whether independent x_i with this variance may have this expectation, however heavy their
    tails are.

    By Chebyshev a block's mean is off by more than twice its standard deviation with probability
    1/4 at most. For the median to be, half of the blocks must be: by Chernoff's bound for their
    number, exp(-BLOCKS log(4/3) / 2) at most.
    """
    size = x.size // BLOCKS
    median = float(np.median(x[: BLOCKS * size].reshape(BLOCKS, size).mean(1)))
    return abs(median - expectation) <= 2 * math.sqrt(variance / size)


def concentrated_mean_fits(x: np.ndarray, expectation: float) -> bool:
    """Whether independent x_i = f(g_i), with g_i standard normal vectors and f of slope 1 or less,
    may have this expectation: P(|mean - E f| >= t) <= 2 exp(-N t^2 / 2) (Tsirelson, Ibragimov and
    Sudakov 1976)."""
    return x.size * (float(x.mean()) - expectation) ** 2 / 2 <= math.log(2 / ALARM)


def expect(fits: Fits, right: float, *planted: float) -> None:
    assert fits(right)
    for wrong in planted:
        assert not fits(wrong), f"{wrong} passes for {right}"


def uniform(*shape: int) -> np.ndarray:
    """Independent draws from [0, 1): mean 1/2, variance 1/12, kurtosis 9/5."""
    drawn: np.ndarray = tg.rand(*shape, dtype="float64").numpy()
    return drawn


UNIFORM = {"Var(y)": 1 / 12, "Var(b)": 1 / 12, "kappa": 1.8}
