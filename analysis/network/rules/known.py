"""What is known by its numbers: tokens, masks, constants that differ by position.

What is computed from tokens alone is computed. A table's rows, looked up by tokens, are a signal:
its units at two positions are the same numbers where the tokens are equal and else independent. A
signal times or plus such numbers is the same signal, position by position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.errors import InputError
from analysis.network import backward as behind
from analysis.network import forward as ahead
from analysis.network.context import Context, Record, UnknownSignal
from analysis.network.cotangent import Cotangent
from analysis.network.elements import Element
from analysis.network.fields import remember, times
from analysis.network.layouts import by_axes
from analysis.network.records import Array, Numbers, Signal, Weight
from analysis.network.roots import DataRoot
from analysis.network.rules.steps import by_step
from analysis.network.rules.units import by_unit
from analysis.network.sources import Form, fresh
from tinygrad_edu.graph.node import Node

ENOUGH = 1e30
"""Stands for infinity in masks of scores: its fourth power is still a double."""


def of_numbers(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """The rule for any op of which an operand is `Numbers`."""
    assert node.op is not None
    if all(_is_known(x, o) for x, o in zip(node.inputs, operands, strict=True)):
        return _computed(node, operands)
    name, (first, *others) = node.op.name, operands
    if name == "getitem" and isinstance(first, Weight):
        return looked_up(node, first, others, context)
    if name == "where":
        return _chosen(node, operands, context)
    if name in ("mul", "div", "add", "sub") and any(isinstance(o, Signal) for o in operands):
        return _by_place(node, operands, context)
    if (
        isinstance(first, Numbers)
        and first.batched
        and not any(isinstance(o, Numbers) for o in others)
    ):
        return ahead.forward(node, [_as_signal(first), *others], context)
    raise UnknownSignal(f"{name} of tokens")


ahead.NUMBERS.append(of_numbers)


def _is_known(x: Node, record: Record) -> bool:
    if isinstance(record, Numbers | float):
        return True
    settled = not isinstance(record, Weight) or not record.variance or record.values is not None
    return settled and not x.is_abstract and not x.requires_grad and record is not None


def _computed(node: Node, operands: Sequence[Record]) -> Numbers:
    """What the op gives."""
    assert node.op is not None
    if not node.is_abstract:
        return Numbers(node.data, batched=False)
    cases = next(len(o.values) for o in operands if isinstance(o, Numbers) and o.batched)
    params = dict(node.params)
    if "shape" in params:
        params["shape"] = (cases, *params["shape"][1:])
    arrays = [
        o.values if isinstance(o, Numbers) else x.data
        for x, o in zip(node.inputs, operands, strict=True)
    ]
    made = np.asarray(node.op.forward(*arrays, **params))
    if made.shape != (cases, *node.shape[1:]):
        raise UnknownSignal("tokens of different examples that are mixed")
    return Numbers(made)


def _as_signal(known: Numbers) -> Signal:
    """Numbers as data."""
    rows = known.values.reshape(len(known.values), -1).astype(np.float64)
    zero = np.zeros(len(rows))
    element = Element(Form(zero, {}), DataRoot(rows, fresh()))
    return _signal(element, rows.shape[1], fixed=True)


def _signal(element: Element | None, units: int, **known: Any) -> Signal:
    """A record without corrections; moments are the element's."""
    if element is not None:
        known["mean"], known["second"], known["fourth"] = element.moments()
        known["sources"] = element.sources
    zero = np.zeros_like(known["second"])
    corrections = dict.fromkeys(("shift", "size", "fluctuation", "excess"), zero)
    return Signal(**{**corrections, "units": units, "element": element, **known})


# ------------------------------------------------------------------------------ tables


def looked_up(node: Node, table: Weight, indices: Sequence[Record], context: Context) -> Signal:
    """The rows of a table that tokens name."""
    (known,) = indices if len(indices) == 1 else (None,)
    if not isinstance(known, Numbers) or len(node.params["key"].parts) != 1:
        raise UnknownSignal("a part of a parameter, which is not looked up by one array of numbers")
    rows, features = node.inputs[0].shape[0], node.shape[-1]
    tokens = known.values if known.batched else known.values[None]
    if tokens.size and not (tokens.min() >= -rows and tokens.max() < rows):
        raise InputError(
            f"{table.name} has rows 0 to {rows - 1}; the tokens run from {tokens.min()} to "
            f"{tokens.max()}."
        )
    cases = len(context.weights)
    tokens = np.broadcast_to(tokens % rows, (cases, *tokens.shape[1:])).reshape(cases, -1)
    places = tokens.shape[1]
    layout = "b" * known.batched + "p" * (len(node.shape) - 1 - known.batched) + "u"
    known_as = {"places": places, "layout": layout if places > 1 else ""}
    if table.values is not None:
        numbers = np.asarray(table.values, np.float64)[tokens].reshape(cases * places, -1)
        zero = np.zeros(len(numbers))
        element = Element(Form(zero, {}), DataRoot(numbers, fresh()))
        return _signal(element, features, fixed=True, **known_as)
    if table.shared and table.name in context.notes.get("looked up", {}):
        raise UnknownSignal(f"{table.name} is looked up more than once")
    rows_of = _rows(node, table, tokens, features, context, known_as)
    context.notes.setdefault("looked up", {})[table.name] = rows_of.sources
    return rows_of


def _rows(
    node: Node,
    table: Weight,
    tokens: np.ndarray[Any, Any],
    features: int,
    context: Context,
    known: dict[str, Any],
) -> Signal:
    """Rows of independent entries; those that are kept at 0, as padding is, are 0."""
    kept = np.abs(np.asarray(node.inputs[0].data, np.float64)).max(axis=1) > 0
    alive = kept[tokens].astype(np.float64)

    def equal() -> Array:
        same = np.asarray(tokens[:, :, None] == tokens[:, None, :])
        return np.asarray(same * alive[:, :, None])

    scale = alive.reshape(-1)
    variance, mean = table.variance * scale, table.mean * scale
    both = np.equal(tokens.reshape(-1), context.partner(tokens))
    partner = np.where(both, (table.variance + table.mean**2) * scale, 0.0)
    if not np.any(both):
        partner = partner + mean * context.partner(mean)
    law: dict[str, Any] = {**known, "partner": partner if context.partners is not None else None}
    if table.kurtosis == 3 and not table.orthogonal:
        key = fresh()
        element = Element(Form(mean, {key: np.sqrt(variance)}))
        remember(key, equal, context)
        context.correlations[key] = both * scale
        return _signal(element, features, **law)

    def pairs() -> Array:
        own = mean.reshape(tokens.shape)
        return np.asarray(equal() * table.variance + own[:, :, None] * own[:, None, :])

    fourth = table.kurtosis * table.variance**2 + 6 * table.mean**2 * table.variance
    moments = {
        "mean": mean,
        "second": variance + mean**2,
        "fourth": (fourth + table.mean**4) * scale,
        "pairs": pairs,
        "sources": frozenset({fresh()}),
    }
    return _signal(None, features, **law, **moments)


# ------------------------------------------------------------------------------ by position


def _chosen(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """where(mask, a, b) of a signal and a number."""
    mask, a, b = operands
    if not isinstance(mask, Numbers):
        raise UnknownSignal("a choice by what is not known")
    if (isinstance(a, Signal) and a is b) or _same(node.inputs[1], node.inputs[2]):
        context.notes["by place", context.at(node)] = None
        return a
    chosen = mask.values.astype(np.float64)
    if isinstance(a, Signal) and isinstance(b, float | Numbers):
        kept, other, position = chosen, b, 1
    elif isinstance(b, Signal) and isinstance(a, float | Numbers):
        kept, other, position = 1 - chosen, a, 2
    else:
        raise UnknownSignal("a choice between two signals, or of what is no signal")
    fill = other.values if isinstance(other, Numbers) else np.asarray(other)
    # 0 times infinity is not what is meant
    shift = np.where(kept > 0, 0.0, np.clip(fill, -ENOUGH, ENOUGH))
    return _moved(node, position, operands, kept, shift, mask.batched, context)


def _same(a: Node, b: Node) -> bool:
    """Whether one of two nodes is the other, cut off from gradients: what `embedding` does of the
    row for padding."""
    return a.op is not None and a.op.name == "reshape" and a.inputs[0] is b and not a.requires_grad


def _by_place(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """A signal times or plus numbers."""
    assert node.op is not None
    position = 0 if isinstance(operands[0], Signal) else 1
    other = operands[1 - position]
    if not isinstance(other, Numbers):
        raise UnknownSignal(f"{node.op.name} of tokens")
    values = np.clip(other.values.astype(np.float64), -ENOUGH, ENOUGH)
    factor: Any = np.ones(1)
    shift: Any = np.zeros(1)
    if node.op.name == "mul":
        factor = values
    elif node.op.name == "div" and position == 0:
        factor = 1 / values
    elif node.op.name in ("add", "sub"):
        minus = node.op.name == "sub"
        shift = -values if minus and position == 0 else values
        factor = np.full(1, -1.0 if minus and position == 1 else 1.0)
    else:
        raise UnknownSignal("tokens divided by a signal")
    return _moved(node, position, operands, factor, shift, other.batched, context)


def _moved(
    node: Node,
    position: int,
    operands: Sequence[Record],
    factor: Array,
    shift: Array,
    batched: bool,
    context: Context,
) -> Signal:
    """factor * x + shift of the signal at a position of the operands."""
    x, source = operands[position], node.inputs[position]
    assert isinstance(x, Signal)
    if source.shape != node.shape:
        raise UnknownSignal("a signal that is repeated")
    stepped = by_step(source, x, context) if x.places == 1 else None
    x = x if stepped is None else stepped
    f = by_axes(factor, batched, x, source.shape)
    s = by_axes(shift, batched, x, source.shape)
    if f.shape[1] > 1:
        raise UnknownSignal("a signal times numbers that differ by unit and position")
    count = len(x.second)
    scale = np.broadcast_to(f[:, 0], (count,))
    if s.shape[1] > 1:
        if np.any(scale != 1):
            raise UnknownSignal("a choice that differs by unit")
        return by_unit(node, x, np.ones(1), np.broadcast_to(s, (count, s.shape[1])), context)
    context.notes["by place", context.at(node)] = (position, scale)
    return affine(x, scale, np.broadcast_to(s[:, 0], (count,)))


def affine(x: Signal, factor: Array, shift: Array) -> Signal:
    """factor * x + shift, each a number for each case and place."""
    element = None if x.element is None else x.element.affine(factor, shift)
    mean = factor * x.mean + shift
    second = factor**2 * x.second + 2 * factor * shift * x.mean + shift**2
    fourth = (np.abs(factor) * x.fourth**0.25 + np.abs(shift)) ** 4
    if element is not None:
        mean, second, fourth = element.moments()
    plain = not np.any(shift)
    pairs = x.pairs
    return replace(
        x,
        mean=mean,
        second=second,
        fourth=fourth,
        shift=factor**2 * x.shift,
        size=factor**2 * x.size,
        fluctuation=factor**4 * x.fluctuation,
        element=element,
        partner=None,
        pairs=(lambda: times(pairs(), factor)) if plain and pairs is not None else None,
    )


def back_by_place(
    node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
) -> list[Any]:
    """Times the factor at each place."""
    passed: list[Any] = [None] * len(operands)
    found = context.notes["by place", context.at(node)]
    if found is None:
        return passed
    position, f = found
    g = cotangent.gradient
    scaled = replace(
        g,
        second=f**2 * g.second,
        coherent=f**2 * g.coherent,
        log_1=f**2 * g.log_1,
        log_2=f**4 * g.log_2,
    )
    made = cotangent.by_slope(None, f, f**2).with_gradient(scaled)
    masked = bool(np.all((f == 0) | (f == 1)))  # of scores: the softmax has 0 there anyway
    passed[position] = replace(made, rows=cotangent.rows if masked else None)
    return passed


behind.BY_PLACE.append(back_by_place)
