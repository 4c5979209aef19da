"""What machines for flat programs have in common: memory, loops, and the choice of an instruction.

A machine reads a program (described in `kernels/values/instructions.py`) and does its instructions
on rows. What a row is differs: one number (`scalar_machine.py`) or a number for each of many
samples (`lane_machine.py`). The instructions are data; what is emitted, once for a set of ops, is
the loop that reads and does them.

A machine's only argument is a table of addresses and numbers, described by an enumeration.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels.control import I64, function
from tinygrad_edu.kernels.lanes import BOOL, TYPES, Lanes

I32, I8 = ir.IntType(32), ir.IntType(8)


@dataclass(frozen=True)
class Case:
    """An op: its code, its value of the operands, and each operand's share in its cotangent,
    given (cotangent, result, operands)."""

    code: int
    value: Callable[[list[Lanes]], Lanes]
    pulls: tuple[Callable[[Lanes, Lanes, list[Lanes]], Lanes] | None, ...]


class Table:
    """A machine's argument: numbers and addresses of arrays, which stay alive with it."""

    def __init__(self, fields: type[enum.IntEnum]) -> None:
        self._numbers = np.zeros(len(fields), np.int64)
        self._arrays: dict[enum.IntEnum, Any] = {}
        self.address = address_of(self._numbers)

    def __setitem__(self, field: enum.IntEnum, what: Any) -> None:
        if isinstance(what, np.ndarray):
            assert what.flags.c_contiguous
            self._arrays[field] = what
            what = address_of(what)
        elif isinstance(what, Table):
            self._arrays[field] = what
            what = what.address
        self._numbers[field] = what

    def __getitem__(self, field: enum.IntEnum) -> int:
        return int(self._numbers[field])

    def array(self, field: enum.IntEnum) -> Any:
        """The array that an entry points to."""
        return self._arrays[field]


def address_of(array: np.ndarray) -> int:
    """Where an array's numbers are."""
    return int(array.ctypes.data)


class Interpreter:
    """One function under construction, ``void name(int64 *table)``.

    Args:
        name: Of the function.
        fields: The table's entries; all are loaded at the beginning.
        dtype: Of the numbers in rows.
        width: How many there are in a row.
        lanes: What rows are computed with.
    """

    def __init__(
        self,
        name: str,
        fields: type[enum.IntEnum],
        dtype: str = "float64",
        width: int = 1,
        lanes: type[Lanes] = Lanes,
    ) -> None:
        self.module, self.builder, argument = function(name)
        self.dtype, self.width, self._lanes = np.dtype(dtype), width, lanes
        self.size = self.dtype.itemsize
        self.element = TYPES[self.dtype]
        self.row = ir.VectorType(self.element, width) if width > 1 else self.element
        self.field = {field: argument(field) for field in fields}

    def text(self) -> str:
        """The module, once the function is complete."""
        self.builder.ret_void()
        return str(self.module)

    # -------------------------------------------------------------------------- memory

    def pointer(self, kind: ir.Type, base: ir.Value, index: Any, size: int) -> ir.Value:
        """The address of an element of an array."""
        index = I64(index) if isinstance(index, int) else index
        offset = self.builder.mul(index, I64(size))
        return self.builder.inttoptr(self.builder.add(base, offset), kind.as_pointer())

    def load(self, kind: ir.Type, base: ir.Value, index: Any) -> ir.Value:
        """An integer or float of an array; integers as 64 bits."""
        size = {I64: 8, I32: 4, I8: 1, ir.DoubleType(): 8, ir.FloatType(): 4}[kind]
        value = self.builder.load(self.pointer(kind, base, index, size))
        return self.builder.zext(value, I64) if kind in (I32, I8) else value

    def index(self, field: enum.IntEnum, at: ir.Value) -> ir.Value:
        """An entry of an array of rows."""
        return self.load(I32, self.field[field], at)

    def lanes(self, value: ir.Value) -> Lanes:
        """A row's numbers, to compute with."""
        return self._lanes(self.builder, value, self.dtype)

    def read(self, base: ir.Value, row: Any) -> Lanes:
        """A row."""
        value = self.builder.load(self.place(base, row))
        value.align = min(self.width * self.size, 64)
        return self.lanes(value)

    def write(self, x: Lanes, base: ir.Value, row: Any) -> None:
        """Set a row."""
        self.builder.store(x.value, self.place(base, row), align=min(self.width * self.size, 64))

    def add(self, x: Lanes, base: ir.Value, row: Any) -> None:
        """Add to a row."""
        self.write(self.read(base, row) + x, base, row)

    def place(self, base: ir.Value, row: Any) -> ir.Value:
        """Where a row is."""
        return self.pointer(self.row, base, row, self.width * self.size)

    @property
    def zero(self) -> Lanes:
        """A row of zeros."""
        return self.lanes(ir.Constant(self.row, [0.0] * self.width if self.width > 1 else 0.0))

    def select(self, condition: Lanes, yes: Lanes, no: Lanes) -> Lanes:
        """One row or the other, lane by lane."""
        assert condition.dtype == BOOL
        return yes.new(self.builder.select(condition.value, yes.value, no.value))

    # -------------------------------------------------------------------------- control

    @contextmanager
    def loop(self, start: Any, stop: ir.Value, down: bool = False) -> Iterator[ir.Value]:
        """For each index from start to stop, or back from stop."""
        with self.carrying(start, stop, [], down) as (index, _, _):
            yield index

    @contextmanager
    def carrying(
        self, start: Any, stop: ir.Value, carried: list[ir.Value], down: bool = False
    ) -> Iterator[tuple[ir.Value, list[ir.Value], list[ir.Value]]]:
        """A loop, and values that go from round to round in registers: those a round begins with,
        which are the last ones after the loop, and a list to be filled with those it ends with."""
        start = I64(start) if isinstance(start, int) else start
        b, before = self.builder, self.builder.block
        head, body, end = (b.append_basic_block() for _ in range(3))
        b.branch(head)
        b.position_at_end(head)
        counter, registers = b.phi(I64), [b.phi(x.type) for x in carried]
        for register, x in zip([counter, *registers], [start, *carried], strict=True):
            register.add_incoming(x, before)
        b.cbranch(b.icmp_signed("<", counter, stop), body, end)
        b.position_at_end(body)
        index = b.sub(b.sub(b.add(stop, start), counter), I64(1)) if down else counter
        after: list[ir.Value] = []
        yield index, registers, after
        for register, x in zip(registers, after, strict=True):
            register.add_incoming(x, b.block)
        counter.add_incoming(b.add(counter, I64(1)), b.block)
        b.branch(head)
        b.position_at_end(end)

    def switch(self, code: ir.Value, branches: dict[int, Callable[[], None]]) -> None:
        """What is to be done for a code; nothing for others."""
        done = self.builder.append_basic_block()
        choice = self.builder.switch(code, done)
        for value, branch in branches.items():
            choice.add_case(I64(value), self.builder.append_basic_block())
            self.builder.position_at_end(choice.cases[-1][1])
            branch()
            self.builder.branch(done)
        self.builder.position_at_end(done)

    # -------------------------------------------------------------------------- instructions

    def do(
        self,
        cases: Sequence[Case],
        code: ir.Value,
        places: Sequence[ir.Value],
        memory: tuple[ir.Value, ir.Value],
        others: dict[int, Callable[[], None]],
    ) -> None:
        """Compute an instruction: its operands' places, memory and its own row; `others` are done
        by codes that no op has."""
        value, row = memory
        branches = dict(others)
        for case in cases:
            branches[case.code] = (
                lambda case=case: self.write(  # type: ignore[misc]
                    case.value([self.read(value, p) for p in places[: len(case.pulls)]]), value, row
                )
            )
        self.switch(code, branches)

    def pull(
        self,
        cases: Sequence[Case],
        code: ir.Value,
        places: Sequence[ir.Value],
        memory: tuple[ir.Value, ir.Value],
        given: Lanes,
        give: Callable[[Callable[[], Lanes], ir.Value], None],
        others: dict[int, Callable[[], None]],
    ) -> None:
        """Pull an instruction's cotangent back to its operands: `give` adds what a function
        computes to a place."""
        value, row = memory

        def branch(case: Case) -> None:
            xs = [self.read(value, p) for p in places[: len(case.pulls)]]
            y = self.read(value, row)
            for place, share in zip(places, case.pulls, strict=False):
                if share is not None:
                    give(functools.partial(share, given, y, xs), place)

        branches = dict(others)
        for case in cases:
            branches[case.code] = lambda case=case: branch(case)  # type: ignore[misc]
        self.switch(code, branches)
