"""Ops that move elements: reshape, permute, slices of units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from analysis.network import forward as ahead
from analysis.network.context import Context, Parts, Record, UnknownSignal
from analysis.network.elements import Element
from analysis.network.records import Signal, Weight
from analysis.network.registry import register
from analysis.network.roots import DataRoot
from analysis.network.rules.positions import moved, taken_axis
from tinygrad_edu.graph.node import Node

ahead.WHOLE.update(("reshape", "getitem"))


@register(ahead.RULES, "reshape", "permute")
def reshaped(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """The same elements in another order. The batch stays where it is."""
    (x,) = operands
    if isinstance(x, Weight) and x.values is not None:
        assert node.op is not None
        return replace(x, values=node.op.forward(x.values, **node.params))
    if isinstance(x, Signal | Parts) and node.shape[:1] != node.inputs[0].shape[:1]:
        raise UnknownSignal("a reshape that mixes examples")
    return x


@register(ahead.RULES, "expand")
def expanded(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """Repeated constants and parameters stay what they are."""
    (x,) = operands
    if isinstance(x, Weight | float):
        return x
    raise UnknownSignal("a signal that is repeated")


@register(ahead.RULES, "getitem")
def sliced(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """Some of the units: the same law, and independent of the units outside the slice."""
    x, *indices = operands
    if isinstance(x, Weight):
        raise UnknownSignal("a part of a parameter")
    axis = taken_axis(node)
    if axis is not None and isinstance(x, Signal):
        return moved(node, x, axis, context)
    span = units_taken(node)
    if indices or span is None or not isinstance(x, Signal) or x.places > 1:
        raise UnknownSignal("an index that takes something else than a range of units")
    start, stop = span
    if x.units != node.inputs[0].shape[-1]:
        raise UnknownSignal("a slice along another axis than that of the units")
    element = None if x.element is None else _taken(x.element, start, stop, context)
    if element is None:
        raise UnknownSignal("a slice of a signal whose law is not known")
    mean, second, fourth = element.moments()
    taken = replace(x, units=stop - start, element=element, sources=element.sources)
    return replace(taken, mean=mean, second=second, fourth=fourth)


def units_taken(node: Node) -> tuple[int, int] | None:
    """The range of the last axis that a basic index takes, if it takes all of the others."""
    *others, last = node.params["key"].parts
    if len(others) + 1 != len(node.inputs[0].shape):
        return None
    if any(part != slice(None) for part in others) or not isinstance(last, slice):
        return None
    start, stop, step = last.indices(node.inputs[0].shape[-1])
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
    if root is not None and taken.root is not None and root in context.variables:
        context.variables.setdefault(taken.root, context.variables[root])
    return taken
