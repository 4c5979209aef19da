"""The two sweeps over a traced network: forward in the graph's order, then backward.

Both are iterative and linear in the number of ops: sources that only one live record contains are
put into one (`_condensed`), so that what a residual stream has added up does not grow with depth.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.network import backward, forward, laws, rules
from analysis.network.context import Context, Parts, Record
from analysis.network.cotangent import Cotangent, combined, condensed
from analysis.network.elements import Element
from analysis.network.fields import remember
from analysis.network.records import Array, Noise, Numbers, Signal, Weight
from analysis.network.roots import MixtureRoot
from analysis.network.rules.conv import merged_places
from analysis.network.scatter import deviation, remember_scatter
from analysis.network.sources import Form, Key, fresh
from analysis.network.trace import Trace
from tinygrad_edu.graph.node import Node

assert rules  # imported for the rules it enters


# ------------------------------------------------------------------------------ forward


def sweep_forward(graph: Trace, signal: Signal | Numbers, context: Context) -> dict[Node, Record]:
    """The record of every node."""
    records: dict[Node, Record] = {graph.input: signal}
    uses = _uses(graph)
    often = _used_often(graph)
    _hold(signal, context, 1)
    for node in graph.nodes:
        if node in records:
            continue
        if node.op is None:
            records[node] = _leaf(node, graph, often, context)
            continue
        operands = [records[x] for x in node.inputs]
        known = _constant(node, operands)
        records[node] = forward.forward(node, operands, context) if known is None else known
        for x in node.inputs:
            records[x] = _as_variable(x, records[x], context)
            uses[x] -= 1
            if not uses[x]:
                _hold(records[x], context, -1)
        records[node] = _condensed(records[node], context)
        _hold(records[node], context, 1)
    return records


def _uses(graph: Trace) -> Counter[Node]:
    return Counter(x for node in graph.nodes for x in node.inputs)


def _used_often(graph: Trace) -> set[Node]:
    """Parameters that several ops use, through whatever transposes them."""
    users: Counter[Node] = Counter()
    leaf: dict[Node, Node] = {p: p for p in graph.parameters}
    for node in graph.nodes:
        if node.op is None:
            continue
        for x in node.inputs:
            if x in leaf and len(node.inputs) == 1:
                leaf[node] = leaf[x]
            elif x in leaf:
                users[leaf[x]] += 1
    return {p for p, count in users.items() if count > 1}


def _leaf(node: Node, graph: Trace, often: set[Node], context: Context) -> Record:
    if node in graph.parameters:
        record, assumption = laws.law_of(*graph.parameters[node], node in often)
        if assumption:
            context.assume(assumption)
        return record
    if node.is_abstract:
        return Noise()
    if not np.issubdtype(node.dtype, np.number) or not np.isfinite(node.data).all():
        single = node.data.size == 1  # a truth value, or infinity
        return float(node.data.item()) if single else Numbers(node.data, batched=False)
    shapes = {n.shape for n in graph.nodes if node in n.inputs} if node.data.size > 1 else set()
    return laws.constant_of(node.data, shapes.pop() if len(shapes) == 1 else ())


_MOVING = {"permute", "reshape", "expand", "cast"}


def _constant(node: Node, operands: list[Record]) -> Record:
    """What is computed from constants and settled parameters alone is a constant: its numbers are
    in the trace. (Parameters that are only moved keep their names.)"""
    assert node.op is not None
    settled = all(
        isinstance(o, float) or (isinstance(o, Weight) and (not o.variance or o.values is not None))
        for o in operands
    )
    if not settled or node.is_abstract or node.op.name in _MOVING:
        return None
    return laws.constant_of(node.data, ())


def _hold(record: Record, context: Context, change: int) -> None:
    """Count who contains a source."""
    signals = record.signals if isinstance(record, Parts) else (record,)
    for signal in signals:
        if isinstance(signal, Signal):
            for key in signal.sources:
                context.holders[key] += change


def _as_variable(node: Node, record: Record, context: Context) -> Record:
    """A sum whose law has become a variable is from now on known as that variable."""
    root = context.roots.get(node)
    if not isinstance(root, MixtureRoot) or not isinstance(record, Signal):
        return record
    if record.element is not None and record.element.root is root:
        return record
    _hold(record, context, -1)
    element = Element(Form(np.zeros_like(record.mean), {}), root, 0)
    changed = replace(record, element=element, sources=root.sources)
    _hold(changed, context, 1)
    return changed


def _fully() -> Array:
    """The correlation of positions that share one number."""
    return np.ones((1, 1, 1))


_MOST_FIELDS = 16
"""Convolutions added up whose positions are followed one by one: more of them are put into one."""


def _condensed(record: Record, context: Context) -> Record:
    """The same law with the Gaussian sources that nothing else contains put into one."""
    if (
        not isinstance(record, Signal)
        or record.element is None
        or len(record.element.form.terms) < 3
    ):
        return record
    form = record.element.form
    alone = [k for k in form.terms if not context.holders[k]]
    followed = record.places > 1 and len(form.terms) <= _MOST_FIELDS
    if followed:  # pooling asks how positions are correlated: by a bias, fully
        alone = [k for k in alone if k[0] < 0]
    if len(alone) < 2:
        return record
    merged = np.asarray(sum(form.terms[k] ** 2 for k in alone))
    terms: dict[Key, Any] = {k: c for k, c in form.terms.items() if k not in alone}
    key = fresh()
    terms[key] = np.sqrt(merged)
    if followed:
        remember(key, _fully, context, _fully)
    scatter = deviation(Form(form.mean, {k: form.terms[k] for k in alone}), context)
    if scatter is not None:
        remember_scatter(Form(form.mean, {key: terms[key]}), merged, scatter**2, context)
    known = [context.correlations.get(k) for k in alone]
    if all(c is not None for c in known):
        own = sum(
            form.terms[k] * context.partner(form.terms[k]) * context.correlations[k] for k in alone
        )
        scale = np.maximum(terms[key] * context.partner(terms[key]), 1e-300)
        context.correlations[key] = own / scale
    element = replace(record.element, form=Form(form.mean, terms))
    return replace(record, element=element, sources=element.sources)


# ------------------------------------------------------------------------------ backward


def sweep_backward(
    graph: Trace, records: dict[Node, Record], context: Context
) -> dict[Node, backward.Back]:
    """The cotangent of every node for which it is known."""
    end = records[graph.output]
    if not isinstance(end, Signal | Parts):
        return {}
    found: dict[Node, backward.Back] = {}
    waiting: dict[Node, list[Any]] = {graph.output: [_at_the_end(end)]}
    contained: Counter[int] = Counter()
    _count(waiting[graph.output][0], contained, 1)
    for node in reversed(graph.nodes):
        parts = waiting.pop(node, None)
        if parts is None:
            continue
        for part in parts:
            _count(part, contained, -1)
        try:
            if any(part is None for part in parts):
                raise AnalysisError
            total = _meet(parts, contained, context)
            if not all(np.isfinite(own.gradient.second).all() for own in _each(total)):
                raise AnalysisError("a gradient that overflows")
            found[node] = total
            if _detached(node):
                continue
            operands = [records[x] for x in node.inputs]
            known = not any(isinstance(o, Signal | Parts) for o in operands)
            passed = [] if known else backward.backward(node, operands, total, context)
        except AnalysisError as error:
            if str(error):
                context.unknown(node, f"backward: {error}")
            passed = [None] * len(node.inputs)
        for x, cotangent in zip(node.inputs, passed, strict=False):
            record = records[x]
            if isinstance(record, Signal | Parts):
                arriving = _fitted(cotangent, record)
                waiting.setdefault(x, []).append(arriving)
                _count(arriving, contained, 1)
    return found


def _fitted(cotangent: Any, record: Signal | Parts) -> Any:
    """A gradient by positions, at a signal that is the same at all of them."""
    if not isinstance(record, Signal) or not isinstance(cotangent, Cotangent):
        return cotangent
    places = len(cotangent.gradient.second) // len(record.second)
    return cotangent if places == 1 else merged_places(cotangent, places)


def _detached(node: Node) -> bool:
    """Whether the gradient stops here (`detach`): nothing is passed, which is 0 and not unknown."""
    return not node.requires_grad and any(x.requires_grad for x in node.inputs)


def _at_the_end(end: Signal | Parts) -> Any:
    if isinstance(end, Parts):
        return tuple(backward.start(len(s.second)) for s in end.signals)
    return backward.start(len(end.second))


def _each(cotangent: Any) -> tuple[Cotangent, ...]:
    if cotangent is None:
        return ()
    return cotangent if isinstance(cotangent, tuple) else (cotangent,)


def _count(cotangent: Any, contained: Counter[int], change: int) -> None:
    for own in _each(cotangent):
        for key in (*own.terms, *own.echo):
            contained[key] += change


def _meet(parts: list[Any], contained: Counter[int], context: Context) -> Any:
    """The sum of what arrives, with sources that nothing else contains put into one."""
    if any(isinstance(part, tuple) for part in parts):
        return tuple(combined(list(own)) for own in zip(*map(_each, parts), strict=True))
    total = combined(parts)
    held = context.notes.get("held gradients", set())
    return condensed(total, {k for k in total.terms if not contained[k] and k not in held}, context)
