"""Positions taken by number: padding that mirrors, repeats or closes to a ring; the last step of a
sequence, the first, or some of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from analysis.network.context import Context, UnknownSignal
from analysis.network.cotangent import Cotangent, UnknownCotangent, source
from analysis.network.elements import Element
from analysis.network.fields import correlated, pairs_of, remember
from analysis.network.layouts import layout_of, positions
from analysis.network.records import Array, Signal
from analysis.network.roots import DataRoot
from analysis.network.rules.conv import FIELDS, GRADIENT_FIELDS, placed
from analysis.network.rules.steps import by_step
from analysis.network.sources import Form, gaussian
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
    inputs = placed(node.inputs[0], x, context)
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
        partner=None
        if inputs.partner is None
        else move(inputs.partner).reshape(*inputs.partner.shape[:-1], -1),
        apart=inputs.apart and len(np.unique(numbers)) == len(numbers),
    )


def moved_backward(node: Node, axis: int, cotangent: Cotangent, context: Context) -> Cotangent:
    """What arrives at the copies of a position adds up; they must be uncorrelated."""
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
    return source(second, back(cotangent.pair()), replace(g, **fields, joined=True))


# ------------------------------------------------------------------------------ basic indices


def some_places(node: Node, x: Signal, context: Context) -> Signal | None:
    """What a basic index takes of the positions, whole in units; None if it takes units."""
    shape = node.inputs[0].shape
    key = (*node.params["key"].parts, *[slice(None)] * len(shape))[: len(shape)]
    if not all(isinstance(part, int | slice) for part in key):
        return None
    if x.places == 1 and (not _takes_all(key[-1], shape[-1]) or len(shape) < 3):
        return None
    inputs = by_step(node.inputs[0], x, context) if x.places == 1 else x
    if inputs is None:
        return None
    layout = layout_of(inputs, shape)
    by_axis = list(zip(key, layout, strict=True))
    whole = all(
        _takes_all(part, size)
        for (part, letter), size in zip(by_axis, shape, strict=True)
        if letter != "p"
    )
    if not whole or "p" not in layout:
        return None
    own = tuple(part for part, letter in by_axis if letter == "p")
    picked = np.arange(inputs.places).reshape(positions(layout, shape))[own].reshape(-1)
    left = "".join(letter for part, letter in by_axis if isinstance(part, slice))
    context.notes["picked", context.at(node)] = (inputs, picked)
    made = _picked(inputs, picked, context)
    return replace(made, layout=left if made.places > 1 else "")


def _takes_all(part: int | slice, size: int) -> bool:
    return isinstance(part, slice) and part.indices(size) == (0, size, 1)


def _picked(x: Signal, picked: Any, context: Context) -> Signal:
    """Some of the positions. A Gaussian law stays one; which others it depends on is kept in the
    sources."""

    def take(values: Array) -> Array:
        return np.asarray(values.reshape(-1, x.places)[:, picked].reshape(-1))

    def pairs() -> Array | None:
        table = pairs_of(x, context)
        return None if table is None else table[:, picked][:, :, picked]

    fields: dict[str, Any] = {name: take(getattr(x, name)) for name in FIELDS}
    partner = None if x.partner is None else take(x.partner)
    known = replace(
        x, **fields, places=len(picked), partner=partner, element=None, pairs=pairs, layout=""
    )
    element = x.element
    if element is not None and isinstance(element.root, DataRoot) and element.form.constant:
        values = element.root.program.run(element.root.numbers, element.index)[element.index][0]
        values = (values + element.form.mean[:, None]).reshape(-1, x.places, x.units)
        root = element.root.with_numbers(values[:, picked].reshape(-1, x.units))
        return replace(known, element=Element(Form(np.zeros_like(known.mean), {}), root))
    if not x.gaussian:
        return known
    form = gaussian(known.variance, known.mean)
    (key,) = form.terms
    outer = known.mean.reshape(-1, len(picked))

    def correlations() -> Array | None:
        table = pairs()
        if table is None:
            return None
        return correlated(table - outer[:, :, None] * outer[:, None, :], known.variance)

    remember(key, correlations, context)
    if partner is not None:
        own = known.variance * context.partner(known.variance)
        covariance = partner - known.mean * context.partner(known.mean)
        context.correlations[key] = covariance / np.sqrt(np.maximum(own, 1e-300))
    return replace(known, element=Element(form), sources=x.sources | frozenset(form.terms))


def put_back(node: Node, cotangent: Cotangent, context: Context) -> Cotangent:
    """What arrives at the positions that were taken; 0 at all others. Positions that are taken
    twice must receive what is uncorrelated."""
    inputs, picked = context.notes["picked", context.at(node)]
    taken = context.notes.setdefault(("taken places", node.inputs[0]), [])
    for others, terms in taken:
        if not terms.isdisjoint(cotangent.terms) and not others.isdisjoint(picked):
            raise UnknownCotangent("positions that are taken more than once")
    taken.append((set(picked), set(cotangent.terms)))
    context.notes.setdefault("held gradients", set()).update(cotangent.terms)
    g = cotangent.gradient

    def back(values: Array) -> Array:
        total = np.zeros((len(values) // len(picked), inputs.places))
        total[:, picked] = values.reshape(-1, len(picked))
        return total.reshape(-1)

    fields: dict[str, Any] = {name: back(getattr(g, name)) for name in GRADIENT_FIELDS}
    second = back(cotangent.second())
    made = source(second, back(cotangent.pair()), replace(g, **fields, joined=True))
    return replace(made, shadow=frozenset(cotangent.terms))
