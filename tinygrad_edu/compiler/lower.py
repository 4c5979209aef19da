"""From a program of engine nodes to terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_edu.compiler.algebra import simplify
from tinygrad_edu.compiler.program import Program
from tinygrad_edu.compiler.term import Graph, Term
from tinygrad_edu.derive.walk import ordered
from tinygrad_edu.errors import TraceError
from tinygrad_edu.graph.node import Node
from tinygrad_edu.ops.fused import Fused
from tinygrad_edu.ops.positions import indexed_axes, place_of
from tinygrad_edu.ops.structural import Key
from tinygrad_edu.ops.table import TABLE


@dataclass
class Lowered:
    """A program in terms. `updates` maps the leaf of a state to its new value; a new value is
    computed by a term that is nobody else's, so that it can be written into the state."""

    graph: Graph
    inputs: list[Term]
    states: list[Term]
    updates: dict[Term, Term]
    outputs: list[Term]
    nodes: dict[Term, Node]
    """For each term a node of the program that it computes."""


def lower(program: Program) -> Lowered:
    """The terms of a program, composites expanded and algebra done."""
    graph = Graph(simplify)
    terms = {
        node: graph.leaf(node.shape, node.dtype) for node in (*program.inputs, *program.states)
    }
    for node in ordered([*program.outputs, *program.updates.values()], constants=True):
        if node not in terms:
            terms[node] = _lowered(graph, node, terms)
    return Lowered(
        graph,
        [terms[node] for node in program.inputs],
        [terms[node] for node in program.states],
        {terms[state]: terms[node] for state, node in program.updates.items()},
        [terms[node] for node in program.outputs],
        {t: node for node, t in reversed(terms.items())},
    )


def _lowered(graph: Graph, node: Node, terms: dict[Node, Term]) -> Term:
    if node.op is None:
        if node.is_abstract:
            raise TraceError(
                f"compile: a leaf of shape {node.shape} is neither an input, a state nor a "
                "constant; pass it to the compiled function."
            )
        return graph.constant(node.data)
    xs = _looked_at(graph, node, tuple(terms[x] for x in node.inputs))
    if isinstance(node.op, Fused):
        return graph.apply(node.op, *xs, **node.params)
    return graph.make(node.op, xs, node.params, node.shape, node.dtype)


def _looked_at(graph: Graph, node: Node, xs: tuple[Term, ...]) -> tuple[Term, ...]:
    """The operands, those that name positions as an op that looks at them has them: what exists,
    counted from the front. What uses them need not look again."""
    name, how = node.op.name if node.op is not None else "", dict[str, Any]()
    if name in ("cross_entropy", "mean_cross_entropy") and node.op is TABLE[name]:
        scores, labels = xs
        how = {"size": scores.shape[1], "wraps": False, "name": "cross_entropy", "where": ""}
        return scores, _positions(graph, labels, how)
    if name not in ("getitem", "scatter", "last_writer") or node.op is not TABLE[name]:
        return xs
    key, shape = node.params["key"], node.params.get("shape", xs[0].shape)
    first = 0 if name == "last_writer" else 1
    axes = indexed_axes(key.parts, Key.ARRAY, len(shape))
    checked = []
    for x, axis in zip(xs[first:], axes, strict=True):
        how = {"size": shape[axis], "wraps": True, "name": "getitem"}
        checked.append(_positions(graph, x, {**how, "where": place_of(axis, shape)}))
    return (*xs[:first], *checked)


def _positions(graph: Graph, index: Term, how: dict[str, Any]) -> Term:
    if _exists(index, how["size"]):
        return index
    return graph.apply(TABLE["positions"], index, ignored=None, **how)


def _exists(index: Term, size: int) -> bool:
    """Whether it is known that positions are from 0 to size - 1."""
    t = base(index)
    if t.value is not None:
        return bool(
            t.dtype == np.int64 and (not t.size or (t.value.min() >= 0 and t.value.max() < size))
        )
    if t.name == "positions":
        return bool(t.params["size"] <= size)
    if t.name in ("argmax", "argmin", "argsort"):
        return bool(t.inputs[0].shape[t.params["axis"]] <= size)
    if t.name == "max_pool_positions":
        return bool(t.inputs[0].size <= size)
    return t.name in ("getitem", "permute", "expand") and _exists(t.inputs[0], size)


def base(t: Term) -> Term:
    """The term whose memory t shares: a reshape only looks at it differently."""
    while t.name == "reshape":
        t = t.inputs[0]
    return t


def copied(t: Term, mark: int) -> Term:
    """A term of its own with the value of t, another one for each mark."""
    t = base(t)
    return t.graph.raw(TABLE["expand"], (t,), {"shape": t.shape, "mark": mark}, t.shape, t.dtype)


def is_copy(t: Term) -> bool:
    """Whether t was made by `copied`."""
    return t.name == "expand" and "mark" in t.params
