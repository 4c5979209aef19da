"""A program run by NumPy, one op after another: what compiled plans are tested against, and what
runs where LLVM cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.compiler.program import Program
from tinygrad_edu.derive.walk import ordered
from tinygrad_edu.graph.node import Node


class Reference:
    """Runs a program op by op. `state(node)` is the storage of a state, as in a compiled plan."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._order = ordered([*program.outputs, *program.updates.values()], constants=True)
        self._states = {node: initial(node) for node in program.states}

    def state(self, node: Node) -> np.ndarray:
        """The storage of a state, to read and to write."""
        return self._states[node]

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One call: the outputs, copied; states are updated in place."""
        values = evaluate(
            self._order, {**dict(zip(self.program.inputs, inputs, strict=True)), **self._states}
        )
        outputs = [np.array(values[node]) for node in self.program.outputs]
        new = {state: np.array(values[node]) for state, node in self.program.updates.items()}
        for state, value in new.items():
            self._states[state][...] = value
        return outputs

    def run_many(self, steps: int, sources: Sequence[Any]) -> list[np.ndarray]:
        """`steps` calls, the outputs stacked; sources as `Plan.run_many` has them."""
        results = []
        for step in range(steps):
            inputs = []
            for node, source in zip(self.program.inputs, sources, strict=True):
                if isinstance(source, tuple):
                    data, index = source
                    inputs.append(data[index[step]])
                else:
                    each = source.ndim == len(node.shape) + 1 and source.shape[0] == steps
                    inputs.append(source[step] if each else source)
            results.append(self.run(inputs))
        return [
            np.stack([result[i] for result in results])
            if results
            else np.empty((0, *node.shape), node.dtype)
            for i, node in enumerate(self.program.outputs)
        ]


def initial(node: Node) -> np.ndarray:
    """Storage for a state: its data if it has any, else zeros."""
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
