"""The normal law cut off outside [a, b] that has a *given* mean and standard deviation.

Cutting the tails off a normal law of standard deviation s leaves less than s (0.88 s for a cut at
±2 s), so the law that is cut must be a wider one. Its density in x, measured in the wanted units
(mean 0, standard deviation 1 wanted), is proportional to exp(p x + q x^2) on [low, high]: an
exponential family. There the gradient of log(integral) is E[x], E[x^2] and its Hessian is their
covariance, so Newton's method finds the one pair (p, q) that gives mean 0 and second moment 1.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_edu.errors import ArgumentError

FARTHEST = 40.0
"""Beyond this many standard deviations even an exponential tail is below a double's last bit."""
NODES = 200
"""Enough to integrate a bell of width 1 on [-40, 40] to the last bit: 0.6 between nodes."""
NEWTON_STEPS = 100
TOLERANCE = 1e-12
WANTED = np.array([0.0, 1.0])
"""E[x] and E[x^2]."""

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class TruncatedNormal:
    """A truncated normal law of mean 0 and standard deviation 1.

    It is normal with mean `location` and standard deviation `scale` before it is cut to
    [low, high]; `kurtosis` is E[x^4] after the cut.
    """

    low: float
    high: float
    location: float
    scale: float
    kurtosis: float

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Independent numbers, by inverting the distribution function."""
        from scipy.special import ndtr, ndtri

        bounds = (self.low - self.location) / self.scale, (self.high - self.location) / self.scale
        # 1 - 1e-20 rounds to 1, 1e-20 does not: a cut in the upper tail is drawn as its mirror.
        sign = -1.0 if bounds[0] > 0 else 1.0
        first, last = sorted(sign * bound for bound in bounds)
        z = sign * ndtri(generator.uniform(ndtr(first), ndtr(last), shape))
        numbers: Array = np.clip(self.location + self.scale * z, self.low, self.high)
        return numbers


@functools.cache
def standardized(low: float, high: float) -> TruncatedNormal:
    """The truncated normal law on [low, high] with mean 0 and standard deviation 1.

    Raises:
        ArgumentError: There is none: 0 is not inside, or the interval is so short that no bell on
            it is that wide (the widest symmetric one is uniform, (high - low) / sqrt(12)).
    """
    if not low < 0 < high:
        raise _unreachable(low, high)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    left, right = max(low, -FARTHEST), min(high, FARTHEST)
    x = (left + right) / 2 + (right - left) / 2 * nodes
    statistics = np.stack([x, x * x])
    exponents = np.array([0.0, -0.5])
    for _ in range(NEWTON_STEPS):
        density, height = _density(weights, exponents @ statistics)
        moments = statistics @ density
        miss = WANTED - moments
        if np.abs(miss).max() < TOLERANCE:
            return _from_exponents(low, high, exponents, float(x**4 @ density))
        deviation = statistics - moments[:, None]
        covariance = (deviation * density) @ deviation.T
        if np.linalg.matrix_rank(covariance) < 2:  # all mass in one point: the law ran away
            break
        step = np.linalg.solve(covariance, miss)
        # What is minimised, log(integral) - WANTED . exponents, is convex; far from the solution a
        # whole step may overshoot.
        while (
            _density(weights, (exponents + step) @ statistics)[1] - WANTED @ step
            > height + TOLERANCE
        ):
            step = step / 2
        exponents = exponents + step
    raise _unreachable(low, high)


def _density(weights: Array, log_density: Array) -> tuple[Array, float]:
    """The probability of each node, and the logarithm of the integral they were divided by."""
    top = log_density.max()
    mass = weights * np.exp(log_density - top)
    return mass / mass.sum(), float(top + np.log(mass.sum()))


def _from_exponents(low: float, high: float, exponents: Array, kurtosis: float) -> TruncatedNormal:
    p, q = (float(exponent) for exponent in exponents)
    if q >= 0:  # a bowl, not a bell
        raise _unreachable(low, high)
    variance = -1 / (2 * q)
    return TruncatedNormal(low, high, p * variance, math.sqrt(variance), kurtosis)


def _unreachable(low: float, high: float) -> ArgumentError:
    return ArgumentError(
        "trunc_normal_: no normal law cut off that close has this standard deviation. The bounds "
        f"lie {-low:.4g} and {high:.4g} standard deviations from the mean; bounds on either side "
        "must be more than sqrt(3) = 1.7321 away (at that distance the law is uniform). Lower std "
        "or widen [a, b]."
    )
