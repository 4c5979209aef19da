"""One call for a whole step of a compiled function of Values: what the machines need, in order.

The driver reads the leaves' numbers and the samples, runs the machines forward and backward, hands
numbers from one to the other, and writes what the function assigns. `Field` describes its table;
the machines' tables, which it points to, are those of `scalar_machine` and `lane_machine`.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.control import I64
from tinygrad_edu.kernels.lanes import STORED
from tinygrad_edu.kernels.values import lane_machine, scalar_machine
from tinygrad_edu.kernels.values.interpreter import Interpreter

FORWARD, BACKWARD, FINISH = 1, 2, 4
"""What to do, as bits of `Field.MODE`: up to the function's `backward`; from a number back to the
leaves; what comes after it, and the assignments."""

DOUBLE = ir.DoubleType()


class Field(enum.IntEnum):
    """The table's entries. A program's parts follow each other: what goes into the lanes, the
    lanes, sums over samples, what is made of these, and what comes after `backward`."""

    MODE = 0
    SCALARS, SCALARS_FORWARD, SCALARS_BACKWARD = 1, 2, 3  # the table and the kernels
    LANES, LANES_FORWARD, LANES_BACKWARD = 4, 5, 6  # 0 without lanes
    BEFORE, AFTER, SPLIT, COUNT = 7, 8, 9, 10  # ends of parts: up to the lanes; from the sums ...
    VALUE, COTANGENT, ROWS = 11, 12, 13  # rows of the scalar machine
    DATA, GRAD = 14, 15  # where Values live
    LEAF_ROW, LEAF_CELL, LEAVES = 16, 17, 18
    GRAD_ROW, GRAD_CELL, GRADS = 19, 20, 21
    SAMPLE, SAMPLES = 22, 23  # the arrays' addresses, and how long they are
    INPUTS, INPUT_FROM, COLUMN, COLUMNS, KIND = 24, 25, 26, 27, 28  # rows of numbers in them
    SHARED, SHARED_FROM, SHARED_COUNT = 29, 30, 31  # numbers handed to the lanes
    SUM_ROW, DIVISOR, SUMS, TOTAL, SEED = 32, 33, 34, 35, 36  # sums over samples
    BLOCKS, WIDTH, GRADIENT = 37, 50, 38  # blocks of so many samples
    ROOT, IN_LANES = 39, 40  # what to differentiate, and whether it differs between samples
    FOUND_ROW, FOUND_FROM, FOUND = 41, 42, 43  # derivatives that later instructions read
    DATA_CELL, DATA_FROM, DATAS = 44, 45, 46  # assignments
    GRAD_TO, GRAD_FROM, GRADS_TO = 47, 48, 49


KINDS = [np.dtype(name) for name in ("float32", "float64", "int64", "int32", "bool")]
"""The dtypes that samples may have; an input's `Field.KIND` is its place here."""


def address(dtype: str) -> int:
    """Where the driver for lanes of this precision is."""
    return llvm.address(f"driver {dtype}", functools.partial(_driver, dtype), optimise=True)


def _driver(dtype: str, name: str) -> str:
    return _Driver(name, Field, dtype).write_all()


class _Driver(Interpreter):
    def write_all(self) -> str:
        """The function."""
        for bit, part in ((FORWARD, self._forward), (BACKWARD, self._backward)):
            with self._if(self.builder.and_(self.field[Field.MODE], I64(bit))):
                part()
        with self._if(self.builder.and_(self.field[Field.MODE], I64(FINISH))):
            with self._if(self.builder.and_(self.field[Field.MODE], I64(BACKWARD))):
                self._gather(Field.VALUE, Field.FOUND_ROW, Field.COTANGENT, Field.FOUND_FROM)
            self._scalars(Field.SCALARS_FORWARD, self.field[Field.SPLIT], self.field[Field.COUNT])
            self._scatter(Field.DATA, Field.DATA_CELL, Field.DATA_FROM, Field.DATAS)
            self._scatter(Field.GRAD, Field.GRAD_TO, Field.GRAD_FROM, Field.GRADS_TO)
        return self.text()

    # -------------------------------------------------------------------------- parts

    def _forward(self) -> None:
        self._fetch(Field.LEAF_ROW, Field.DATA, Field.LEAF_CELL, Field.LEAVES)
        self._fetch(Field.GRAD_ROW, Field.GRAD, Field.GRAD_CELL, Field.GRADS)
        self._scalars(Field.SCALARS_FORWARD, I64(0), self.field[Field.BEFORE])
        with self._if(self.field[Field.LANES]):
            self._pack()
            with self.loop(0, self.field[Field.SHARED_COUNT]) as k:
                number = self._double(Field.VALUE, self.index(Field.SHARED_FROM, k))
                self._put(Field.SHARED, k, number)
            self._set_blocks(I64(0), self.field[Field.BLOCKS])
            self._call(Field.LANES_FORWARD, Field.LANES)
            with self.loop(0, self.field[Field.SUMS]) as k:
                total = self.builder.fdiv(
                    self._double(Field.TOTAL, k), self._double(Field.DIVISOR, k)
                )
                self._set(Field.VALUE, self.index(Field.SUM_ROW, k), total)
        self._scalars(Field.SCALARS_FORWARD, self.field[Field.AFTER], self.field[Field.SPLIT])

    def _backward(self) -> None:
        with self.loop(0, self.field[Field.ROWS]) as row:
            self._set(Field.COTANGENT, row, DOUBLE(0.0))
        with self._if(self.field[Field.IN_LANES], False):
            self._set(Field.COTANGENT, self.field[Field.ROOT], DOUBLE(1.0))
            self._scalars(Field.SCALARS_BACKWARD, self.field[Field.AFTER], self.field[Field.SPLIT])
            with self.loop(0, self.field[Field.SUMS]) as k:
                found = self._double(Field.COTANGENT, self.index(Field.SUM_ROW, k))
                self._put(Field.SEED, k, self.builder.fdiv(found, self._double(Field.DIVISOR, k)))
        with self._if(self.field[Field.LANES]):
            self._set_blocks(I64(0), self.field[Field.BLOCKS])
            self._call(Field.LANES_BACKWARD, Field.LANES)
            with self.loop(0, self.field[Field.SHARED_COUNT]) as k:
                row = self.index(Field.SHARED_FROM, k)
                both = self._double(Field.COTANGENT, row), self._double(Field.GRADIENT, k)
                self._set(Field.COTANGENT, row, self.builder.fadd(*both))
        self._scalars(Field.SCALARS_BACKWARD, I64(0), self.field[Field.BEFORE])

    def _pack(self) -> None:
        """Turn columns of arrays, whose rows are samples, into lanes. Lanes without a sample get
        the last one's numbers."""
        b = self.builder
        table = self.field[Field.LANES]
        values = self.load(I64, table, lane_machine.Field.VALUE)
        stride = self.load(I64, table, lane_machine.Field.BLOCK_BYTES)
        with self.loop(0, self.field[Field.INPUTS]) as row:
            array = self.load(I64, self.field[Field.SAMPLE], self.index(Field.INPUT_FROM, row))
            with self.loop(0, self.field[Field.BLOCKS]) as block:
                place = b.mul(b.mul(row, self.field[Field.WIDTH]), I64(self.size))
                place = b.add(place, b.mul(block, stride))
                target = b.add(values, place)
                branches: dict[int, Callable[[], None]] = {
                    i: functools.partial(self._pack_row, dtype, array, row, block, target)
                    for i, dtype in enumerate(KINDS)
                }
                self.switch(self.index(Field.KIND, row), branches)

    def _pack_row(
        self, dtype: np.dtype[Any], array: Any, row: Any, block: Any, target: Any
    ) -> None:
        """A block's part of a column of this dtype."""
        b = self.builder
        column, columns = self.index(Field.COLUMN, row), self.index(Field.COLUMNS, row)
        last = b.sub(self.field[Field.SAMPLES], I64(1))
        first = b.mul(block, self.field[Field.WIDTH])
        with self.loop(0, self.field[Field.WIDTH]) as lane:
            sample = b.add(first, lane)
            sample = b.select(b.icmp_signed("<", sample, last), sample, last)
            at = b.add(b.mul(sample, columns), column)
            place = self.pointer(STORED[dtype], array, at, dtype.itemsize)
            number = self._converted(b.load(place), dtype)
            b.store(number, self.pointer(self.element, target, lane, self.size))

    def _converted(self, number: Any, dtype: np.dtype[Any]) -> Any:
        b, wider = self.builder, self.size - dtype.itemsize
        if dtype.kind != "f":
            return (b.sitofp if dtype.kind == "i" else b.uitofp)(number, self.element)
        if wider:
            return (b.fpext if wider > 0 else b.fptrunc)(number, self.element)
        return number

    # -------------------------------------------------------------------------- pieces

    def _if(self, number: Any, holds: bool = True) -> Any:
        """Where a number is not 0, or is."""
        return self.builder.if_then(
            self.builder.icmp_signed("!=" if holds else "==", number, I64(0))
        )

    def _call(self, kernel: Field, table: Field) -> None:
        kind = ir.FunctionType(ir.VoidType(), [I64.as_pointer()])
        function = self.builder.inttoptr(self.field[kernel], kind.as_pointer())
        argument = self.builder.inttoptr(self.field[table], I64.as_pointer())
        self.builder.call(function, [argument])

    def _scalars(self, kernel: Field, start: Any, stop: Any) -> None:
        """Do some instructions."""
        table, field = self.field[Field.SCALARS], scalar_machine.Field
        with self.builder.if_then(self.builder.icmp_signed("<", start, stop)):
            for entry, number in ((field.START, start), (field.STOP, stop)):
                self.builder.store(number, self.pointer(I64, table, entry, 8))
            self._call(kernel, Field.SCALARS)

    def _set_blocks(self, first: Any, last: Any) -> None:
        table, field = self.field[Field.LANES], lane_machine.Field
        for entry, number in ((field.FIRST_BLOCK, first), (field.LAST_BLOCK, last)):
            self.builder.store(number, self.pointer(I64, table, entry, 8))

    def _double(self, array: Field, at: Any) -> Any:
        return self.load(DOUBLE, self.field[array], at)

    def _set(self, array: Field, at: Any, number: Any) -> None:
        self.builder.store(number, self.pointer(DOUBLE, self.field[array], at, 8))

    def _put(self, array: Field, at: Any, number: Any) -> None:
        """Set a number of the lanes' precision."""
        if self.size == 4:
            number = self.builder.fptrunc(number, self.element)
        self.builder.store(number, self.pointer(self.element, self.field[array], at, self.size))

    def _fetch(self, row: Field, array: Field, cell: Field, count: Field) -> None:
        """Read the numbers of cells into consecutive rows."""
        with self.loop(0, self.field[count]) as k:
            number = self._double(array, self.index(cell, k))
            self._set(Field.VALUE, self.builder.add(self.field[row], k), number)

    def _gather(self, to: Field, row: Field, source: Field, place: Field) -> None:
        """Read rows that an array names into consecutive rows."""
        with self.loop(0, self.field[Field.FOUND]) as k:
            number = self._double(source, self.index(place, k))
            self._set(to, self.builder.add(self.field[row], k), number)

    def _scatter(self, array: Field, cell: Field, source: Field, count: Field) -> None:
        """Set cells to the numbers of rows."""
        with self.loop(0, self.field[count]) as k:
            number = self._double(Field.VALUE, self.index(source, k))
            self._set(array, self.index(cell, k), number)
