"""Ops that move elements: reshape, permute, slices of units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.network import forward as ahead
from analysis.network.context import Context, Parts, Record, UnknownSignal
from analysis.network.elements import Element
from analysis.network.layouts import is_image, layout_of, permuted, reshaped
from analysis.network.records import Numbers, Signal, Weight
from analysis.network.registry import register
from analysis.network.roots import DataRoot
from analysis.network.rules.known import looked_up
from analysis.network.rules.positions import moved, some_places, taken_axis
from analysis.network.sources import Form
from tinygrad_edu.graph.node import Node

ahead.WHOLE.update(("reshape", "getitem"))


@register(ahead.RULES, "reshape", "permute")
def rearranged(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """The same elements in another order. The batch stays where it is."""
    (x,) = operands
    assert node.op is not None
    if isinstance(x, Weight) and x.values is not None:
        return replace(x, values=node.op.forward(x.values, **node.params))
    if not isinstance(x, Signal | Parts):
        return x
    old = node.inputs[0].shape
    layout = layout_of(x, old) if isinstance(x, Signal) and x.places > 1 else "b" * bool(old)
    if layout[:1] == "b" and node.shape[:1] != old[:1]:
        raise UnknownSignal("a reshape that mixes examples")
    if not isinstance(x, Signal):
        return x
    if x.places == 1:
        return _permuted_data(node, x) if node.op.name == "permute" else x
    if node.op.name == "permute":
        return replace(x, layout=permuted(layout, node.params["axes"]))
    return replace(x, layout=reshaped(layout, old, node.shape))


def _permuted_data(node: Node, x: Signal) -> Signal:
    """Numbers have an order."""
    element = x.element
    if not x.fixed or element is None or not isinstance(element.root, DataRoot):
        return x
    root = element.root
    values = root.program.run(root.numbers, element.index)[element.index][0]
    moved = (values + element.form.mean[:, None]).reshape(-1, *node.inputs[0].shape[1:])
    numbers = moved.transpose(node.params["axes"]).reshape(values.shape)
    if numbers.shape == values.shape and np.array_equal(numbers, moved.reshape(values.shape)):
        return x
    made = Element(Form(np.zeros_like(x.mean), {}), root.with_numbers(numbers))
    return replace(x, element=made, sources=made.sources)


@register(ahead.RULES, "expand")
def expanded(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """Repeated constants and parameters stay what they are."""
    (x,) = operands
    if isinstance(x, Weight | float):
        return x
    raise UnknownSignal("a signal that is repeated")


@register(ahead.RULES, "getitem")
def sliced(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """Some of the units: the same law, and independent of the units outside the slice. Or some of
    the positions."""
    x, *indices = operands
    if isinstance(x, Weight):
        positions = [Numbers(n.data, batched=False) for n in node.inputs[1:] if not n.is_abstract]
        return looked_up(node, x, positions, context)
    if not isinstance(x, Signal):
        raise UnknownSignal("an index into what is no signal")
    axis = taken_axis(node)
    if axis is not None and (x.places == 1 or is_image(x, node.inputs[0].shape)):
        return moved(node, x, axis, context)
    if not indices:
        by_place = some_places(node, x, context)
        if by_place is not None:
            return by_place
    span = units_taken(node, x)
    if indices or span is None:
        raise UnknownSignal("an index that takes something else than a range of units")
    start, stop = span
    element = None if x.element is None else _taken(x.element, start, stop, context)
    if element is None:
        raise UnknownSignal("a slice of a signal whose law is not known")
    mean, second, fourth = element.moments()
    taken = replace(x, units=stop - start, element=element, sources=element.sources)
    return replace(taken, mean=mean, second=second, fourth=fourth)


def units_taken(node: Node, x: Signal) -> tuple[int, int] | None:
    """The range of units that a basic index takes, if it takes all of the other axes."""
    shape = node.inputs[0].shape
    key = (*node.params["key"].parts, *[slice(None)] * len(shape))[: len(shape)]
    layout = layout_of(x, shape)
    axis = len(shape) - 1 if x.places == 1 else layout.find("u")
    if layout[axis : axis + 1] != "u" or shape[axis] != x.units:
        return None
    if any(part != slice(None) for i, part in enumerate(key) if i != axis):
        return None
    if not isinstance(key[axis], slice):
        return None
    start, stop, step = key[axis].indices(shape[axis])
    return (start, stop) if step == 1 and stop > start else None


def _taken(element: Element, start: int, stop: int, context: Context) -> Element:
    root = element.root
    if isinstance(root, DataRoot):
        taken = Element(element.form.shifted(start), root.part(start, stop), element.index)
    else:
        taken = element.shifted(start)
    for number, first in element.sources:
        if (number, first) in context.correlations:
            known = context.correlations[number, first]
            context.correlations.setdefault((number, first + start), known)
        for field in ("fields", "across"):
            known_fields = context.notes.get(field, {})
            if (number, first) in known_fields:
                known_fields.setdefault((number, first + start), known_fields[number, first])
    if root is not None and taken.root is not None and root in context.variables:
        context.variables.setdefault(taken.root, context.variables[root])
    return taken
