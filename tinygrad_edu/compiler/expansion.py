"""Composites of a program written out, for kernels that are made of single ops.

A step is traced with softmax, cross-entropy and the like as whole ops, since the derivatives
written for these are the short ones. What is left of them afterwards is their definition.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.compiler.program import Program
from tinygrad_edu.compiler.trace import Tracer
from tinygrad_edu.derive.walk import ordered
from tinygrad_edu.graph import modes
from tinygrad_edu.graph.functions import logical_and, where
from tinygrad_edu.graph.node import Node
from tinygrad_edu.graph.reader import graph_reader
from tinygrad_edu.graph.tensor import Tensor, make
from tinygrad_edu.ops.structural import Key


def expanded(program: Program) -> Program:
    """The same program in which composites are what their definitions say, and the element of each
    row that a label names (a gather, or its transpose) is found by comparing: elementwise, where
    memory is read in order."""
    while True:
        roots = [*program.outputs, *program.updates.values()]
        order = ordered(roots, constants=True)
        if not any(_rule(node) for node in order):
            return program
        program = _once(program, order)


def _once(program: Program, order: Sequence[Node]) -> Program:
    new: dict[Node, Node] = {}
    with Tracer() as tracer, modes.no_grad():
        for node in order:
            inputs = tuple(new[x] for x in node.inputs)
            rule = _rule(node)
            if rule is not None:
                made = rule([make(x) for x in inputs], node.params).node
                _pass_on_line(node, made, set(inputs))
                new[node] = made
            elif node.op is None or inputs == node.inputs:
                new[node] = node
            else:
                copy = new[node] = Node(node.data, False, node.op, inputs, node.params)
                copy.line = getattr(node, "line", None)
        assert not tracer.current
    return Program(
        program.inputs,
        program.states,
        {state: new[value] for state, value in program.updates.items()},
        tuple(new[node] for node in program.outputs),
    )


def _pass_on_line(node: Node, made: Node, known: set[Node]) -> None:
    """What a definition is made of comes from the line of the composite."""
    todo = [made]
    while todo:
        part = todo.pop()
        if part not in known and part.op is not None:
            known.add(part)
            part.line = getattr(node, "line", None)
            todo.extend(part.inputs)


def _rule(node: Node) -> Any:
    """What writes the node in other ops: a function of its operands and parameters, or None."""
    op = node.op
    if isinstance(op, ops.Fused):
        reader = graph_reader(node.dtype)
        return lambda xs, params: op.definition(reader, *xs, **params)
    if op in (ops.getitem, ops.scatter) and _names_labels(node):
        return _picked if op is ops.getitem else _placed
    return None


# ------------------------------------------------------------------------------ labels


def _names_labels(node: Node) -> bool:
    """Whether the key is (0, 1, 2, ...; labels) in a matrix: one element of each row."""
    key: Key = node.params["key"]
    if key.parts != (Key.ARRAY, Key.ARRAY):
        return False
    source, rows, labels = node.inputs
    shape = node.params.get("shape", source.shape)
    return (
        len(shape) == 2
        and labels.shape == shape[:1] == rows.shape
        and labels.dtype.kind == "i"
        and rows.op is None
        and isinstance(rows.data, np.ndarray)
        and np.array_equal(rows.data, np.arange(shape[0]))
    )


def _hot(labels: Tensor, classes: int) -> Tensor:
    """Where each row's label is; labels below 0 count from the end."""
    labels = where(labels < 0, labels + classes, labels)
    return labels.reshape(-1, 1) == np.arange(classes, dtype=labels.dtype)


def _picked(xs: Sequence[Tensor], params: Mapping[str, Any]) -> Tensor:
    """x[rows, labels]: NaN where the row has no such element (indexing raises an error there)."""
    x, _, labels = xs
    classes = x.shape[1]
    if x.dtype.kind != "f":
        return where(_hot(labels, classes), x, 0).sum(1).to(x.dtype)
    there = logical_and(labels >= -classes, labels < classes)
    return where(there, where(_hot(labels, classes), x, 0).sum(1), math.nan)


def _placed(xs: Sequence[Tensor], params: Mapping[str, Any]) -> Tensor:
    """The transpose: x in each row at its label, 0 elsewhere."""
    x, _, labels = xs
    return where(_hot(labels, params["shape"][1]), x.reshape(-1, 1), 0)
