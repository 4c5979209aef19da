"""Tolerances for statistics of random draws, with tails that hold at one in 10^12.

Each function takes independent observations and a predicted expectation and says whether they can
be reconciled: `True` wherever the prediction is right, except with probability `ALARM`. A normal
approximation is wrong by orders of magnitude so far out; these are inequalities.
"""

from __future__ import annotations

import math

import numpy as np

ALARM = 1e-12
"""Probability that one check rejects a right prediction. The suite makes fewer than 1000 checks
(some 20 properties of at most 20 examples), so all of it stays below 1e-9."""
_LOG = math.log(2 / ALARM)


def mean_square_fits(z: np.ndarray, variance: np.ndarray | float) -> bool:
    """Whether independent z_i, strictly sub-Gaussian about 0, may have these variances.

    Strictly sub-Gaussian: E exp(t z) <= exp(t^2 Var(z) / 2), as for normal and uniform laws and for
    normal laws cut symmetrically (Arbel, Marchal and Nguyen 2020; Barreto, Marchal and Arbel 2024),
    and for sums of independent such variables. With M = mean(z^2 / variance) over N values:

    * above: averaging exp(sqrt(2s) g z) over a normal g, E exp(s z^2 / v) <= (1 - 2s)^(-1/2),
      the chi-square bound, so P(M >= 1 + d) <= exp(-N (d - log(1 + d)) / 2);
    * below: E exp(-s z^2 / v) <= 1 - s + 3 s^2 / 2 since E z^4 <= 3 v^2, so
      P(M <= 1 - d) <= exp(-N d^2 / 6).
    """
    ratio = np.square(z) / variance
    excess, count = float(ratio.mean()) - 1, ratio.size
    if excess > 0:
        return count * (excess - math.log1p(excess)) / 2 <= _LOG
    return count * excess**2 / 6 <= _LOG


def needed(deviation: float) -> int:
    """How many values `mean_square_fits` needs to reject a relative error of `deviation`, with as
    much room again for the error of the sample itself: (2 * sqrt(6 log) / deviation)^2."""
    return math.ceil(4 * 6 * _LOG / deviation**2)


def bounded_mean_fits(x: np.ndarray, width: np.ndarray | float, expectation: float) -> bool:
    """Whether independent x_i, each in an interval of length `width` (one for all, or one each),
    may have this average expectation: Hoeffding's inequality."""
    widths = np.broadcast_to(np.asarray(width, float), x.shape)
    gap = abs(float(x.sum()) - expectation * x.size)
    return 2 * gap**2 / float(np.square(widths).sum()) <= _LOG


def bernstein_fits(x: np.ndarray, bound: float, variance: float, expectation: float) -> bool:
    """Whether independent x_i in [0, bound] with this variance (or less) may have this expectation:
    Bernstein's inequality."""
    gap = abs(float(x.mean()) - expectation)
    return x.size * gap**2 / (2 * (variance + bound * gap / 3)) <= _LOG
