"""A program run by NumPy, one op after another: what compiled plans are tested against, and what
runs where they cannot."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_edu.compiler.program import Program
from tinygrad_edu.derive.walk import ordered
from tinygrad_edu.graph.node import Node

ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector."""

Source = np.ndarray | tuple[np.ndarray, np.ndarray]
"""For each input of several runs: one array for all, one with a leading axis of steps, or
(data, index), of which step i reads ``data[index[i]]``."""


@dataclass(frozen=True)
class Instruction:
    """What is run at once: its kernel, the ops in it and the nodes it computes."""

    kernel: str
    ops: tuple[str, ...]
    nodes: tuple[Node, ...]
    shapes: tuple[tuple[int, ...], ...]
    flop: float
    bytes: int


class Reference:
    """Runs a program op by op. `state(node)` is the storage of a state, as in a compiled plan."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._order = ordered([*program.outputs, *program.updates.values()], constants=True)
        self._states = _arena(program.states)
        self.arena_bytes = sum(array.nbytes for array in self._states.values())

    def state(self, node: Node) -> np.ndarray:
        """The storage of a state, to read and to write."""
        return self._states[node]

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One call: the outputs, copied; states are updated in place."""
        fed = dict(zip(self.program.inputs, inputs, strict=True))
        values = evaluate(self._order, {**fed, **self._states})
        outputs = [np.array(values[node]) for node in self.program.outputs]
        new = {state: np.array(values[node]) for state, node in self.program.updates.items()}
        for state, value in new.items():
            self._states[state][...] = value
        return outputs

    def run_many(self, steps: int, sources: Sequence[Source]) -> list[np.ndarray]:
        """So many calls; each output stacked over them."""
        rows = []
        for step in range(steps):
            inputs = [
                at_step(source, step, len(node.shape))
                for source, node in zip(sources, self.program.inputs, strict=True)
            ]
            rows.append(self.run(inputs))
        return [
            np.stack([row[k] for row in rows]) if rows else np.empty((0, *node.shape), node.dtype)
            for k, node in enumerate(self.program.outputs)
        ]

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """One for each op."""
        return tuple(
            Instruction(
                node.op.name, (node.op.name,), (node,), (node.shape,), flop(node), traffic(node)
            )
            for node in self._order
            if node.op is not None
        )

    def measure(self, inputs: Sequence[np.ndarray], rounds: int = 5) -> list[float]:
        """Seconds for each instruction, the least of some rounds; no state is changed."""
        values = evaluate(
            self._order, {**dict(zip(self.program.inputs, inputs, strict=True)), **self._states}
        )
        found = []
        for node in self._order:
            if node.op is not None:
                operands = [values[x] for x in node.inputs]
                times = []
                for _ in range(rounds):
                    start = time.perf_counter()
                    node.op.forward(*operands, **node.params)
                    times.append(time.perf_counter() - start)
                found.append(min(times))
        return found


def build(program: Program, threads: int | None = None) -> Reference:
    """A plan of the program; `threads` is for plans that have them."""
    return Reference(program)


def at_step(source: Source, step: int, ndim: int) -> np.ndarray:
    """What a source feeds at a step to an input of so many axes."""
    if isinstance(source, tuple):
        data, index = source
        return np.asarray(data[index[step]])
    return np.asarray(source[step]) if source.ndim > ndim else source


def _arena(states: Sequence[Node]) -> dict[Node, np.ndarray]:
    """Storage for all states in one piece of memory."""
    starts, end = [], 0
    for node in states:
        starts.append(end)
        size = math.prod(node.shape) * node.dtype.itemsize
        end += -(-size // ALIGNMENT) * ALIGNMENT
    memory = np.zeros(end + ALIGNMENT, np.uint8)
    shift = -memory.ctypes.data % ALIGNMENT
    found = {}
    for node, start in zip(states, starts, strict=True):
        size = math.prod(node.shape) * node.dtype.itemsize
        part = memory[shift + start : shift + start + size]
        view = found[node] = part.view(node.dtype).reshape(node.shape)
        view[...] = initial(node)
    return found


def initial(node: Node) -> np.ndarray:
    """What a state begins with: its data if it has any, else zeros."""
    if node.is_abstract:
        return np.zeros(node.shape, node.dtype)
    return np.array(node.data)


def evaluate(order: Sequence[Node], known: Mapping[Node, Any]) -> dict[Node, Any]:
    """The value of every node in `order` (operands first), given those of the `known` leaves."""
    values: dict[Node, Any] = dict(known)
    for node in order:
        if node in values:
            continue
        if node.op is None:
            values[node] = node.data
        else:
            operands = [values[x] for x in node.inputs]
            values[node] = np.asarray(node.op.forward(*operands, **node.params))
    return values


# ------------------------------------------------------------------------------ counting


def flop(node: Node) -> float:
    """Arithmetic operations of an op: two for each product of a matrix product, one for each
    element of anything else that computes; moving elements is none."""
    assert node.op is not None
    if node.op.name in ("matmul", "linear"):
        return 2.0 * math.prod(node.shape) * node.inputs[0].shape[-1]
    if node.op.name in ("reshape", "permute", "expand", "getitem", "scatter", "concat", "cast"):
        return 0.0
    return float(max(math.prod(x.shape) for x in (node, *node.inputs)))


def traffic(node: Node) -> int:
    """Bytes read and written by an op that shares nothing with its neighbours."""
    if node.op is not None and node.op.view:
        return 0
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in (node, *node.inputs))
