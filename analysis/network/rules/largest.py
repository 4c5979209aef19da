"""The largest of a window of dependent positions (max-pooling).

The values are one function of a Gaussian field (`fields`). Moments of the largest are averages over
quasi-random points of the window's joint law, taken twice; what the two differ by is part of the
bound. Given its own value, a position has won with the probability that all others lie below.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.network.context import Context, UnknownSignal
from analysis.network.fields import covariances
from analysis.network.points import normal_points, square_root
from analysis.network.records import Array, Signal
from analysis.network.roots import GaussianRoot, Root
from analysis.network.rules.conv import Geometry


@dataclass(frozen=True)
class Window:
    """The variable at the positions of every window: f(u), u ~ N(mean, covariance).

    members     (windows, k): which positions
    mean, root  (cases, windows, k), (cases, windows, k, k): the covariance is root root^T
    """

    members: np.ndarray[Any, Any]
    mean: Array
    root: Array

    @property
    def k(self) -> int:
        """Positions in a window."""
        return int(self.members.shape[1])


_VALUES = 4_000_000
"""Numbers worked with at once: quasi-random points for all windows together."""
_FEWEST, _MOST = 9, 13
"""Powers of two: points for a window."""
_FIELDS = 1024
"""Points for all positions together."""


def _points(window: Window) -> int:
    """How many points each window gets."""
    power = math.log2(_VALUES / max(window.mean.size, 1))
    return 1 << int(np.clip(power, _FEWEST, _MOST))


@dataclass(frozen=True)
class Largest:
    """What is known of the largest value of each window: moments with one entry for each case and
    window, `doubt` beside the second, and E[y_v y_w] when somebody asks."""

    mean: Array
    second: Array
    fourth: Array
    doubt: Array
    pairs: Any
    window: Window


def largest(x: Signal, root: Root, index: int, geometry: Geometry, context: Context) -> Largest:
    """The largest of the values f(u) of a window."""
    if not isinstance(root, GaussianRoot):
        raise UnknownSignal("the largest of values that are no functions of a Gaussian")
    covariance = _covariance(x, root, context)
    if covariance is None:
        raise UnknownSignal("the largest of positions whose dependence is not followed")
    window = _windows(geometry, root, covariance, x.places)
    moments = [_moments(window, root, index, x.places, half) for half in (0, 1)]
    mean, second, fourth = np.mean(moments, axis=0).reshape(3, -1)
    doubt = np.abs(moments[0][1] - moments[1][1]).reshape(-1)
    doubt = doubt + second * geometry.gathered(_not_gaussian(x, root, context)) / window.k
    field = functools.partial(_pairs_of_largest, x, window, root, index, covariance, second)
    return Largest(mean, second, fourth, doubt, functools.cache(field), window)


def _not_gaussian(x: Signal, root: GaussianRoot, context: Context) -> Array:
    """What fields of a real width change at most, relatively: their excess kurtosis c moves squares
    by c / 24 E[g He4] / E[g], where E[g He4] < 3 E[g] for squares of largest values, and their
    correlations scatter, which is of second order in what the second moment scatters by."""
    variable = context.variables.get(root, x)
    wander = variable.fluctuation / np.maximum(variable.second**2, np.finfo(float).tiny)
    return np.asarray(np.abs(variable.excess) / 8 + wander / 10)


def _covariance(x: Signal, root: GaussianRoot, context: Context) -> Array | None:
    """Of the variable, between all positions."""
    if x.apart:
        table = np.zeros((len(root.variance) // x.places, x.places, x.places))
        each = np.arange(x.places)
        table[:, each, each] = root.variance.reshape(-1, x.places)
        return table
    return covariances(root.form, x.places, context)


def _windows(geometry: Geometry, root: GaussianRoot, covariance: Array, places: int) -> Window:
    numbers = np.arange(places).reshape(geometry.inside)
    count = int(np.prod(geometry.outside))
    members = np.empty((count, int(np.prod(geometry.kernel))), int)
    for tap, (there, here) in enumerate(geometry.taps()):
        assert all(s.start == 0 for s in there)  # nothing is padded
        members[:, tap] = numbers[here].reshape(-1)
    mean = root.form.mean.reshape(-1, places)[:, members]
    within = covariance[:, members[:, :, None], members[:, None, :]]
    return Window(members, mean, square_root(within))


def _moments(window: Window, root: GaussianRoot, index: int, places: int, half: int) -> Array:
    """Mean, second and fourth moment of the largest: (3, cases, windows)."""
    z = normal_points(_points(window), window.k, half)
    u = window.mean[..., None] + window.root @ z.T
    largest = _applied(root, index, u, window.members, places).max(axis=2)
    return np.array([(largest**p).mean(axis=-1) for p in (1, 2, 4)])


def _applied(
    root: GaussianRoot, index: int, u: Array, members: np.ndarray[Any, Any], places: int
) -> Array:
    """f at points u (cases, windows, k, points)."""
    cases, points = len(u), u.shape[-1]
    flat = np.zeros((cases, places, points))
    flat[:, members] = u
    values = root.program.run(flat.reshape(cases * places, points), index)[index][0]
    return np.asarray(values.reshape(cases, places, points)[:, members])


def _pairs_of_largest(
    x: Signal, window: Window, root: GaussianRoot, index: int, covariance: Array, second: Array
) -> Array:
    """E[y_v y_w] of the largest of two windows, from points of the whole field, on the scale of the
    second moments, which are known better."""
    z = normal_points(_FIELDS, x.places, 0)
    u = root.form.mean.reshape(-1, x.places)[..., None] + square_root(covariance) @ z.T
    every = np.arange(x.places)[None, :]
    values = _applied(root, index, u[:, None], every, x.places)[:, 0]
    largest = values[:, window.members].max(axis=2)
    table = largest @ largest.transpose(0, 2, 1) / _FIELDS
    own = np.sqrt(np.maximum(np.einsum("cww->cw", table), 1e-300))
    scale = np.sqrt(second.reshape(own.shape)) / own
    return np.asarray(table * scale[:, :, None] * scale[:, None, :])


def winning(window: Window, u: Array, places: int) -> Array:
    """P(no other of its window is larger | u) for each position, at its nodes u."""
    count, k = len(window.members), window.k
    won = np.ones_like(u)
    if k == 1:
        return won
    covariance = window.root @ window.root.transpose(0, 1, 3, 2)
    z = np.concatenate([normal_points(_points(window), k - 1, half) for half in (0, 1)])
    for case in range(len(window.mean)):
        for w in range(count):
            for i in range(k):
                others = [j for j in range(k) if j != i]
                place = case * places + window.members[w, i]
                own = max(covariance[case, w, i, i], 1e-300)
                slope = covariance[case, w, others, i] / own
                rest = covariance[case, w][np.ix_(others, others)] - np.outer(slope, slope) * own
                spread = z @ square_root(rest).T + window.mean[case, w, others]
                # others <= u  <=>  spread - slope mean_i <= (1 - slope) u, and slopes are below 1
                bound = (spread - slope * window.mean[case, w, i]) / np.maximum(1 - slope, 1e-9)
                highest = np.sort(bound.max(axis=1))
                won[place] = np.searchsorted(highest, u[place], side="right") / len(highest)
    return won
