"""Positions taken by number along an axis: padding that mirrors, repeats or closes to a ring."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from analysis.network.context import Context, UnknownSignal
from analysis.network.cotangent import Cotangent, UnknownCotangent, source
from analysis.network.records import Array, Signal
from analysis.network.rules.conv import FIELDS, GRADIENT_FIELDS, merged_places, placed
from tinygrad_edu.graph.node import Node


def taken_axis(node: Node) -> int | None:
    """The axis of positions along which an index takes entries by number, whole in all others."""
    parts = node.params["key"].parts
    numbered = [i for i, part in enumerate(parts) if part != slice(None)]
    if len(node.inputs) != 2 or len(numbered) != 1 or numbered[0] < 2:
        return None
    numbers = node.inputs[1]
    if numbers.is_abstract or numbers.data.ndim != 1 or numbers.data.dtype.kind not in "iu":
        return None
    return numbered[0]


def moved(node: Node, x: Signal, axis: int, context: Context) -> Signal:
    """Each position as it was. Copies of one are equal, so positions are no longer apart."""
    inputs = placed(node.inputs[0], x)
    if inputs is None:
        raise UnknownSignal("the layout of the positions taken here is not followed")
    shape, numbers = node.inputs[0].shape, node.inputs[1].data

    def move(values: Array) -> Array:
        return np.asarray(np.take(values.reshape(-1, *shape[2:]), numbers, axis - 1).reshape(-1))

    context.notes["positions", context.at(node)] = inputs
    fields: dict[str, Any] = {name: move(getattr(inputs, name)) for name in FIELDS}
    return replace(
        inputs,
        **fields,
        places=int(np.prod(node.shape[2:])),
        element=None,
        partner=None if inputs.partner is None else move(inputs.partner),
        apart=inputs.apart and len(np.unique(numbers)) == len(numbers),
    )


def moved_backward(
    node: Node, x: Signal, axis: int, cotangent: Cotangent, context: Context
) -> Cotangent:
    """What arrives at the copies of a position adds up; they must be uncorrelated."""
    inputs: Signal = context.notes["positions", context.at(node)]
    g = cotangent.gradient
    if g.aligned or any(c.root is not None for _, c in cotangent.terms.values()):
        raise UnknownCotangent("copies of a position whose gradients are correlated")
    numbers = node.inputs[1].data
    shape = (-1, *node.shape[2:])
    inside = node.inputs[0].shape[2:]

    def back(values: Array) -> Array:
        arriving = np.moveaxis(values.reshape(shape), axis - 1, 0)
        total = np.zeros((node.inputs[0].shape[axis], *arriving.shape[1:]))
        np.add.at(total, numbers, arriving)
        return np.moveaxis(total, 0, axis - 1).reshape(-1)

    second = back(cotangent.second())
    assert len(second) % int(np.prod(inside)) == 0
    whole = np.maximum(second, np.finfo(float).tiny)
    fields: dict[str, Any] = {
        name: back(g.second * getattr(g, name)) / whole for name in GRADIENT_FIELDS
    }
    fields["second"], fields["coherent"] = second, back(g.coherent)
    result = source(second, back(cotangent.pair()), replace(g, **fields, joined=True))
    return result if x.places == inputs.places else merged_places(result, inputs.places)
