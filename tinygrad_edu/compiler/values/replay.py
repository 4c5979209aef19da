"""A traced function of Values, replayed on one sample: forward, backward and assignments."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.compiler.values.fuse_sums import fuse_sums
from tinygrad_edu.compiler.values.recorded import Array, Extraction, Program
from tinygrad_edu.compiler.values.vector_reader import kernel
from tinygrad_edu.compiler.values.watch import COTANGENT, DATA, GRAD, Watch
from tinygrad_edu.errors import GradientError
from tinygrad_edu.graph.resident import cells, settle
from tinygrad_edu.graph.tape import OPS
from tinygrad_edu.graph.value import Value
from tinygrad_edu.kernels.values import driver, scalar_machine
from tinygrad_edu.kernels.values import instructions as structure
from tinygrad_edu.kernels.values.driver import BACKWARD, FINISH, FORWARD, Field
from tinygrad_edu.kernels.values.instructions import COPY
from tinygrad_edu.kernels.values.interpreter import Table
from tinygrad_edu.kernels.values.scalar_machine import Field as Scalars


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
    """A program with memory of its own, in double precision, and the driver that runs it.

    Forward, arithmetic gives the bits that the operations give one by one."""

    def __init__(self, program: Program, dtype: str = "float64") -> None:
        self.program = program
        rows = program.sources + len(program.op)
        self.value, self.cotangent = np.zeros(rows), np.zeros(rows)
        self.value[: len(program.constants)] = program.constants
        first = program.first("leaves")
        self._leaves = slice(first, first + len(program.leaves))
        self._leaf_cells, self._grad_cells = settle(program.leaves), settle(program.grads)
        self._reached: dict[int, Array] = {}
        self._scalars = self._scalar_table()
        self.table = self._driver_table()
        self.driver = driver.address(dtype)
        self._drive = _Entry(self.driver)
        self._address, self._mode = self.table.address, 0
        self._memory: tuple[Any, Any] = (None, None)

    def _scalar_table(self) -> Table:
        program, table, field = self.program, Table(Scalars), Scalars
        code = (field.OP, field.LEFT, field.RIGHT, field.THIRD, field.FACTOR, field.OTHER)
        for entry, column in zip(code, program.code(), strict=True):
            table[entry] = column
        wanted = np.zeros(len(self.value), np.uint8)
        wanted[self._leaves] = 1
        spread(program, wanted, COPY, COPY)
        table[field.SOURCES], table[field.WANTED] = program.sources, wanted
        table[field.VALUE], table[field.COTANGENT] = self.value, self.cotangent
        return table

    def _driver_table(self) -> Table:
        program, table = self.program, Table(Field)
        forward, backward = _scalar_kernels(len(OPS))
        table[Field.SCALARS], table[Field.ROWS] = self._scalars, len(self.value)
        table[Field.SCALARS_FORWARD], table[Field.SCALARS_BACKWARD] = forward, backward
        table[Field.VALUE], table[Field.COTANGENT] = self.value, self.cotangent
        table[Field.BEFORE] = table[Field.AFTER] = table[Field.SPLIT] = program.split
        table[Field.COUNT] = len(program.op)
        table[Field.LEAF_ROW], table[Field.LEAVES] = self._leaves.start, len(program.leaves)
        table[Field.GRAD_ROW], table[Field.GRADS] = program.first("grads"), len(program.grads)
        table[Field.LEAF_CELL] = self._leaf_cells.astype(np.int32)
        table[Field.GRAD_CELL] = self._grad_cells.astype(np.int32)
        row_of = {leaf: self._leaves.start + i for i, leaf in enumerate(program.leaves)}
        found = [row_of.get(leaf, 0) for leaf in program.cotangents]
        table[Field.FOUND_ROW], table[Field.FOUND] = program.first("cotangents"), len(found)
        table[Field.FOUND_FROM] = np.array(found, np.int32)
        return table

    def assigns(self, data: Assigned, grad: Assigned) -> None:
        """What the end of a step writes: Values, and the rows their data, or grad, is set to."""
        table = self.table
        cells_and_rows = [(settle(leaves), rows) for leaves, rows in (data, grad)]
        (
            (table[Field.DATA_CELL], table[Field.DATA_FROM]),
            (table[Field.GRAD_TO], table[Field.GRAD_FROM]),
        ) = ((into.astype(np.int32), np.array(rows, np.int32)) for into, rows in cells_and_rows)
        table[Field.DATAS], table[Field.GRADS_TO] = len(data[1]), len(grad[1])

    def drive(self, mode: int) -> None:
        """Run some parts of the program."""
        self.prepare(mode)
        self._drive(self._address)

    def prepare(self, mode: int) -> None:
        """Have the driver run these parts, whoever calls it."""
        if self._memory[0] is not cells.data or self._memory[1] is not cells.grad:
            self._memory = cells.data, cells.grad
            self.table[Field.DATA], self.table[Field.GRAD] = self._memory
        if mode != self._mode:
            self.table[Field.MODE] = self._mode = mode

    def differentiate(self, root: int) -> None:
        """Say of which row `drive` shall find the derivatives."""
        if root not in self._reached:
            mask = reached(self.program, [root])
            self._reached[root] = np.where(mask, self.program.op, 0).astype(np.uint8)
        self._scalars[Scalars.REACHED] = self._reached[root]
        self.table[Field.ROOT] = root

    def sources(self) -> Array:
        """What it read of Values."""
        return self.value[len(self.program.constants) : self._end_of_grads].copy()

    def repeat(self, sources: Array, mode: int) -> None:
        """Run with what was read before, and change no Value."""
        self.value[len(self.program.constants) : self._end_of_grads] = sources
        table = self.table
        counts = (Field.LEAVES, Field.GRADS, Field.DATAS, Field.GRADS_TO)
        before = [table[field] for field in counts]
        for field in counts:
            table[field] = 0
        self.drive(mode)
        for field, count in zip(counts, before, strict=True):
            table[field] = count

    @property
    def _end_of_grads(self) -> int:
        return self.program.first("cotangents")

    def accumulate(self, standing_for: dict[Value, Value]) -> None:
        """Add the derivatives that were found to the grad of the leaves, or of what they stand
        for."""
        found = self.cotangent[self._leaves]
        cells.grad[self._leaf_cells] += found
        for leaf, derivative in zip(self.program.leaves, found.tolist(), strict=True):
            if leaf in standing_for:
                standing_for[leaf]._grad += derivative


Assigned = tuple[Sequence[Value], Sequence[int]]

# The GIL is kept: a step takes microseconds, and Values must not change while it reads them.
_Entry = ctypes.PYFUNCTYPE(None, ctypes.c_int64)


@functools.cache
def _scalar_kernels(ops: int) -> tuple[int, int]:
    """The passes on one sample, for the ops that the tape has so far."""
    codes = [code for code in range(ops) if OPS[code] is not None]
    return (
        kernel("scalars forward", scalar_machine.forward, codes),
        kernel("scalars backward", scalar_machine.backward, codes),
    )


def spread(program: Program, flags: Array, first: int, last: int) -> None:
    """Give the flags of rows to all that is computed of them, except by codes first ... last."""
    structure.passes(len(program.op)).spread(*program.code(), flags, program.sources, first, last)


def reached(program: Program, roots: Sequence[int]) -> Array:
    """1 for the instructions that some rows depend on. Others must not take part in derivatives:
    theirs may be infinite, and 0 times that is nan."""
    marks = np.zeros(program.sources + len(program.op), np.uint8)
    marks[list(roots)] = 1
    structure.passes(len(program.op)).reach(*program.code(), marks, program.sources)
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
        self.run = run = run or Run(fuse_sums(trace.program))
        rows = run.program.rows
        self._root = None if trace.root is None else rows[trace.root]
        self._results = [(x, rows.get(x) if isinstance(x, Value) else None) for x in trace.results]
        numbers = (DATA, GRAD, COTANGENT)
        self._numbers = {x for x, symbol in trace.watch.symbols.items() if symbol.what in numbers}
        run.assigns(*(
            ([leaf for leaf, _ in written], [rows[x] for _, x in written])
            for written in (trace.data, trace.grads)
        ))  # fmt: skip
        self._mode = FORWARD | FINISH | (0 if self._root is None else BACKWARD)
        self._calls = 0
        self._set_root()

    def _set_root(self) -> None:
        """Have steps differentiate what the traced function did."""
        if self._root is not None:
            self.run.differentiate(self._root)

    def run_once(self, standing_for: dict[Value, Value]) -> list[Any]:
        """Read the leaves, run, and write what the function assigns; the results. Leaves of the
        trace may stand for Values, to which their grads go."""
        self.begin()
        self.run.drive(self._mode)
        return self.results(standing_for)

    def begin(self) -> None:
        """Get ready for the driver to be called."""
        self._calls += 1
        cells.version += 1
        self.run.prepare(self._mode)

    def results(self, standing_for: dict[Value, Value]) -> list[Any]:
        """What the last call computed."""
        return [self._result(x, row, standing_for) for x, row in self._results]

    def _result(self, x: Any, row: int | None, standing_for: dict[Value, Value]) -> Any:
        """What the user gets for a result of the traced run."""
        if row is None:
            return x
        number: float = self.run.value.item(row)
        if x in self._numbers:
            return number
        return Replayed.of(number, self._backward(row, standing_for))

    def _backward(self, row: int, standing_for: dict[Value, Value]) -> Callable[[], None]:
        """The `backward` of a result."""
        call, before = self._calls, self.run.sources()

        def backward() -> None:
            if call != self._calls:  # another call has overwritten what this one had computed
                self._calls += 1
                self.run.repeat(before, self._mode)
            self._find(row)
            self.run.accumulate(standing_for)

        return backward

    def _find(self, row: int) -> None:
        """Find the derivatives of the number in a row."""
        table, run = self.run.table, self.run
        before = table[Field.BEFORE]
        table[Field.BEFORE] = table[Field.COUNT]  # it may have been computed after `backward`
        run.differentiate(row)
        run.drive(BACKWARD)
        table[Field.BEFORE] = before
        self._set_root()
