"""A traced function of Values as a function of arrays; `lane_plan.py` computes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.compiler.lane_plan import LaneRun
from tinygrad_edu.compiler.recorded import Array
from tinygrad_edu.compiler.replay import Replay, Trace
from tinygrad_edu.errors import GradientError
from tinygrad_edu.graph.value import Value


class Lanes:
    """A result of a compiled function on arrays: a number for each sample."""

    def __init__(self, data: Array, backward: Callable[[], None]) -> None:
        self.data = data
        """The numbers, of shape (n,)."""
        self._backward = backward

    def backward(self) -> None:
        """Add the derivatives of the sum over the samples to the grad of the leaves."""
        self._backward()

    def __len__(self) -> int:
        return len(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.data, dtype, copy=copy)

    def __repr__(self) -> str:
        return f"Lanes(data={self.data})"


class LaneReplay(Replay):
    """A trace as a function of arrays and of the numbers that its leaves have."""

    def __init__(self, trace: Trace, inputs: Sequence[Value], dtype: str) -> None:
        self._lanes = LaneRun(trace, inputs, dtype)
        used = [i for i, x in enumerate(inputs) if x in self._lanes.inputs]
        self._used = None if len(used) == len(inputs) else used
        super().__init__(trace, self._lanes.run)

    def run_on(self, arrays: Sequence[Any], standing_for: dict[Value, Value]) -> list[Any]:
        """Run it on the samples in arrays; the results."""
        self._samples = n = len(arrays[0])
        columns = [np.asarray(x, self._lanes.dtype).reshape(n, -1) for x in arrays]
        if self._used is not None:
            columns = [np.concatenate(columns, axis=1)[:, self._used]]
        self._columns = columns
        return self.run_once(standing_for)

    def _complete(self) -> None:
        self._lanes.forward(self._columns, self._samples)
        if self._root is not None:
            self._lanes.backward(self._root)
            self._run.hand_over()
        self._run.forward(self._run.program.split, len(self._run.program.op))

    def _result(self, x: Any, row: int | None, standing_for: dict[Value, Value]) -> Any:
        if row is None or x in self._numbers:
            return super()._result(x, row, standing_for)
        backward = self._backward(row, standing_for)
        if not self._lanes.lane[row]:
            return super()._result(x, row, standing_for)
        return Lanes(self._lanes.read(row), backward)

    def _backward(self, row: int, standing_for: dict[Value, Value]) -> Callable[[], None]:
        call = self._calls

        def backward() -> None:
            if call != self._calls:
                raise GradientError(
                    "compile: the function has been called again, and what this call computed is "
                    "gone; run backward before the next call."
                )
            self._lanes.backward(row)
            self._run.accumulate(standing_for)

        return backward
