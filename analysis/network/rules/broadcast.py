"""Sums of operands of different shapes: positions of a sequence, biases by position, tables of
positions that are the same for all examples."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np

from analysis.network.context import Context, UnknownSignal
from analysis.network.cotangent import Cotangent
from analysis.network.fields import remember
from analysis.network.layouts import by_axes, layout_of
from analysis.network.records import Signal, Weight
from analysis.network.rules.conv import placed
from analysis.network.rules.dense import added
from analysis.network.rules.steps import by_step
from analysis.network.rules.units import by_unit
from analysis.network.sources import fresh
from tinygrad_edu.graph.node import Node


def alike(node: Node, a: Signal, b: Signal, context: Context) -> tuple[Signal, Signal]:
    """Two operands of an op by the same positions: what was not yet followed by positions is, and
    what has no examples (rows of a table of positions) is the same on all of them."""
    first, second = node.inputs
    if a.places == 1 < b.places:
        a = _as(b, a, first, context)
    elif b.places == 1 < a.places:
        b = _as(a, b, second, context)
    return _on_all(node, first, a), _on_all(node, second, b)


def _as(wanted: Signal, x: Signal, node: Node, context: Context) -> Signal:
    made = by_step(node, x, context) if wanted.layout else placed(node, x, context)
    return x if made is None else made


def _on_all(node: Node, own: Node, x: Signal) -> Signal:
    if without_examples(own, x) and own.shape[-len(node.shape) + 1 :] == node.shape[1:]:
        return replace(x, layout="b" + layout_of(x, own.shape)[-len(node.shape) + 1 :])
    return x


def without_examples(node: Node, x: Signal) -> bool:
    """Whether it is the same for all examples."""
    return x.places > 1 and "b" not in layout_of(x, node.shape)


def by_position(
    node: Node, of_other: Node, x: Signal, b: Weight, sign: float, context: Context
) -> Signal | None:
    """Signal + a parameter or a constant with an entry for each position and unit."""
    stepped = by_step(node, x, context) if x.places == 1 else x
    shape = of_other.shape
    wanted = node.shape[-len(shape) :] if len(shape) < len(node.shape) else (1, *node.shape[1:])
    if stepped is None or stepped.places == 1 or shape != wanted or math.prod(shape) == 1:
        raise UnknownSignal(f"{b.name} is shared by units, so they are not independent")
    if b.values is not None:
        values = sign * b.values.reshape(-1, *node.shape[1:])
        rows = by_axes(values, False, stepped, node.shape)
        return by_unit(node, stepped, np.ones(1), rows, context)
    key = fresh()
    places, cases = stepped.places, len(stepped.second) // stepped.places
    one = functools.cache(lambda: np.tile(np.eye(places), (cases, 1, 1)))
    remember(key, one, context, one)
    context.correlations[key] = np.ones_like(stepped.second)
    return added(stepped, b, sign, key, context)


def over_examples(node: Node, x: Signal, cotangent: Cotangent, context: Context) -> Cotangent:
    """At what is the same for all examples of a batch, their gradients add up; each has its own
    weights at the output, so they are uncorrelated."""
    if not without_examples(node, x):
        return cotangent
    full = np.full_like(cotangent.gradient.second, float(context.batch))
    g = cotangent.gradient
    summed = replace(g, second=full * g.second, coherent=full * g.coherent)
    return cotangent.by_slope(None, 0 * full, full).with_gradient(summed)
