"""From a trace to a program: what is fed, what lives between calls, what is new after a call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_edu.compiler.program import Program
from tinygrad_edu.compiler.tracing.trace import Tracer
from tinygrad_edu.graph.node import LiveNode, Node
from tinygrad_edu.graph.tensor import Tensor, make


class Cell:
    """A state of the program, and where its array is kept for everybody else to see: here, as the
    data of a leaf."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.asks = node.requires_grad

    def read(self) -> np.ndarray | None:
        """The array there now; None if there is none."""
        return self.node.data  # type: ignore[no-any-return]

    def write(self, array: np.ndarray) -> None:
        """Let everybody see this array."""
        self.node.data = array
        self.node.__class__ = LiveNode

    def problem(self) -> str | None:
        """Why the program does not fit what is there now."""
        array = self.read()
        if array is not None and (array.shape, array.dtype) != (self.node.shape, self.node.dtype):
            return f"a tensor of shape {self.node.shape} {self.node.dtype} became {array.shape}"
        if self.node.requires_grad != self.asks:
            return f"requires_grad of a leaf of shape {self.node.shape} changed"
        return None


class MomentCell(Cell):
    """A state that an optimizer keeps for a parameter."""

    def __init__(self, node: Node, place: Any) -> None:
        super().__init__(node)
        self._place = place
        self._begin = np.array(node.data)

    def read(self) -> np.ndarray | None:
        found = self._place.get()
        return self._begin if found is None else np.asarray(found)

    def write(self, array: np.ndarray) -> None:
        self._place.set(array)


class GradCell(Cell):
    """The gradient of a leaf. `reads` says whether the step depends on what it was before."""

    def __init__(self, node: Node, leaf: Node, reads: bool) -> None:
        super().__init__(node)
        self.leaf = leaf
        self.reads = reads
        self.handle: Tensor | None = None

    def read(self) -> np.ndarray | None:
        return None if self.leaf.grad is None else self.leaf.grad.node.data

    def write(self, array: np.ndarray) -> None:
        self.handle = make(LiveNode(array))
        self.leaf.grad = self.handle


@dataclass
class Lifted:
    """A program, and what its inputs and states stand for."""

    program: Program
    cells: list[Cell]
    """One for each state of the program."""
    changed: list[Node] = field(default_factory=list)
    """Leaves that have another value after a call."""
    cleared: list[Node] = field(default_factory=list)
    """Leaves without a gradient after a call."""
    bare: list[Node] = field(default_factory=list)
    """Leaves that must be without a gradient before a call."""


def lift(
    tracer: Tracer, outputs: Iterable[Node], assigned: Mapping[Node, Node], keep_grads: bool
) -> Lifted:
    """The program of a trace that has ended. `assigned` are tensors that a name stood for and the
    values it stands for in the end."""
    updates = {n: v for n, v in tracer.current.items() if _lasting(tracer, n)}
    for handle, before in tracer.handles.items():
        updates[before] = _value(tracer, tracer.final_handles[handle])
    updates.update({node: _value(tracer, value) for node, value in assigned.items()})
    grads, cleared = _gradients(tracer, updates, keep_grads)
    substitutes = {cell.node: cell for cell in grads.values()}
    graph = _Copy(tracer, {node: cell.node for node, cell in grads.items()})
    results = tuple(graph.of(_value(tracer, node)) for node in outputs)
    new = {grads[n].node if n in grads else n: graph.of(value) for n, value in updates.items()}
    new = {node: value for node, value in new.items() if value is not node}
    states = [*dict.fromkeys([*graph.states, *new])]
    feeds = sorted(graph.leaves, key=lambda node: node in tracer.host.leaves)  # arguments first
    cells: list[Cell] = [
        substitutes[node]
        if node in substitutes
        else MomentCell(node, tracer.moments[node])
        if node in tracer.moments
        else Cell(node)
        for node in states
    ]
    changed = [n for n in new if n not in tracer.moments and n not in substitutes]
    bare = [leaf for leaf, event in tracer.grads.items() if event.read and event.prior is None]
    program = Program(tuple(feeds), tuple(states), new, results)
    return Lifted(program, cells, changed, cleared, bare)


def _lasting(tracer: Tracer, node: Node) -> bool:
    return tracer.is_older(node) or node in tracer.moments


def _value(tracer: Tracer, node: Node) -> Node:
    """What a node holds when the step ends."""
    return tracer.current.get(node, node)


def _gradients(
    tracer: Tracer, updates: dict[Node, Node], keep: bool
) -> tuple[dict[Node, GradCell], list[Node]]:
    """States for the gradients that the step reads or leaves, by the node that held them before (or
    a new one), and the leaves that it leaves without. The gradients' new values join the updates.
    """
    cells: dict[Node, GradCell] = {}
    cleared = []
    for leaf, event in tracer.grads.items():
        prior, final = event.prior, tracer.final_grads[leaf]
        node = Node(np.zeros(leaf.shape, leaf.dtype))
        if prior is not None and event.read:
            before = tracer.handles.get(prior, prior.node)
            cells[before] = GradCell(node, leaf, True)
            key = before
        else:
            key = node
        if final is None or (not keep and final is not prior):
            cleared.append(leaf)
        elif final is not prior:
            cells.setdefault(key, GradCell(node, leaf, False))
            updates[key] = _value(tracer, final.node)
    return cells, cleared


class _Copy:
    """The part of a trace that is needed, with each operand being the value that was read."""

    def __init__(self, tracer: Tracer, gradients: Mapping[Node, Node]) -> None:
        self.states: dict[Node, None] = {}
        self.leaves: dict[Node, None] = {}
        self._tracer = tracer
        self._new: dict[Node, Node] = dict(gradients)
        self._gradients = set(gradients.values())

    def of(self, root: Node) -> Node:
        """The copy of a node and all it needs; iterative, so chains may be long."""
        stack = [root]
        while stack:
            node = stack[-1]
            needed = self._needed(node)
            missing = [x for x in needed if x not in self._new]
            if node in self._new or not missing:
                stack.pop()
                self._finish(node, needed)
            else:
                stack.extend(missing)
        return self._new[root]

    def _needed(self, node: Node) -> tuple[Node, ...]:
        tracer = self._tracer
        if node in tracer.stands_for:
            return (tracer.stands_for[node],)
        if node.op is None or tracer.is_older(node):
            return ()
        return tracer.reads.get(node, node.inputs)

    def _finish(self, node: Node, needed: tuple[Node, ...]) -> None:
        tracer = self._tracer
        if node in self._new:
            if self._new[node] in self._gradients:
                self.states[self._new[node]] = None
        elif node in tracer.stands_for:
            self._new[node] = self._new[needed[0]]
        elif node.op is not None and not tracer.is_older(node):
            inputs = tuple(self._new[x] for x in needed)
            for x in inputs:
                if x in self._gradients:
                    self.states[x] = None
            copy = Node(node.data, False, node.op, inputs, node.params)
            copy.line = getattr(node, "line", None)
            self._new[node] = copy
        else:
            self._new[node] = self._leaf(node)

    def _leaf(self, node: Node) -> Node:
        tracer = self._tracer
        if node.op is not None:  # computed before the step, and never again
            return Node(node.data)
        if node in tracer.moments:
            self.states[node] = None
        elif node.data.__class__ is not np.ndarray:  # an abstract leaf: fed at each call
            self.leaves[node] = None
        elif tracer.is_older(node):
            self.states[node] = None
        return node
