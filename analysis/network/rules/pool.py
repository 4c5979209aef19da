"""Pooling over windows of positions (average-pooling, max-pooling).

Both need how positions depend on each other. Where they are independent (`Signal.apart`) the law of
the result follows from that of one position; elsewhere it is unknown: an average of k positions has
a variance between 1/k of theirs and theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.network import backward as behind
from analysis.network import forward as ahead
from analysis.network.context import Context, Record, UnknownSignal
from analysis.network.cotangent import Cotangent, UnknownCotangent, source
from analysis.network.records import Array, Signal
from analysis.network.rules.conv import Geometry, merged_places, placed
from analysis.network.rules.elementwise import variable
from tinygrad_edu.graph.node import Node


def pools(*names: str, largest: bool) -> None:
    """Enter ops that pool windows of `kernel_size` positions by their average or maximum."""
    for name in names:
        ahead.RULES[name] = _maximum if largest else _average
        behind.RULES[name] = _back_maximum if largest else _back_average


def _window(node: Node) -> Geometry:
    kernel = node.params.get("kernel_size", node.params.get("kernel"))
    rank = len(node.shape) - 2
    sizes = tuple(kernel) if isinstance(kernel, tuple | list) else (kernel,) * rank
    geometry = Geometry.of(node, sizes)
    if node.params.get("stride") is None:
        geometry = replace(geometry, stride=sizes)
    return geometry


def _ready(node: Node, x: Record, context: Context) -> tuple[Signal, Geometry]:
    """The input by positions, if the windows can be followed."""
    if not isinstance(x, Signal):
        raise UnknownSignal("pooling of what is no signal")
    inputs, geometry = placed(node.inputs[0], x), _window(node)
    if inputs is None:
        raise UnknownSignal("the layout of this pooling's input is not followed")
    if not inputs.apart:
        k = int(np.prod(geometry.kernel))
        low, high = (
            context.average(inputs.mean**2 + inputs.variance / k),
            context.average(inputs.second),
        )
        raise UnknownSignal(
            "positions depend on each other, and how is not followed; the average of a window has "
            f"a second moment between {low:.3g} and {high:.3g}",
        )
    if geometry.overlapping or any(sum(p) for p in geometry.padding):
        raise UnknownSignal("pooling windows that overlap or reach into the padding")
    context.notes["pooling", context.at(node)] = inputs
    return inputs, geometry


def _average(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """The mean is kept, the variance of k independent values falls to 1/k."""
    x, geometry = _ready(node, operands[0], context)
    k = int(np.prod(geometry.kernel))

    def mean(values: Array) -> Array:
        return geometry.gathered(values) / k

    average = mean(x.mean)
    variance = mean(x.variance) / k
    second = average**2 + variance
    kept = second / np.maximum(mean(x.second), np.finfo(float).tiny)
    return _pooled(node, x, geometry, average, second, (mean(x.shift), mean(x.size)), kept)


def _maximum(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """The largest of k independent values of one law, by the power of its distribution function."""
    x, geometry = _ready(node, operands[0], context)
    if x.element is None or np.ptp(x.second) > 1e-12 * np.max(x.second):
        raise UnknownSignal("the largest of values whose laws differ or are not known")
    k = int(np.prod(geometry.kernel))
    root, index = variable(node.inputs[0], x, context)
    grid, ((f, _),) = root.values(index)
    order = np.argsort(f[0])
    values, below = f[0][order], np.cumsum(grid.weight[0][order])
    weight = np.diff(np.concatenate([[0.0], below / below[-1]]) ** k)
    count = len(x.second) // x.places * int(np.prod(geometry.outside))
    mean, second = (np.full(count, float(np.dot(weight, values**p))) for p in (1, 2))
    kept = second / x.second[0]
    nothing = np.zeros(count)
    ratio = (np.full(count, x.shift[0]) * kept, np.full(count, x.size[0]) * kept + nothing)
    return _pooled(node, x, geometry, mean, second, ratio, kept)


def _pooled(
    node: Node,
    x: Signal,
    geometry: Geometry,
    mean: Array,
    second: Array,
    corrections: tuple[Array, Array],
    kept: Array,
) -> Signal:
    shift, size = corrections
    fluctuation = np.resize(x.fluctuation, second.shape) * kept**2
    return Signal(
        mean=mean,
        second=second,
        fourth=3 * second**2,
        shift=shift * kept if shift.shape == kept.shape else shift,
        size=size,
        fluctuation=fluctuation,
        excess=np.zeros_like(second),
        units=x.units,
        sources=x.sources,
        places=int(np.prod(geometry.outside)),
        fixed=False,
        joined=True,
        apart=True,
    )


# ------------------------------------------------------------------------------ backward


def _back(
    node: Node, x: Signal, cotangent: Cotangent, factor: float, context: Context
) -> list[Any]:
    """Each input of a window gets `factor` of what arrives."""
    inputs: Signal = context.notes["pooling", context.at(node)]
    geometry = _window(node)
    if any(c.root is not None for _, c in cotangent.terms.values()):
        raise UnknownCotangent("a gradient at a pooling whose law is not known")
    g = cotangent.gradient
    names = ("second", "coherent", "profile", "bend", "log_1", "log_2", "epsilon", "size")
    moved: dict[str, Any] = {name: geometry.scattered(getattr(g, name)) for name in names}
    moved["second"] = factor * geometry.scattered(cotangent.second())
    moved["coherent"] = factor * moved["coherent"]
    pair = factor * geometry.scattered(cotangent.pair())
    result = source(moved["second"], pair, replace(g, **moved, joined=True))
    return [result if x.places == inputs.places else merged_places(result, inputs.places)]


def _back_average(
    node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
) -> list[Any]:
    """d / k to each."""
    (x,) = operands
    assert isinstance(x, Signal)
    k = int(np.prod(_window(node).kernel))
    return _back(node, x, cotangent, 1 / k**2, context)


def _back_maximum(
    node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
) -> list[Any]:
    """d to the largest, which each is with probability 1 / k. Behind it slopes depend on whether an
    element was the largest, so its own are not known on average."""
    (x,) = operands
    assert isinstance(x, Signal)
    if x.element is not None and x.element.root is not None:
        raise UnknownCotangent("max pooling behind an activation")
    k = int(np.prod(_window(node).kernel))
    return _back(node, x, cotangent, 1 / k, context)


pools("avg_pool", "average_pool", "avg_pool2d", largest=False)
pools("max_pool", "max_pool2d", largest=True)
