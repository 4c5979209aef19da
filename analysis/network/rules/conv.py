"""Convolutions: a dense layer at every position, over the positions its kernel reaches.

Second moments are followed position by position, so that padding with zeros, strides and examples
with bright and dark corners need no approximation; averages over positions are taken last. Whoever
names a convolution op (x, w; stride, padding, dilation, groups) enters it by `convolves`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.network import backward as behind
from analysis.network import forward as ahead
from analysis.network.context import Context, Parts, Record, UnknownSignal
from analysis.network.cotangent import Cotangent, source
from analysis.network.elements import Element
from analysis.network.fields import LARGEST, across, correlated, pairs_of, remember
from analysis.network.layouts import is_image
from analysis.network.records import Array, Signal, Weight
from analysis.network.response import linear
from analysis.network.roots import DataRoot, GaussianRoot, Root, at_places
from analysis.network.rules.parts import at_part, averaged_parts
from analysis.network.sources import Form, fresh
from analysis.network.squares import of_reached, remember_taps
from tinygrad_edu.graph.node import Node

_TINY = np.finfo(float).tiny
_BENT = 0.25
"""By how much the second moment behind an activation changes with the relative variance of the one
before it: relu's not at all, tanh's by up to 0.14, hardtanh's by up to 0.21."""
FIELDS = ("mean", "second", "fourth", "shift", "size", "fluctuation", "excess")
"""What a signal has for each place."""
GRADIENT_FIELDS = ("second", "coherent", "profile", "bend", "log_1", "log_2", "epsilon", "size")
"""What a gradient has for each place."""


def convolves(*names: str) -> None:
    """Enter ops that convolve x (n, channels, *positions), w (out, channels/groups, *kernel)."""
    for name in names:
        ahead.RULES[name] = convolution
        behind.RULES[name] = convolution_backward
        ahead.WHOLE.add(name)
        behind.WHOLE.add(name)


@dataclass(frozen=True)
class Geometry:
    """Which input positions each output position adds up."""

    inside: tuple[int, ...]
    outside: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]

    @staticmethod
    def of(node: Node, kernel: tuple[int, ...]) -> Geometry:
        """From the op's parameters, each a number or one for each axis."""
        params, rank = node.params, len(kernel)
        pads = _each(params.get("padding", 0), rank)
        return Geometry(
            inside=node.inputs[0].shape[2:],
            outside=node.shape[2:],
            kernel=kernel,
            stride=_each(params.get("stride", 1), rank),
            padding=tuple(p if isinstance(p, tuple) else (p, p) for p in pads),
            dilation=_each(params.get("dilation", 1), rank),
        )

    def taps(self) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
        """For each element of the kernel, the output positions that use it and the inputs there."""
        for tap in itertools.product(*map(range, self.kernel)):
            there, here = [], []
            for axis, t in enumerate(tap):
                step, at = self.stride[axis], t * self.dilation[axis] - self.padding[axis][0]
                first = (step - 1 - at) // step if at < 0 else 0
                last = min(self.outside[axis], (self.inside[axis] - 1 - at) // step + 1)
                if last <= first:
                    break
                there.append(slice(first, last))
                start = at + first * step
                here.append(slice(start, start + (last - first - 1) * step + 1, step))
            else:
                yield tuple(there), tuple(here)

    def gathered(self, values: Array) -> Array:
        """For each output position the sum of the inputs it reaches: (cases * positions,)."""
        inputs = values.reshape(-1, *self.inside)
        total = np.zeros((len(inputs), *self.outside))
        for there, here in self.taps():
            total[(slice(None), *there)] += inputs[(slice(None), *here)]
        return total.reshape(-1)

    def reach(self) -> Array:
        """1 where an output position uses an input position: (outputs, inputs)."""
        whole = int(np.prod(self.outside)), int(np.prod(self.inside))
        table = np.zeros(whole)
        outputs, inputs = (
            np.arange(n).reshape(shape)
            for n, shape in zip(whole, (self.outside, self.inside), strict=True)
        )
        for there, here in self.taps():
            table[outputs[there], inputs[here]] = 1
        return table

    def in_common(self) -> Array:
        """For two output positions the taps that both use, by the product of how many each uses."""
        used = []
        for there, _ in self.taps():
            table = np.zeros(self.outside)
            table[there] = 1
            used.append(table.reshape(-1))
        use = np.array(used)
        count = np.maximum(use.sum(axis=0), 1)
        return np.asarray(use.T @ use / (count[:, None] * count))

    def gathered_pairs(self, pairs: Array) -> Array:
        """For two output positions the sum over the pairs of inputs that meet the same weight:
        (cases, places, places)."""
        cases = len(pairs)
        inputs = pairs.reshape(cases, *self.inside, *self.inside)
        total = np.zeros((cases, *self.outside, *self.outside))
        for there, here in self.taps():
            total[(slice(None), *there, *there)] += inputs[(slice(None), *here, *here)]
        places = int(np.prod(self.outside))
        return total.reshape(cases, places, places)

    def scattered(self, values: Array) -> Array:
        """For each input position the sum of the outputs that use it."""
        outputs = values.reshape(-1, *self.outside)
        total = np.zeros((len(outputs), *self.inside))
        for there, here in self.taps():
            total[(slice(None), *here)] += outputs[(slice(None), *there)]
        return total.reshape(-1)

    @property
    def common(self) -> float:
        """How many taps two output positions have in common on average, of those that one has: less
        than 1 where padding takes other taps at other borders."""
        whole = float(np.prod(self.outside))
        shares = [
            np.prod([len(range(*s.indices(self.outside[i]))) for i, s in enumerate(there)]) / whole
            for there, _ in self.taps()
        ]
        return float(sum(s * s for s in shares) / sum(shares))

    def sizes(self, count: int) -> Array:
        """How many inputs each output position reaches, for `count` inputs of several cases."""
        return self.gathered(np.ones(count))

    @property
    def overlapping(self) -> bool:
        """Whether two output positions have inputs in common."""
        reach = zip(self.kernel, self.dilation, self.stride, strict=True)
        return any((k - 1) * d + 1 > s for k, d, s in reach)


def _each(value: Any, rank: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,) * rank


def _partner_at(x: Signal, there: Root | None, places: int, context: Context) -> Array | None:
    """E[x x'] at each place; of numbers the average over the channels."""
    if x.partner is None:
        return None
    if not isinstance(there, DataRoot):
        return np.repeat(x.partner, places, axis=-1)
    assert x.element is not None
    _, ((f, _),) = there.values(x.element.index)
    return context.products(f + x.element.form.mean.repeat(places)[:, None])


def placed(node: Node, x: Signal, context: Context) -> Signal | None:
    """The record by positions of a tensor (n, channels, *positions)."""
    channels, *positions = node.shape[1:]
    places = int(np.prod(positions))
    if x.places == places and x.units == channels:
        return x if is_image(x, node.shape) else None
    if x.places != 1 or x.units != channels * places or x.element is None:
        return None
    root = x.element.root
    if root is not None and not isinstance(root, DataRoot | GaussianRoot):
        return None
    there = None if root is None else root.placed(places)
    return spread_out(x, there, places, channels, context)


def spread_out(x: Signal, there: Root | None, places: int, units: int, context: Context) -> Signal:
    """Units that share one law, some of them now at each of some places; `there` is the variable
    by places."""
    assert x.element is not None
    element = Element(at_places(x.element.form, places), there, x.element.index)
    mean, second, fourth = element.moments()
    repeated: dict[str, Any] = {name: np.repeat(getattr(x, name), places) for name in FIELDS[3:]}
    return replace(
        x,
        mean=mean,
        second=second,
        fourth=fourth,
        **repeated,
        units=units,
        places=places,
        element=element,
        partner=_partner_at(x, there, places, context),
        apart=not x.fixed,
    )


def convolution(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """Var(W) channels/groups times the sum of E[x^2] over the positions reached (conv-padding)."""
    inputs, w = _signal_and_weight(node, operands, context)
    shape = node.inputs[1].shape
    geometry = Geometry.of(node, shape[2:])
    n, taps = shape[1], float(np.prod(shape[2:]))
    factor = n * w.variance
    context.narrowness += 0.0 if inputs.fixed else 1 / (n * taps)
    reached = geometry.gathered(inputs.second)
    variance = factor * reached
    squares, doubt = (np.zeros_like(reached),) * 2
    if not inputs.fixed:
        squares, doubt = of_reached(inputs, geometry, context)
    wander = geometry.gathered(np.sqrt(np.maximum(inputs.fluctuation, 0.0)))
    kurtosis = geometry.gathered(inputs.fourth) / np.maximum(
        geometry.gathered(inputs.second**2), _TINY
    )
    zero, key = np.zeros_like(variance), fresh()
    partner = None
    if inputs.partner is not None:
        partner = factor * geometry.gathered(inputs.partner).reshape(*inputs.partner.shape[:-1], -1)
        scale = np.sqrt(variance * context.partner(variance))
        context.correlations[key] = partner / np.maximum(scale, 1e-300)
        context.notes["common", key] = geometry.common
    element = Element(Form(zero, {key: np.sqrt(variance)}))
    asked = (inputs, geometry, factor, variance, context)
    remember(
        key,
        functools.cache(lambda: _field(pairs_of, *asked)),
        context,
        functools.cache(lambda: _field(across, *asked)),
    )
    remember_taps(key, geometry, n, context)
    context.notes["convolution", context.at(node)] = inputs
    return Signal(
        mean=zero,
        second=variance,
        fourth=3 * variance**2,
        shift=factor * geometry.gathered(inputs.shift),
        size=factor * geometry.gathered(inputs.size),
        fluctuation=factor**2 * (wander**2 + squares / n),
        excess=(w.kurtosis - 3) / (n * taps) * kurtosis
        + 3 * _between_groups(inputs, geometry, n) / np.maximum(reached**2, _TINY),
        units=node.shape[1],
        element=element,
        sources=element.sources,
        places=int(np.prod(geometry.outside)),
        joined=True,
        partner=partner,
        reshaped=_BENT * float(np.max(doubt / n / np.maximum(reached**2, _TINY))),
        # positions share the weights, so a mean of the inputs is seen alike at all of them
        apart=inputs.apart and not geometry.overlapping and not np.any(inputs.mean),
    )


def _signal_and_weight(
    node: Node, operands: Sequence[Record], context: Context
) -> tuple[Signal, Weight]:
    """The operands of a convolution, the signal by positions, if they can be followed."""
    x, w = operands
    if isinstance(x, Parts) and int(node.params.get("groups", 1)) == 1:
        x = averaged_parts(x, context)
    if not isinstance(x, Signal) or not isinstance(w, Weight):
        raise UnknownSignal("a convolution of something else than a signal and weights")
    if w.mean != 0 or w.shared:
        raise UnknownSignal(f"{w.name} has mean {w.mean:g}, or is used more than once")
    inputs = placed(node.inputs[0], x, context)
    if inputs is None:
        raise UnknownSignal("the layout of this convolution's input is not followed")
    return inputs, w


def _between_groups(inputs: Signal, geometry: Geometry, n: int) -> Array | float:
    """Variance over the groups of the squares they add up, if these are numbers: units of
    different groups then have different variances, and excess kurtosis 3 Var(q) / q^2 together."""
    if not inputs.fixed or inputs.element is None or n == inputs.units:
        return 0.0
    root, index = inputs.element.root, inputs.element.index
    if not isinstance(root, DataRoot):
        return 0.0
    _, ((f, _),) = root.values(index)
    squares = (f + inputs.element.form.mean[:, None]) ** 2
    by_group = squares.reshape(len(squares), -1, n).mean(axis=2).T
    return np.asarray(np.var([geometry.gathered(group) for group in by_group], axis=0))


def _field(
    of: Callable[[Signal, Context], Array | None],
    inputs: Signal,
    geometry: Geometry,
    factor: float,
    variance: Array,
    context: Context,
) -> Array | None:
    """Correlations of the output's positions, on one example or between two."""
    places = int(np.prod(geometry.outside))
    pairs = None if len(variance) * places > LARGEST else of(inputs, context)
    if pairs is None:
        return None
    return correlated(factor * geometry.gathered_pairs(pairs), variance)


def convolution_backward(
    node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
) -> list[Any]:
    """Var(W) out/groups times the sum of E[d^2] over the outputs that use a position."""
    x, w = operands
    assert isinstance(x, Signal | Parts)
    assert isinstance(w, Weight)
    inputs: Signal = context.notes["convolution", context.at(node)]
    shape, groups = node.inputs[1].shape, int(node.params.get("groups", 1))
    geometry = Geometry.of(node, shape[2:])
    factor = shape[0] // groups * w.variance
    g = cotangent.gradient
    second = factor * geometry.scattered(cotangent.second())

    def averaged(values: Array) -> Array:
        """Weighted by what each output brings."""
        whole = np.maximum(geometry.scattered(g.second), _TINY)
        return geometry.scattered(g.second * values) / whole

    c = shape[1] * float(np.prod(shape[2:])) * w.variance
    passed = replace(
        g,
        second=second,
        coherent=factor * geometry.scattered(g.coherent),
        profile=np.zeros_like(second),
        bend=np.zeros_like(second),
        log_1=c * averaged(g.log_1),
        log_2=c**2 * averaged(g.log_2),
        epsilon=averaged(g.epsilon),
        size=averaged(g.size),
        joined=True,
        at_variable=False,
    )
    if inputs.gaussian:
        passed = behind.through(linear(inputs.second), inputs, passed)
    result = source(second, np.zeros_like(second), passed)
    if isinstance(x, Parts):
        return [tuple(at_part(result, s, inputs) for s in x.signals), None]
    return [result, None]


def merged_places(cotangent: Cotangent, places: int) -> Cotangent:
    """Places as units again: averaged over them."""

    def average(values: Array) -> Array:
        return np.asarray(values.reshape(-1, places).mean(axis=1))

    g = cotangent.gradient
    averages: dict[str, Any] = {name: average(getattr(g, name)) for name in GRADIENT_FIELDS}
    merged = replace(g, **averages)
    return source(average(cotangent.second()), average(cotangent.pair()), merged)


convolves("convolution")
