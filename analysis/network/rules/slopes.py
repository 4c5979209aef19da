"""Backward through elementwise ops, joins and moved elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.network import backward as behind
from analysis.network.context import Applied, Context, Parts, Record, Slope
from analysis.network.cotangent import (
    Cotangent,
    UnknownCotangent,
    given,
    source,
    whole_grid,
    whole_kinks,
)
from analysis.network.program import partial_of
from analysis.network.records import Array, Mask, Signal, Weight
from analysis.network.registry import register
from analysis.network.roots import Root
from analysis.network.rules.broadcast import alike, over_examples
from analysis.network.rules.dense_backward import through_bias
from analysis.network.rules.dropout import dropped_backward
from analysis.network.rules.gates import along_gates
from analysis.network.rules.layout import units_taken
from analysis.network.rules.positions import moved_backward, put_back, taken_axis
from analysis.network.rules.units import by_unit_backward
from tinygrad_edu.graph.node import Node
from tinygrad_edu.ops.kinds import Elementwise


def elementwise_backward(
    node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
) -> list[Any]:
    """Times the partial derivative, which is a function of the op's variable."""
    key = context.at(node)
    if any(isinstance(o, Mask) for o in operands):
        position, passed = dropped_backward(node, cotangent, context)
        return [passed if i == position else None for i in range(len(operands))]
    if key in context.applied:
        return _of_one(node, context.applied[key], operands, cotangent, context)
    if key not in context.slopes:
        raise UnknownCotangent(f"the derivative of {getattr(node.op, 'name', node)}")
    slopes = context.slopes[key]
    by_operand = [
        _by(slopes[i], cotangent, context, (key, i)) if i in slopes else None
        for i in range(len(operands))
    ]
    return along_gates(node, operands, by_operand, cotangent, context)


behind.ELEMENTWISE.append(elementwise_backward)


def _of_one(
    node: Node,
    applied: Applied,
    operands: Sequence[Record],
    cotangent: Cotangent,
    context: Context,
) -> list[Any]:
    root = applied.root
    assert isinstance(node.op, Elementwise)
    grid = whole_grid(root)
    kinks = whole_kinks(root)
    xs = [root.run(kinks, o)[0] if isinstance(o, int) else o for o in applied.operands]
    value, _ = root.run(kinks, applied.index)
    passed = given(_corrected(node, root, cotangent, context), root)
    result: list[Any] = []
    for position, (operand, x) in enumerate(zip(applied.operands, operands, strict=True)):
        if not isinstance(x, Signal) or not isinstance(operand, int):
            result.append(None)
            continue
        partial = partial_of(node.op, position, value, xs, dict(node.params))
        d = np.zeros_like(grid.x) if partial is None else np.broadcast_to(partial, grid.x.shape)
        own = passed.by_slope(root, d, d * d)
        at_root = operand == 0 and context.roots.get(context.at(node.inputs[position])) is root
        own = own.with_gradient(replace(passed.gradient, at_variable=not at_root))
        result.append(own)
    return result


def _corrected(node: Node, root: Root, cotangent: Cotangent, context: Context) -> Cotangent:
    """The corrections at the variable, from those at a function of it."""
    if cotangent.gradient.at_variable:
        return cotangent
    x = context.variables.get(root)
    if x is None:
        return cotangent
    response = context.responses[context.at(node)]
    passed = behind.through(response, x, cotangent.gradient)
    slack = passed.slack + root.left_open(response)[1]
    return Cotangent(cotangent.terms, replace(passed, slack=slack))


def _by(slope: Slope, cotangent: Cotangent, context: Context, key: Any) -> Cotangent:
    """Times a slope that was averaged over what is independent."""
    root, mean, square = slope.root, slope.mean, slope.square
    if root is not None:
        grid, kinks = context.notes[key]
        if whole_kinks(root) != kinks:  # more functions of this variable came later
            mean, square = (_moved(grid.x, values, whole_grid(root).x) for values in (mean, square))
    passed = cotangent.by_slope(root, mean, square)
    return passed.with_gradient(behind.through_joint(slope.joint, cotangent.gradient))


def _moved(old: Array, values: Array, new: Array) -> Array:
    """Averaged slopes are smooth: interpolated on other nodes."""
    return np.stack([np.interp(*row) for row in zip(new, old, values, strict=True)])


# ------------------------------------------------------------------------------ linear


@register(behind.RULES, "neg")
def negate_backward(
    node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
) -> list[Any]:
    """The same squares."""
    return [cotangent.times(-1.0)]


@register(behind.RULES, "cast", "reshape", "permute")
def same_size(
    node: Node, operands: Sequence[Record], cotangent: Any, context: Context
) -> list[Any]:
    """The same squares in another order."""
    return [cotangent]


@register(behind.RULES, "mul", "div")
def scale_backward(
    node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
) -> list[Any]:
    """By a constant c, or by one factor for each unit; other products as any elementwise op."""
    assert node.op is not None
    if context.at(node) in context.applied:
        return elementwise_backward(node, operands, cotangent, context)
    position = 0 if isinstance(operands[0], Signal) else 1
    other = operands[1 - position]
    if isinstance(other, float):
        passed = cotangent.times(other if node.op.name == "mul" else 1 / other)
    elif ("units", context.at(node)) in context.notes:
        passed = by_unit_backward(node, cotangent, context)
    elif isinstance(other, Weight):
        other = context.notes[context.at(node)]  # of a division, its reciprocal
        square = other.mean**2 + other.variance
        full = np.ones_like(cotangent.gradient.second)
        passed = cotangent.by_slope(None, other.mean * full, square * full)
        passed = passed.with_gradient(cotangent.gradient)
    else:
        return elementwise_backward(node, operands, cotangent, context)
    return [passed, None] if position == 0 else [None, passed]


@register(behind.RULES, "add", "sub")
def add_backward(
    node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
) -> list[Any]:
    """The gradient goes to every branch."""
    assert node.op is not None
    if context.at(node) in context.applied:
        return elementwise_backward(node, operands, cotangent, context)
    x, y = operands
    signs = (1.0, 1.0 if node.op.name == "add" else -1.0)
    if isinstance(x, Signal) and isinstance(y, Signal):
        a, b = alike(node, x, y, context)
        first, second = _beside(cotangent, a, b), _beside(cotangent, b, a)
        first = over_examples(node.inputs[0], x, first, context)
        second = over_examples(node.inputs[1], y, second, context)
        return [first, second.times(-1.0) if signs[1] < 0 else second]
    position = 0 if isinstance(x, Signal) else 1
    signal, other = operands[position], operands[1 - position]
    assert isinstance(signal, Signal)
    passed = (
        through_bias(node, signal, other, cotangent, context)
        if isinstance(other, Weight)
        else cotangent
    )
    passed = passed.times(-1.0) if signs[position] < 0 else passed
    return [passed, None] if position == 0 else [None, passed]


def _beside(cotangent: Cotangent, x: Signal, other: Signal) -> Cotangent:
    """At a branch x whose sum with another scatters mostly by the other."""
    own, most = (np.sqrt(np.maximum(s.fluctuation, 0.0)) for s in (x, other))
    hidden = own < most
    whole = (own + most, x.shift + other.shift)
    return replace(cotangent, gradient=behind.settled(cotangent.gradient, hidden, *whole))


behind.WHOLE.update(("concat", "getitem", "reshape", "permute"))


@register(behind.RULES, "concat")
def concatenate_backward(
    node: Node, operands: Sequence[Record], cotangent: Any, context: Context
) -> list[Any]:
    """Each operand receives its own part."""
    parts = list(cotangent if isinstance(cotangent, tuple) else ())
    result: list[Any] = []
    for operand in operands:
        count = len(operand.signals) if isinstance(operand, Parts) else 1
        own, parts = parts[:count], parts[count:]
        result.append(tuple(own) if isinstance(operand, Parts) else own[0])
    return result


@register(behind.RULES, "getitem")
def sliced_backward(
    node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
) -> list[Any]:
    """Into the units that were taken; 0 elsewhere. Averaged over all units, it is their share.

    Slices of different units do not meet; where the same units are taken twice, what arrives must
    be uncorrelated."""
    x = operands[0]
    if not isinstance(x, Signal):  # a table
        return [None] * len(operands)
    if ("picked", context.at(node)) in context.notes:
        return [put_back(node, cotangent, context)]
    axis = taken_axis(node)
    if axis is not None:
        return [moved_backward(node, axis, cotangent, context), None]
    span = units_taken(node, x)
    assert span is not None
    taken = context.notes.setdefault(("taken", node.inputs[0]), [])
    for other, terms in taken:
        overlap = other[0] < span[1] and span[0] < other[1]
        if overlap and not terms.isdisjoint(cotangent.terms):
            raise UnknownCotangent("slices that overlap")
    taken.append((span, set(cotangent.terms)))
    context.notes.setdefault("held gradients", set()).update(cotangent.terms)
    share = (span[1] - span[0]) / x.units
    second, pair = share * cotangent.second(), share**2 * cotangent.pair()
    gradient = replace(cotangent.gradient, joined=True, second=second)
    scaled = replace(gradient, coherent=share * gradient.coherent)
    placed = replace(source(second, pair, scaled), shadow=frozenset(cotangent.terms))
    return [placed, *[None] * (len(operands) - 1)]
