"""Pooling over windows of positions (average-pooling, max-pooling).

Both need how positions depend on each other (`positions`). An average needs second moments of pairs
only. The largest of k dependent values is averaged over quasi-random points of their joint Gaussian
law, twice, and what the two differ by is part of the bound.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.network import backward as behind
from analysis.network import forward as ahead
from analysis.network.context import Context, Record, UnknownSignal
from analysis.network.cotangent import (
    Arriving,
    Coefficient,
    Cotangent,
    UnknownCotangent,
    source,
    whole_grid,
)
from analysis.network.points import normal_points, square_root
from analysis.network.positions import covariances, pairs_of
from analysis.network.records import Array, Signal
from analysis.network.roots import GaussianRoot
from analysis.network.rules.conv import Geometry, merged_places, placed
from analysis.network.rules.elementwise import variable
from tinygrad_edu.graph.node import Node


def pools(*names: str, largest: bool) -> None:
    """Enter ops that pool windows of `kernel` positions by their average or maximum."""
    for name in names:
        ahead.RULES[name] = _maximum if largest else _average
        behind.RULES[name] = _back_maximum if largest else _back_average


def _window(node: Node) -> Geometry:
    return Geometry.of(node, tuple(node.params["kernel"]))


def _ready(node: Node, x: Record, context: Context) -> tuple[Signal, Geometry]:
    """The input by positions, if the windows can be followed."""
    if not isinstance(x, Signal):
        raise UnknownSignal("pooling of what is no signal")
    inputs, geometry = placed(node.inputs[0], x), _window(node)
    if inputs is None:
        raise UnknownSignal("the layout of this pooling's input is not followed")
    if geometry.overlapping or any(sum(p) for p in geometry.padding):
        raise UnknownSignal("pooling windows that overlap or reach into the padding")
    context.notes["pooling", context.at(node)] = inputs
    return inputs, geometry


# ------------------------------------------------------------------------------ the average


def _average(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """The mean is kept; the second moment is the average over all pairs of a window."""
    x, geometry = _ready(node, operands[0], context)
    pairs = pairs_of(x, context)
    if pairs is None:
        raise UnknownSignal("an average of positions whose dependence is not followed")
    pooled = _averaged(pairs, geometry)
    places = pooled.shape[1]
    second = pooled[:, np.arange(places), np.arange(places)].reshape(-1)
    k = int(np.prod(geometry.kernel))
    mean, own = geometry.gathered(x.mean) / k, geometry.gathered(x.second) / k
    kept = second / np.maximum(own, np.finfo(float).tiny)
    shift, size = (kept * geometry.gathered(v) / k for v in (x.shift, x.size))
    return _pooled(x, geometry, (mean, second), (shift, size), lambda: pooled)


def _averaged(pairs: Array, geometry: Geometry) -> Array:
    """Averages over both windows of a pair: (cases, windows, windows)."""
    cases, places = pairs.shape[:2]
    windows = int(np.prod(geometry.outside))
    half = geometry.gathered(pairs.reshape(cases * places, places)).reshape(cases, places, windows)
    turned = np.ascontiguousarray(half.transpose(0, 2, 1)).reshape(cases * windows, places)
    whole = geometry.gathered(turned).reshape(cases, windows, windows)
    return np.asarray(whole / np.prod(geometry.kernel) ** 2)


# ------------------------------------------------------------------------------ the largest


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


def _maximum(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """The largest of the values of a window."""
    x, geometry = _ready(node, operands[0], context)
    if x.element is None:
        raise UnknownSignal("the largest of values whose law is not known")
    root, index = variable(node.inputs[0], x, context)
    if not isinstance(root, GaussianRoot):
        raise UnknownSignal("the largest of values that are no functions of a Gaussian")
    covariance = _covariance(x, root, context)
    if covariance is None:
        raise UnknownSignal("the largest of positions whose dependence is not followed")
    window = _windows(geometry, root, covariance, x.places)
    context.notes["windows", context.at(node)] = (window, root, index)
    moments = [_moments(window, root, index, x.places, half) for half in (0, 1)]
    mean, second, fourth = np.mean(moments, axis=0).reshape(3, -1)
    doubt = np.abs(moments[0][1] - moments[1][1]).reshape(-1)
    doubt = doubt + second * geometry.gathered(_not_gaussian(x, root, context)) / window.k
    kept = second / np.maximum(geometry.gathered(x.second) / window.k, np.finfo(float).tiny)
    shift, size = (kept * geometry.gathered(v) / window.k for v in (x.shift, x.size))
    field = functools.partial(_pairs_of_largest, x, window, root, index, covariance, second)
    pooled = _pooled(x, geometry, (mean, second), (shift, size + doubt), functools.cache(field))
    return replace(pooled, fourth=fourth)


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


def _pooled(
    x: Signal,
    geometry: Geometry,
    moments: tuple[Array, Array],
    corrections: tuple[Array, Array],
    pairs: Any,
) -> Signal:
    (mean, second), (shift, size) = moments, corrections
    k = int(np.prod(geometry.kernel))
    own = np.maximum(geometry.gathered(x.second) / k, np.finfo(float).tiny)
    wander = geometry.gathered(np.sqrt(np.maximum(x.fluctuation, 0.0))) / k
    return Signal(
        mean=mean,
        second=second,
        fourth=3 * second**2,
        shift=shift,
        size=size,
        fluctuation=(wander * second / own) ** 2,
        excess=np.zeros_like(second),
        units=x.units,
        sources=x.sources,
        places=int(np.prod(geometry.outside)),
        joined=True,
        apart=x.apart,
        pairs=None if x.apart else pairs,
    )


# ------------------------------------------------------------------------------ backward


def _arriving(
    node: Node, x: Signal, cotangent: Cotangent, context: Context
) -> tuple[Signal, Array, Array, Any]:
    """What arrives at each position of a window: E[d^2], E[d_i d_j] and the corrections."""
    inputs: Signal = context.notes["pooling", context.at(node)]
    geometry = _window(node)
    if any(c.root is not None for _, c in cotangent.terms.values()):
        raise UnknownCotangent("a gradient at a pooling whose law is not known")
    g = cotangent.gradient
    names = ("second", "coherent", "profile", "bend", "log_1", "log_2", "epsilon", "size")
    moved: dict[str, Any] = {name: geometry.scattered(getattr(g, name)) for name in names}
    second = geometry.scattered(cotangent.second())
    pair = geometry.scattered(cotangent.pair())
    return inputs, second, pair, replace(g, **moved, joined=True)


def _back(
    x: Signal, inputs: Signal, second: Array, pair: Array, gradient: Any, factor: float
) -> list[Any]:
    """Each position gets `factor` of what arrives."""
    scaled = replace(gradient, second=factor * second, coherent=factor * gradient.coherent)
    result = source(factor * second, factor * pair, scaled)
    return [result if x.places == inputs.places else merged_places(result, inputs.places)]


def _back_average(
    node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
) -> list[Any]:
    """d / k to each."""
    (x,) = operands
    assert isinstance(x, Signal)
    k = int(np.prod(_window(node).kernel))
    return _back(x, *_arriving(node, x, cotangent, context), 1 / k**2)


def _back_maximum(
    node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
) -> list[Any]:
    """d to the largest. Given its own variable u, a position is the largest with probability
    P(all others <= u), so d comes with the root of that as its coefficient: slopes behind it are
    averaged over the variables that won."""
    (x,) = operands
    assert isinstance(x, Signal)
    window, root, index = context.notes["windows", context.at(node)]
    inputs, second, pair, gradient = _arriving(node, x, cotangent, context)
    if x.places != inputs.places:
        raise UnknownCotangent("max pooling of an input whose layout is another")
    grid = whole_grid(root)
    values = root.run(root.whole_kinks(), index)[0]
    order = np.argsort(grid.x, axis=1)
    if np.any(np.diff(np.take_along_axis(values, order, axis=1), axis=1) < -1e-12):
        raise UnknownCotangent("max pooling behind an activation that falls somewhere")
    won = _winning(window, grid.x, x.places)
    coefficient = Coefficient(root, np.sqrt(won))
    passed = source(second, pair, gradient)
    (number,) = passed.terms
    terms = {number: (Arriving(second, pair), coefficient)}
    result = replace(passed, terms=terms)
    share = coefficient.square()
    scaled = replace(
        passed.gradient, second=share * second, coherent=share * passed.gradient.coherent
    )
    return [replace(result, gradient=scaled)]


def _winning(window: Window, u: Array, places: int) -> Array:
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


pools("avg_pool", largest=False)
pools("max_pool", largest=True)
