"""Quasi-random points of Gaussian laws, for expectations that have no closed form."""

from __future__ import annotations

import functools

import numpy as np

from analysis.network.records import Array


@functools.lru_cache(maxsize=16)
def normal_points(count: int, dimensions: int, seed: int) -> Array:
    """`count` (a power of two) standard normal points (count, dimensions): a Sobol sequence,
    scrambled (Owen 1998), so that two seeds tell how exact an average over one is."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    uniform = qmc.Sobol(dimensions, scramble=True, rng=seed).random(count)
    points: Array = ndtri(np.clip(uniform, 1e-12, 1 - 1e-12))
    points.flags.writeable = False
    return points


def square_root(covariance: Array) -> Array:
    """A matrix R with R R^T = covariance; stacks of them; singular ones, too."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :])
