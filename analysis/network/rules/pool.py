"""Pooling over windows of positions (average-pooling, max-pooling).

Both need how positions depend on each other. Where they are independent (`Signal.apart`) the law of
the result follows from that of one position: the largest of k by the k-th power of its distribution
function. Elsewhere an average needs the second moments of pairs (`fields`), the largest the joint
law of a window (`largest`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import ndtr

from analysis.network import backward as behind
from analysis.network import forward as ahead
from analysis.network.context import Context, Record, UnknownSignal
from analysis.network.cotangent import Cotangent, UnknownCotangent, source, whole_grid
from analysis.network.fields import pairs_of
from analysis.network.records import Array, Signal
from analysis.network.response import Grid
from analysis.network.rules.conv import GRADIENT_FIELDS, Geometry, merged_places, placed
from analysis.network.rules.elementwise import variable
from analysis.network.rules.largest import largest, winning
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


def _divisor(node: Node) -> int:
    """What a window's sum is divided by."""
    return int(node.params["divisor"] or np.prod(node.params["kernel"]))


def _average(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """The mean is kept; the second moment is the average over all pairs of a window."""
    x, geometry = _ready(node, operands[0], context)
    k = _divisor(node)
    mean = geometry.gathered(x.mean) / k
    if x.apart:
        second, pooled = mean**2 + geometry.gathered(x.variance) / k**2, None
    else:
        pairs = pairs_of(x, context)
        if pairs is None:
            raise UnknownSignal("an average of positions whose dependence is not followed")
        pooled = _averaged(pairs, geometry) / k**2
        places = np.arange(pooled.shape[1])
        second = pooled[:, places, places].reshape(-1)
    return _pooled(x, geometry, mean, second, 0.0, lambda: pooled)


def _averaged(pairs: Array, geometry: Geometry) -> Array:
    """Sums over both windows of a pair: (cases, windows, windows)."""
    cases, places = pairs.shape[:2]
    windows = int(np.prod(geometry.outside))
    half = geometry.gathered(pairs.reshape(cases * places, places)).reshape(cases, places, windows)
    turned = np.ascontiguousarray(half.transpose(0, 2, 1)).reshape(cases * windows, places)
    return np.asarray(geometry.gathered(turned).reshape(cases, windows, windows))


def _pooled(
    x: Signal, geometry: Geometry, mean: Array, second: Array, doubt: Any, pairs: Any
) -> Signal:
    """The record of windows: corrections are carried in proportion."""
    k = int(np.prod(geometry.kernel))
    own = np.maximum(geometry.gathered(x.second) / k, np.finfo(float).tiny)
    kept = second / own
    wander = geometry.gathered(np.sqrt(np.maximum(x.fluctuation, 0.0))) / k
    return Signal(
        mean=mean,
        second=second,
        fourth=3 * second**2,
        shift=kept * geometry.gathered(x.shift) / k,
        size=kept * geometry.gathered(x.size) / k + doubt,
        fluctuation=(wander * kept) ** 2,
        excess=np.zeros_like(second),
        units=x.units,
        sources=x.sources,
        places=int(np.prod(geometry.outside)),
        joined=True,
        apart=x.apart,
        pairs=None if x.apart else pairs,
    )


# ------------------------------------------------------------------------------ the largest


def _maximum(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """The largest of the values of a window."""
    x, geometry = _ready(node, operands[0], context)
    if x.element is None:
        raise UnknownSignal("the largest of values whose law is not known")
    root, index = variable(node.inputs[0], x, context)
    if x.apart and np.ptp(x.second) <= 1e-12 * np.max(x.second):
        return _of_independent(node, x, geometry, context)
    found = largest(x, root, index, geometry, context)
    context.notes["windows", context.at(node)] = (found.window, root, index)
    pooled = _pooled(x, geometry, found.mean, found.second, found.doubt, found.pairs)
    return replace(pooled, fourth=found.fourth)


def _of_independent(node: Node, x: Signal, geometry: Geometry, context: Context) -> Signal:
    """Of k independent values of one law, by the power of its distribution function."""
    k = int(np.prod(geometry.kernel))
    root, index = variable(node.inputs[0], x, context)
    grid, ((f, _),) = root.values(index)
    chance = _chance_of_largest(f[0], grid, k)
    values, weight = f[0], k * chance * grid.weight[0]
    count = len(x.second) // x.places * int(np.prod(geometry.outside))
    mean, second = (np.full(count, float(np.dot(weight, values**p))) for p in (1, 2))
    context.notes["largest", context.at(node)] = (root, grid.x[0], chance)
    exact = grid.z is not None and bool(np.all(np.diff(f[0]) >= 0))
    return _pooled(x, geometry, mean, second, 0.0 if exact else _ON_A_GRID * second, None)


def _chance_of_largest(f: Array, grid: Grid, k: int) -> Array:
    """F^(k-1) at each node: that the k - 1 others are smaller. Of equal values each has its share;
    where a function does not rise, its distribution is taken from the grid."""
    if grid.z is not None and np.all(np.diff(f) >= 0):
        return np.asarray(ndtr(grid.z[0]) ** (k - 1))
    order = np.argsort(f, kind="stable")
    weight = grid.weight[0][order]
    below = np.concatenate([[0.0], np.cumsum(weight)])
    chance: Array = np.empty_like(weight)
    chance[order] = np.diff((below / below[-1]) ** k) / np.maximum(k * weight, _TINY)
    return chance


_TINY = np.finfo(float).tiny
_ON_A_GRID = 1e-3
"""What a distribution function that is read off a grid may be wrong by, relatively."""


# ------------------------------------------------------------------------------ backward


def _back(node: Node, cotangent: Cotangent, factor: float, context: Context) -> Cotangent:
    """Each input of a window gets `factor` of what arrives, by places of the input."""
    geometry = _window(node)
    if any(c.root is not None for _, c in cotangent.terms.values()):
        raise UnknownCotangent("a gradient at a pooling whose law is not known")
    g = cotangent.gradient
    moved: dict[str, Any] = {n: geometry.scattered(getattr(g, n)) for n in GRADIENT_FIELDS}
    moved["second"] = factor * geometry.scattered(cotangent.second())
    moved["coherent"] = factor * moved["coherent"]
    pair = factor * geometry.scattered(cotangent.pair())
    gradient = replace(g, **moved, joined=True, aligned=g.aligned or factor < 1)
    return source(moved["second"], pair, gradient)


def _by_units(node: Node, x: Record, cotangent: Cotangent, context: Context) -> list[Any]:
    """In the layout that the input came in."""
    inputs: Signal = context.notes["pooling", context.at(node)]
    assert isinstance(x, Signal)
    return [cotangent if x.places == inputs.places else merged_places(cotangent, inputs.places)]


def _back_average(
    node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
) -> list[Any]:
    """d / k to each: the same to all, so they are correlated."""
    passed = _back(node, cotangent, 1 / _divisor(node) ** 2, context)
    return _by_units(node, operands[0], passed, context)


def _back_maximum(
    node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
) -> list[Any]:
    """d to the largest. A value is that with a chance that depends on it, and this is the mean and
    the mean square of the slope there."""
    key = context.at(node)
    if ("largest", key) in context.notes:
        root, x, chance = context.notes["largest", key]
        won = np.stack([np.interp(row, x, chance) for row in whole_grid(root).x])
    else:
        won, root = _winners(node, context)
    passed = _back(node, cotangent, 1.0, context)
    passed = passed.by_slope(root, won, won).with_gradient(passed.gradient)
    return _by_units(node, operands[0], passed, context)


def _winners(node: Node, context: Context) -> tuple[Array, Any]:
    """The chance of each position of dependent windows, at the nodes of its variable."""
    window, root, index = context.notes["windows", context.at(node)]
    grid = whole_grid(root)
    values = root.run(root.whole_kinks(), index)[0]
    order = np.argsort(grid.x, axis=1)
    if np.any(np.diff(np.take_along_axis(values, order, axis=1), axis=1) < -1e-12):
        raise UnknownCotangent("max pooling behind an activation that falls somewhere")
    inputs: Signal = context.notes["pooling", context.at(node)]
    return winning(window, grid.x, inputs.places), root


pools("avg_pool", largest=False)
pools("max_pool", largest=True)
