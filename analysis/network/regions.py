"""In which region of its activation a unit works, under the predicted law of its pre-activation.

With the slope phi' relative to its largest absolute value: *saturated* where it is below 1/10,
*near linear* where it is above 9/10, *dead* where it is exactly 0 (on this one input).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.network.context import Context
from analysis.network.records import Array
from analysis.network.roots import GaussianRoot, Root

SATURATED = 0.1
NEAR_LINEAR = 0.9

_POINTS = np.unique(np.concatenate([np.linspace(-8, 8, 1201), np.sinh(np.linspace(-9, 9, 301))]))
"""Slopes are looked at between these; probabilities are right to about 1e-3."""


@dataclass(frozen=True)
class Regions:
    """The fractions of units, averaged over examples."""

    saturated: float
    near_linear: float
    dead: float


def regions(root: Root, index: int, context: Context) -> Regions | None:
    """Of a function of a Gaussian variable; None for other variables and for constants."""
    if not isinstance(root, GaussianRoot) or len(root.form.mean) > _MOST_CASES:
        return None
    middles = (_POINTS[1:] + _POINTS[:-1]) / 2
    points = np.tile(middles, (len(root.form.mean), 1))
    slope = np.abs(root.program.run(points, index)[index][1])
    largest = slope.max(axis=1, keepdims=True)
    if not np.all(largest > 0):
        return None
    relative = slope / largest
    weight = np.diff(_below(root), axis=1)
    conditions = relative < SATURATED, relative > NEAR_LINEAR, slope == 0
    return Regions(*(context.average((weight * c).sum(axis=1)) for c in conditions))


_MOST_CASES = 256


def _below(root: GaussianRoot) -> Array:
    """P(u <= point), with everything beyond the ends counted in the outermost intervals."""
    sigma = np.sqrt(np.maximum(root.variance, 1e-300))[:, None]
    z = (_POINTS - root.form.mean[:, None]) / sigma
    below = np.vectorize(math.erfc, otypes=[float])(-z / math.sqrt(2)) / 2
    below[:, 0], below[:, -1] = 0.0, 1.0
    return np.asarray(below)
