"""A traced function of Values as a function of arrays; `lane_plan.py` computes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.compiler.values.lane_plan import LaneRun
from tinygrad_edu.compiler.values.recorded import Array
from tinygrad_edu.compiler.values.replay import Replay, Trace
from tinygrad_edu.errors import GradientError
from tinygrad_edu.graph.value import Value
from tinygrad_edu.kernels.values.driver import BACKWARD, KINDS


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

    run: LaneRun

    def __init__(self, trace: Trace, inputs: Sequence[Value], dtype: str) -> None:
        self.addresses: Array = np.zeros(0, np.int64)
        super().__init__(trace, LaneRun(trace, inputs, dtype))

    def run_on(self, arrays: Sequence[Any], standing_for: dict[Value, Value]) -> list[Any]:
        """Run it on the samples in arrays; the results."""
        ordered = [
            np.require(x, x.dtype if x.dtype in KINDS else float, ["C", "A"]) for x in arrays
        ]
        self.addresses = self.run.samples(ordered)
        return self.run_once(standing_for)

    def _result(self, x: Any, row: int | None, standing_for: dict[Value, Value]) -> Any:
        if row is None or x in self._numbers or not self.run.lane[row]:
            return super()._result(x, row, standing_for)
        return Lanes(self.run.read(row), self._backward(row, standing_for))

    def _backward(self, row: int, standing_for: dict[Value, Value]) -> Callable[[], None]:
        call = self._calls

        def backward() -> None:
            if call != self._calls:
                raise GradientError(
                    "compile: the function has been called again, and what this call computed is "
                    "gone; run backward before the next call."
                )
            self.run.differentiate(row)
            self.run.drive(BACKWARD)
            self._set_root()
            self.run.accumulate(standing_for)

        return backward
