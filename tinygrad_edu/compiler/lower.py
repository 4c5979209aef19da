"""From a program of engine nodes to terms."""

from __future__ import annotations

from dataclasses import dataclass

from tinygrad_edu.compiler.algebra import simplify
from tinygrad_edu.compiler.program import Program
from tinygrad_edu.compiler.term import Graph, Term
from tinygrad_edu.derive.walk import ordered
from tinygrad_edu.errors import TraceError
from tinygrad_edu.graph.node import Node
from tinygrad_edu.ops.fused import Fused
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
    xs = tuple(terms[x] for x in node.inputs)
    if isinstance(node.op, Fused):
        return graph.apply(node.op, *xs, **node.params)
    return graph.make(node.op, xs, node.params, node.shape, node.dtype)


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
