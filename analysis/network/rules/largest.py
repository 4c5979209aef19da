"""The largest of a window of dependent positions (max-pooling).

The values are one function of a Gaussian field (`fields`). The law of the largest is averaged over
quasi-random points of the window's joint law, taken twice; what the two differ by is part of the
bound. Given its own value, a position has won with the probability that no other is larger.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.network.context import Context, UnknownSignal
from analysis.network.cotangent import UnknownCotangent
from analysis.network.fields import across, covariances
from analysis.network.points import normal_points, square_root
from analysis.network.records import Array, Signal
from analysis.network.roots import GaussianRoot, Root
from analysis.network.rules.conv import Geometry
from analysis.network.samples import Shared

Places = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True)
class Window:
    """The variable at the positions of every window: f(u), u ~ N(mean, covariance).

    members     (windows, k): which positions; where a window reaches into the padding, one of its
                positions stands there again, which does not change the largest
    real        (windows, k): whether a member is not such a repetition
    mean, root  (cases, windows, k), (cases, windows, k, k): the covariance is root root^T
    """

    members: Places
    real: np.ndarray[Any, np.dtype[np.bool_]]
    mean: Array
    root: Array

    @property
    def k(self) -> int:
        """Positions in a window."""
        return int(self.members.shape[1])


_VALUES = 1_000_000
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
    window, `doubt` beside the second, and a sample of its law, `field` and `shared`, as in
    `SampledRoot`."""

    mean: Array
    second: Array
    fourth: Array
    doubt: Array
    sample: Array
    field: Callable[[], Array]
    shared: Shared | None
    window: Window


def largest(x: Signal, root: Root, index: int, geometry: Geometry, context: Context) -> Largest:
    """The largest of the values f(u) of a window."""
    if not isinstance(root, GaussianRoot):
        raise UnknownSignal("the largest of values that are no functions of a Gaussian")
    covariance = _covariance(x, root, context)
    if covariance is None:
        raise UnknownSignal("the largest of positions whose dependence is not followed")
    window = _windows(geometry, root, covariance, x.places)
    halves = [_sample(window, root, index, x.places, half) for half in (0, 1)]
    moments = [[np.mean(half**p, axis=1) for p in (1, 2, 4)] for half in halves]
    mean, second, fourth = np.mean(moments, axis=0)
    doubt = np.abs(moments[0][1] - moments[1][1])
    strange = geometry.gathered(not_gaussian(x, root, context)) / geometry.sizes(len(x.second))
    field = functools.partial(_field_of_largest, x, window, root, index, covariance)
    sample = np.concatenate(halves, axis=1)
    shared = _shared(x, window, root, index, sample, context)
    return Largest(mean, second, fourth, doubt + second * strange, sample, field, shared, window)


def not_gaussian(x: Signal, root: Root | None, context: Context) -> Array:
    """What fields of a real width change, relatively: their excess kurtosis c moves squares by
    c / 24 E[g He4] / E[g], where E[g He4] < 3 E[g] for squares of largest values. A norm over n
    channels, of excess -3/n, takes up to 1/n away of what positions have in common. That
    correlations scatter is of second order in what the second moment scatters by; a tenth of it
    covers what was measured. The squares stand for terms of order 1/width^2."""
    variable = x if root is None else context.variables.get(root, x)
    variable = x if x.centred else variable
    wander = np.abs(variable.fluctuation) / np.maximum(variable.second**2, np.finfo(float).tiny)
    shape = np.abs(variable.excess)
    share = 3 if variable.centred else 8
    return np.asarray(shape / share + shape**2 / 2 + wander / 10 + wander**2 / 10)


def _covariance(x: Signal, root: GaussianRoot, context: Context) -> Array | None:
    """Of the variable, between all positions."""
    if x.apart:
        table = np.zeros((len(root.variance) // x.places, x.places, x.places))
        each = np.arange(x.places)
        table[:, each, each] = root.variance.reshape(-1, x.places)
        return table
    return covariances(root.form, x.places, context)


def _windows(geometry: Geometry, root: GaussianRoot, covariance: Array, places: int) -> Window:
    members, real = members_of(geometry)
    mean = root.form.mean.reshape(-1, places)[:, members]
    within = covariance[:, members[:, :, None], members[:, None, :]]
    return Window(members, real, mean, square_root(within))


def members_of(geometry: Geometry) -> tuple[Places, np.ndarray[Any, np.dtype[np.bool_]]]:
    """The positions of each window, (windows, taps), and which of them are not repetitions."""
    numbers = np.arange(math.prod(geometry.inside)).reshape(geometry.inside)
    found = []
    for there, here in geometry.taps():
        position = np.full(geometry.outside, -1)
        position[there] = numbers[here]
        found.append(position.reshape(-1))
    members = np.stack(found, axis=1)
    real = members >= 0
    first = np.take_along_axis(members, np.argmax(real, axis=1)[:, None], axis=1)
    return np.where(real, members, first), real


def _sample(window: Window, root: GaussianRoot, index: int, places: int, half: int) -> Array:
    """Points of the law of the largest: (cases * windows, points)."""
    z = normal_points(_points(window), window.k, half)
    u = window.mean[..., None] + window.root @ z.T
    largest = _applied(root, index, u, window.members, places).max(axis=2)
    return np.asarray(largest.reshape(-1, largest.shape[-1]))


def _applied(root: GaussianRoot, index: int, u: Array, members: Places, places: int) -> Array:
    """f at points u (cases, windows, k, points). A function may differ between places, and a place
    be in several windows: it then has several rows of points."""
    slots = _occurrence(members)
    cases, points = len(u), u.shape[-1]
    rows = np.zeros((cases, places, int(slots.max()) + 1, points))
    rows[:, members, slots] = u
    values = root.program.run(rows.reshape(cases * places, -1), index)[index][0]
    return np.asarray(values.reshape(rows.shape)[:, members, slots])


def _occurrence(members: Places) -> Places:
    """For each entry, how often its number stands before it."""
    flat = members.reshape(-1)
    order = np.argsort(flat, kind="stable")
    starts = np.flatnonzero(np.diff(flat[order], prepend=-1))
    counted = np.arange(flat.size) - np.repeat(starts, np.diff(starts, append=flat.size))
    result = np.empty_like(flat)
    result[order] = counted
    return result.reshape(members.shape)


def _field_of_largest(
    x: Signal, window: Window, root: GaussianRoot, index: int, covariance: Array
) -> Array:
    """Points of the joint law of the largest of all windows: (cases, windows, points)."""
    z = normal_points(_FIELDS, x.places, 0)
    u = root.form.mean.reshape(-1, x.places)[..., None] + square_root(covariance) @ z.T
    values = root.program.run(u.reshape(-1, _FIELDS), index)[index][0]
    return np.asarray(values.reshape(u.shape)[:, window.members].max(axis=2))


def _shared(
    x: Signal, window: Window, root: GaussianRoot, index: int, sample: Array, context: Context
) -> Shared | None:
    """The law given what two examples share: the part of the field that has their covariance."""
    between = across(context.variables.get(root, x), context)
    if between is None:
        return None
    mean = root.form.mean.reshape(-1, x.places)
    common = between - mean[:, :, None] * mean[:, None, :]
    size = np.einsum("cpp->cp", common)
    if not np.any(size > _NOTHING * root.variance.reshape(size.shape)):
        return lambda: (sample[:, None], 1 / sample.shape[1])
    return functools.cache(lambda: _given_shared(window, root, index, x.places, common))


_NOTHING = 1e-9
"""Of the variance: a correlation that is 0 but for rounding."""
_DRAWS, _GIVEN = 32, 128
"""Draws of what is shared, and points for each."""


def _given_shared(
    window: Window, root: GaussianRoot, index: int, places: int, common: Array
) -> tuple[Array, float]:
    drawn = square_root(common) @ normal_points(_DRAWS, places, 0).T
    within = common[:, window.members[:, :, None], window.members[:, None, :]]
    rest = square_root(window.root @ window.root.transpose(0, 1, 3, 2) - within)
    own = rest @ normal_points(_GIVEN, window.k, 0).T
    centre = window.mean[..., None] + drawn[:, window.members]
    u = centre[..., None] + own[..., None, :]
    largest = _applied(root, index, u.reshape(*own.shape[:3], -1), window.members, places)
    return largest.max(axis=2).reshape(-1, _DRAWS, _GIVEN), 1 / _GIVEN


# ------------------------------------------------------------------------------ who has won


def winning(window: Window, u: Array, f: Array) -> Array:
    """P(no other of its window is larger | u) for each position of each window at the nodes u of
    its variable, where the function is f: u and f are (cases, places, nodes), the result (cases,
    windows, k, nodes), 0 for repetitions."""
    won = np.zeros((len(u), *window.members.shape, u.shape[-1]))
    covariance = window.root @ window.root.transpose(0, 1, 3, 2)
    known: dict[bytes, Array] = {}
    for case, w, i in np.ndindex(won.shape[:3]):
        if not window.real[w, i]:
            continue
        others = np.flatnonzero(window.real[w] & (np.arange(window.k) != i))
        place = window.members[w, i]
        law = _Given.of(window.mean[case, w], covariance[case, w], i, others)
        nodes = (u[case, place], f[case, place], f[case, window.members[w, others]])
        seen = law.key(*nodes)
        if seen not in known:  # most windows are like their neighbours
            if len(known) >= MOST_LAWS:
                raise UnknownCotangent("max pooling of so many different windows")
            known[seen] = law.won(_points(window), *nodes, u[case, window.members[w, others]])
        won[case, w, i] = known[seen]
    return won


@dataclass(frozen=True)
class _Given:
    """The other variables of a window given one of them: N(mean + slope u, root root^T)."""

    mean: Array
    slope: Array
    root: Array

    @staticmethod
    def of(mean: Array, covariance: Array, i: int, others: Places) -> _Given:
        own = max(covariance[i, i], 1e-300)
        slope = covariance[others, i] / own
        rest = covariance[np.ix_(others, others)] - np.outer(slope, slope) * own
        return _Given(mean[others] - slope * mean[i], slope, square_root(rest))

    def key(self, *nodes: Array) -> bytes:
        """The same for laws that are the same but for rounding."""
        numbers = [self.mean, self.slope, self.root @ self.root.T, *nodes]
        return b"".join(np.round(a, 9).tobytes() for a in numbers)

    def won(self, count: int, u: Array, f: Array, others: Array, at: Array) -> Array:
        """P(no other is larger | u) at each node: u and f of the one, `others` at nodes `at` of the
        other variables."""
        if not len(self.mean):
            return np.ones_like(u)
        z = np.concatenate([normal_points(count, len(self.mean), half) for half in (0, 1)])
        spread = z @ self.root.T + self.mean
        rises = all(np.all(np.diff(values) >= -1e-12) for values in (f, *others))
        if not rises or np.any(self.slope > 1):
            return self._by_values(spread[:_FEW], u, f, others, at)
        # others <= u  <=>  spread <= (1 - slope) u
        bound = spread / np.maximum(1 - self.slope, 1e-9)
        highest = np.sort(bound.max(axis=1))
        return np.asarray(np.searchsorted(highest, u, side="right") / len(highest))

    def _by_values(self, spread: Array, u: Array, f: Array, others: Array, at: Array) -> Array:
        """Of a function that falls somewhere: by its values, read off the nodes."""
        picked = np.linspace(0, len(u) - 1, _FEW_NODES).astype(int)
        share = np.empty(len(picked))
        for i, node in enumerate(picked):
            below = np.ones(len(spread), bool)
            for j, (nodes, values) in enumerate(zip(at, others, strict=True)):
                there = spread[:, j] + self.slope[j] * u[node]
                below &= np.interp(there, nodes, values) <= f[node]
            share[i] = below.mean()
        return np.asarray(np.interp(u, u[picked], share))


_FEW, _FEW_NODES = 1024, 128
"""Points, and values of the one variable, where a function falls somewhere."""
MOST_LAWS = 3000
"""Different members of windows that are followed: some ten seconds."""
