"""A traced function of Values, replayed on one sample: forward, backward and assignments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.compiler.fuse_sums import fuse_sums
from tinygrad_edu.compiler.recorded import Array, Extraction, Program, kernels
from tinygrad_edu.compiler.watch import COTANGENT, DATA, GRAD, Watch
from tinygrad_edu.errors import GradientError
from tinygrad_edu.graph.resident import cells, settle
from tinygrad_edu.graph.value import Value
from tinygrad_edu.kernels.replay import COPY


class Trace:
    """What one run of a function did: its results, and everything it would do to Values."""

    def __init__(self, watch: Watch, results: Sequence[Any]) -> None:
        self.watch = watch
        self.root = watch.root
        if self.root is not None:
            for leaf in Extraction(watch, [self.root]).leaves():
                watch.grad_of(leaf)
        self.results = list(results)
        self.data = [(leaf, _as_value(x)) for leaf, x in watch.assigned.items()]
        self.grads = [(leaf, _as_value(x)) for leaf, x in watch.grads.items()]
        written = [number for _, number in (*self.data, *self.grads)]
        roots = [] if self.root is None else [self.root]
        wanted = [x for x in (*self.results, *written, *roots) if isinstance(x, Value)]
        self.program = Extraction(watch, wanted).program()


def _as_value(x: Value | float) -> Value:
    return x if isinstance(x, Value) else Value(x)


class Run:
    """A program with memory of its own, in double precision. Forward, arithmetic gives the bits
    that the operations give one by one."""

    def __init__(self, program: Program) -> None:
        self.program = program
        rows = program.sources + len(program.op)
        self.value, self.cotangent = np.zeros(rows), np.zeros(rows)
        self.value[: len(program.constants)] = program.constants
        self._wanted = np.zeros(rows, np.uint8)
        first = program.first("leaves")
        self._leaves = slice(first, first + len(program.leaves))
        first = program.first("grads")
        self._grads = slice(first, first + len(program.grads))
        first = program.first("cotangents")
        self._cotangents = slice(first, first + len(program.cotangents))
        row_of = {leaf: self._leaves.start + i for i, leaf in enumerate(program.leaves)}
        self._of = np.array([row_of.get(leaf, 0) for leaf in program.cotangents], np.int64)
        self._wanted[self._leaves] = 1
        spread(program, self._wanted, COPY, COPY)
        self._code = program.code()
        self._leaf_cells = as_slice(settle(program.leaves))
        self._grad_cells = as_slice(settle(program.grads))
        self._reached: dict[int, Array] = {}

    def load(self) -> None:
        """Read the leaves' numbers and grads."""
        self.value[self._leaves] = cells.data[self._leaf_cells]
        if self.program.grads:
            self.value[self._grads] = cells.grad[self._grad_cells]

    def sources(self) -> Array:
        """What `load` read."""
        return self.value[len(self.program.constants) : self._cotangents.start].copy()

    def restore(self, sources: Array) -> None:
        """Have it read that again."""
        self.value[len(self.program.constants) : self._cotangents.start] = sources

    def accumulate(self, standing_for: dict[Value, Value]) -> None:
        """Add the derivatives that `backward` found to the grad of the leaves, or of what they
        stand for."""
        found = self.cotangent[self._leaves]
        cells.grad[self._leaf_cells] += found
        for leaf, derivative in zip(self.program.leaves, found.tolist(), strict=True):
            if leaf in standing_for:
                standing_for[leaf]._grad += derivative

    def forward(self, start: int, stop: int) -> None:
        """Compute some instructions."""
        if start < stop:
            kernels().forward(*self._code, self.value, self.program.sources, start, stop)

    def backward(self, root: int) -> None:
        """The derivatives of the number in a row by all others, in `cotangent`."""
        self.cotangent[:] = 0.0
        self.cotangent[root] = 1.0
        self.pull(root, 0, max(root - self.program.sources + 1, 0))

    def pull(self, root: int, start: int, stop: int) -> None:
        """Pull the cotangents of some instructions, as far as the root depends on them, back to
        their operands."""
        if start < stop:
            memory = self.value, self.cotangent, self._wanted, self._reach(root)
            kernels().reverse(*self._code, *memory, self.program.sources, start, stop)

    def _reach(self, root: int) -> Array:
        """The instructions that a row depends on. Others must not take part: their derivatives may
        be infinite, and 0 times that is nan."""
        if root not in self._reached:
            self._reached[root] = reached(self.program, [root])
        return self._reached[root]

    def hand_over(self) -> None:
        """Give the derivatives by leaves to the instructions that come after `backward`."""
        self.value[self._cotangents] = self.cotangent[self._of]


def spread(program: Program, flags: Array, first: int, last: int) -> None:
    """Give the flags of rows to all that is computed of them, except by codes first ... last."""
    kernels().spread(*program.code(), flags, program.sources, first, last)


def reached(program: Program, roots: Sequence[int]) -> Array:
    """1 for the instructions that some rows depend on."""
    marks = np.zeros(program.sources + len(program.op), np.uint8)
    marks[list(roots)] = 1
    kernels().reach(*program.code(), marks, program.sources)
    return marks[program.sources :]


class Replayed(Value):
    """A result of a compiled function: a number, and `backward`."""

    __slots__ = ("_backward",)
    _backward: Callable[[], None]

    @classmethod
    def of(cls, number: float, backward: Callable[[], None]) -> Replayed:
        """The result with this number."""
        result = cls(number)
        result._backward = backward
        return result

    @property
    def is_leaf(self) -> bool:
        """It was computed, from other Values."""
        return False

    def backward(self) -> None:
        """Add its derivatives to the grad of the leaves that the function used."""
        self._backward()

    @property
    def _page(self) -> Any:
        raise GradientError(
            "compile: the result of a compiled function cannot be computed with, since its past is "
            "not recorded; compute inside of the function, or with its .data."
        )

    @_page.setter
    def _page(self, page: Any) -> None:
        pass


class Replay:
    """A trace as a function of the numbers that its leaves have when it is called."""

    def __init__(self, trace: Trace, run: Run | None = None) -> None:
        self._run = run = run or Run(fuse_sums(trace.program))
        rows = run.program.rows
        self._root = None if trace.root is None else rows[trace.root]
        self._results = [(x, rows.get(x) if isinstance(x, Value) else None) for x in trace.results]
        numbers = (DATA, GRAD, COTANGENT)
        self._numbers = {x for x, symbol in trace.watch.symbols.items() if symbol.what in numbers}
        self._data_cells, self._data_rows = _by_cell(trace.data, rows)
        self._grad_cells, self._grad_rows = _by_cell(trace.grads, rows)
        self._calls = 0

    def run_once(self, standing_for: dict[Value, Value]) -> list[Any]:
        """Read the leaves, run, and write what the function assigns; the results. Leaves of the
        trace may stand for Values, to which their grads go."""
        run = self._run
        run.load()
        self._calls += 1
        self._complete()
        results = [self._result(x, row, standing_for) for x, row in self._results]
        if len(self._data_rows):
            cells.data[self._data_cells] = run.value[self._data_rows]
            cells.version += 1
        if len(self._grad_rows):
            cells.grad[self._grad_cells] = run.value[self._grad_rows]
        return results

    def _complete(self) -> None:
        """From the leaves' numbers to the last instruction."""
        run, split = self._run, self._run.program.split
        run.forward(0, split)
        if self._root is not None:
            run.backward(self._root)
            run.hand_over()
        run.forward(split, len(run.program.op))

    def _result(self, x: Any, row: int | None, standing_for: dict[Value, Value]) -> Any:
        """What the user gets for a result of the traced run."""
        if row is None:
            return x
        number = float(self._run.value[row])
        if x in self._numbers:
            return number
        return Replayed.of(number, self._backward(row, standing_for))

    def _backward(self, row: int, standing_for: dict[Value, Value]) -> Callable[[], None]:
        """The `backward` of a result."""
        call, before = self._calls, self._run.sources()

        def backward() -> None:
            if call != self._calls:  # another call has overwritten what this one had computed
                self._calls += 1
                self._run.restore(before)
                self._complete()
            self._run.backward(row)
            self._run.accumulate(standing_for)

        return backward


def as_slice(rows: Array) -> Any:
    """Indices as NumPy reads them fastest: as a slice, if each is the one before plus 1."""
    if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def _by_cell(written: Sequence[tuple[Value, Value]], rows: dict[Value, int]) -> tuple[Any, Array]:
    """The cells that are written, in ascending order, and the rows of what they are set to."""
    into = settle([leaf for leaf, _ in written])
    order = np.argsort(into)
    return as_slice(into[order]), np.array([rows[x] for _, x in written], np.int64)[order]
