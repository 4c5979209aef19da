"""Two interleaving half circles: the smallest data set that no straight line separates."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tinygrad_edu.data.keyed import permutation, whole_number
from tinygrad_edu.errors import DataError


def two_moons(
    n: int = 100, noise: float = 0.1, seed: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Points on two interleaving half circles, in random order.

    The upper moon is (cos t, sin t), the lower one (1 - cos t, 1/2 - sin t), with t evenly spaced
    over [0, π]; every coordinate gets an independent normal error.

    Like scikit-learn's ``make_moons(n, noise=noise)``, with three differences: labels are -1 and
    +1 (what a hinge loss takes) where it has 0 and 1, noise is on unless told otherwise, and the
    seeds give other points of the same law.

    Args:
        n: Number of points, at least 2; the upper moon has n // 2 of them.
        noise: Standard deviation of the error, >= 0.
        seed: An integer >= 0; the same seed gives the same points.

    Returns:
        The points, shape (n, 2), and their labels, shape (n,): -1 on the upper moon, +1 on the
        lower.

    Raises:
        DataError: ``n``, ``noise`` or ``seed`` is out of its range.
    """
    n = whole_number("n", n, 2)
    seed = whole_number("seed", seed, 0)
    if not (math.isfinite(noise) and noise >= 0):
        raise DataError(f"noise must be a finite number >= 0, got {noise!r}.")
    upper = np.linspace(0, np.pi, n // 2)
    lower = np.linspace(0, np.pi, n - n // 2)
    points = np.concatenate(
        [
            np.column_stack([np.cos(upper), np.sin(upper)]),
            np.column_stack([1 - np.cos(lower), 0.5 - np.sin(lower)]),
        ]
    )
    labels = np.repeat(np.array([-1, 1], dtype=np.int64), [len(upper), len(lower)])
    points += np.random.default_rng(seed).normal(scale=noise, size=points.shape)
    order = permutation(n, seed)
    return points[order], labels[order]
