"""A machine for one sample's program on many samples at a time.

A row holds one number of each of some samples, so an instruction is a few vector instructions.
Numbers that all samples share are not rows but scalars; derivatives in them are sums over lanes.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels.control import I32, I64, loop
from tinygrad_edu.kernels.lanes import Lanes, splat
from tinygrad_edu.kernels.values.instructions import COPY, DOT
from tinygrad_edu.kernels.values.interpreter import I8, Case, Interpreter

REGISTER_BYTES, MOST_REGISTERS = 64, 8
"""Of the widest registers, and how many a row has at most: with eight, as many chains of additions
overlap as the processor needs, and sums of products find room for themselves and their factors."""


def width(count: int, dtype: str) -> int:
    """Lanes in a row: as few registers as hold so many samples, a power of two, or the most."""
    lanes = REGISTER_BYTES // np.dtype(dtype).itemsize
    registers = 1
    while registers < MOST_REGISTERS and registers * lanes < count:
        registers *= 2
    return registers * lanes


DOT_SHARED, DOT_MIXED, DOT_ROWS = 251, 250, DOT
"""start + the sum of factor times other, where start and factors are shared numbers; only factors
are; none is. `other` is a row always."""


class Field(enum.IntEnum):
    """The table's entries."""

    OP, LEFT, RIGHT, THIRD, FACTOR, OTHER = range(6)  # of instructions and terms
    COUNT = 6  # of instructions
    SOURCES = 7  # rows before those of instructions
    SHARED = 8  # scalars
    SPREAD_ROW, SPREAD_FROM, SPREADS = 9, 10, 11  # shared numbers that are also rows
    VALUE, BLOCK_BYTES = 12, 13  # rows of all blocks
    FIRST_BLOCK, LAST_BLOCK = 14, 15
    MASK = 16  # a row for each block: 1 where there is a sample, else 0
    SUM_ROW, SUM, SUMS = 17, 18, 19  # rows to add up, in rows of doubles
    COTANGENT, ROWS = 20, 21  # of the rows of one block
    SEED_ROW, SEED, SEEDS = 22, 23, 24
    SHARED_COUNT, GRADIENT = 25, 26  # the derivatives in the scalars, doubles
    TOTAL = 27  # of the rows added up
    REACHED = 28  # the instructions that a derivative goes through; 0 in place of others
    PULL, PULL_FACTOR, PULL_FROM = 29, 30, 31  # for each instruction, where its terms begin: shared
    # numbers times cotangents of the sums that its result is a term of


def forward(cases: Sequence[Case], dtype: str, width: int, name: str) -> str:
    """The kernel that does every instruction on every block, then the sums, as LLVM assembly."""
    return _Machine(name, dtype, width).forward(cases)


def backward(cases: Sequence[Case], dtype: str, width: int, name: str) -> str:
    """The kernel that pulls cotangents back through every block."""
    return _Machine(name, dtype, width).backward(cases)


class _Machine(Interpreter):
    def __init__(self, name: str, dtype: str, width: int) -> None:
        super().__init__(name, Field, dtype, width)
        self.wide = ir.VectorType(ir.DoubleType(), self.width)
        self.lanes_of_register = REGISTER_BYTES // self.size

    # -------------------------------------------------------------------------- memory

    def parts(self, x: Lanes) -> list[Lanes]:
        """A row, register by register."""
        count = self.lanes_of_register
        nothing = ir.Constant(x.value.type, ir.Undefined)
        masks = (
            ir.Constant(ir.VectorType(I32, count), list(range(first, first + count)))
            for first in range(0, self.width, count)
        )
        return [x.new(self.builder.shuffle_vector(x.value, nothing, mask)) for mask in masks]

    def product(self, xs: list[Lanes], ys: list[Lanes]) -> Lanes:
        """The products of two rows, added up in one register."""
        total = xs[0] * ys[0]
        for x, y in zip(xs[1:], ys[1:], strict=True):
            total = total + x * y
        return total

    def give(self, share: Lanes, at: ir.Value) -> None:
        """Add the lanes of a register to the derivative in a shared number."""
        self._give_one(self._total(share.value), at)

    def _give_one(self, share: ir.Value, at: ir.Value) -> None:
        b, double = self.builder, ir.DoubleType()
        place = self.pointer(double, self.field[Field.GRADIENT], at, 8)
        share = b.fpext(share, double) if self.size == 4 else share
        b.store(b.fadd(b.load(place), share), place)

    def shared(self, at: ir.Value) -> Lanes:
        """A shared number, in every lane."""
        return self.spread(self.load(self.element, self.field[Field.SHARED], at))

    def spread(self, scalar: ir.Value) -> Lanes:
        """A scalar in every lane."""
        return self.lanes(splat(self.builder, scalar, self.width))

    @contextmanager
    def blocks(self) -> Iterator[tuple[ir.Value, ir.Value]]:
        """For each block: its number and the address of its rows."""
        first, last = self.field[Field.FIRST_BLOCK], self.field[Field.LAST_BLOCK]
        with self.loop(first, last) as block:
            offset = self.builder.mul(block, self.field[Field.BLOCK_BYTES])
            yield block, self.builder.add(self.field[Field.VALUE], offset)

    def _instruction(self, i: ir.Value) -> tuple[list[ir.Value], ir.Value]:
        """The places of the operands and the row of the result."""
        places = [self.index(field, i) for field in (Field.LEFT, Field.RIGHT, Field.THIRD)]
        row = self.builder.add(self.field[Field.SOURCES], i)
        return places, row

    # -------------------------------------------------------------------------- forward

    def forward(self, cases: Sequence[Case]) -> str:
        """Every instruction on every block, then the sums."""
        with self.loop(0, self.field[Field.SUMS]) as k:
            self.builder.store(ir.Constant(self.wide, [0.0] * self.width), self._sum(k), align=64)
        with self.blocks() as (block, value):
            with self.loop(0, self.field[Field.SPREADS]) as k:
                number = self.shared(self.index(Field.SPREAD_FROM, k))
                self.write(number, value, self.index(Field.SPREAD_ROW, k))
            with self.loop(0, self.field[Field.COUNT]) as i:
                self._forward_step(cases, value, i)
            mask = self.read(self.field[Field.MASK], block)
            with self.loop(0, self.field[Field.SUMS]) as k:
                self._add_up(self.read(value, self.index(Field.SUM_ROW, k)), mask, k)
        with self.loop(0, self.field[Field.SUMS]) as k:
            place = self.pointer(ir.DoubleType(), self.field[Field.TOTAL], k, 8)
            self.builder.store(self._total(self.builder.load(self._sum(k))), place)
        return self.text()

    def _forward_step(self, cases: Sequence[Case], value: ir.Value, i: ir.Value) -> None:
        places, row = self._instruction(i)
        code = self.load(I8, self.field[Field.OP], i)

        def dot(kind: int) -> Callable[[], None]:
            return lambda: self._dot(kind, value, places, row)

        others = {kind: dot(kind) for kind in (DOT_SHARED, DOT_MIXED, DOT_ROWS)}
        others[COPY] = lambda: self.write(self.read(value, places[0]), value, row)
        self.do(cases, code, places, (value, row), others)

    def _dot(self, code: int, value: ir.Value, places: list[ir.Value], row: ir.Value) -> None:
        start, first, last = places
        begin = self.shared(start) if code == DOT_SHARED else self.read(value, start)
        with self.carrying(first, last, [begin.value]) as (k, (total,), after):
            factor, other = self._term(code, value, k)
            after.append((begin.new(total) + factor * other).value)
        self.write(begin.new(total), value, row)

    def _term(self, code: int, value: ir.Value, k: ir.Value) -> tuple[Lanes, Lanes]:
        at = self.index(Field.FACTOR, k)
        factor = self.read(value, at) if code == DOT_ROWS else self.shared(at)
        return factor, self.read(value, self.index(Field.OTHER, k))

    def _add_up(self, x: Lanes, mask: Lanes, k: ir.Value) -> None:
        """Add a row to a sum in double precision, the lanes that have a sample."""
        chosen = self.select(mask > 0.0, x, self.zero).value
        if self.size == 4:
            chosen = self.builder.fpext(chosen, self.wide)
        total = self.builder.load(self._sum(k))
        total.align = 64
        self.builder.store(self.builder.fadd(total, chosen), self._sum(k), align=64)

    def _sum(self, k: ir.Value) -> ir.Value:
        return self.pointer(self.wide, self.field[Field.SUM], k, 8 * self.width)

    def _total(self, value: ir.Value) -> ir.Value:
        """The sum of a vector's lanes, halves added until one is left."""
        count = value.type.count
        while count > 1:
            count //= 2
            low, high = (
                self.builder.shuffle_vector(
                    value,
                    ir.Constant(value.type, ir.Undefined),
                    ir.Constant(ir.VectorType(I32, count), list(range(first, first + count))),
                )
                for first in (0, count)
            )
            value = self.builder.fadd(low, high)
        return self.builder.extract_element(value, I32(0))

    # -------------------------------------------------------------------------- backward

    def backward(self, cases: Sequence[Case]) -> str:
        """Every instruction on every block, from the last one back."""
        cotangent = self.field[Field.COTANGENT]
        with self.loop(0, self.field[Field.SHARED_COUNT]) as k:
            place = self.pointer(ir.DoubleType(), self.field[Field.GRADIENT], k, 8)
            self.builder.store(ir.DoubleType()(0.0), place)
        with self.blocks() as (block, value):
            with self.loop(0, self.field[Field.ROWS]) as row:
                self.write(self.zero, cotangent, row)
            mask = self.read(self.field[Field.MASK], block)
            with self.loop(0, self.field[Field.SEEDS]) as k:
                seed = self.spread(self.load(self.element, self.field[Field.SEED], k))
                self.add(seed * mask, cotangent, self.index(Field.SEED_ROW, k))
            with self.loop(0, self.field[Field.COUNT], down=True) as i:
                self._backward_step(cases, value, mask, i)
            with self.loop(0, self.field[Field.SPREADS]) as k:
                share = self.read(cotangent, self.index(Field.SPREAD_ROW, k))
                self.give(self._folded(self.parts(share)), self.index(Field.SPREAD_FROM, k))
        return self.text()

    def _backward_step(
        self, cases: Sequence[Case], value: ir.Value, mask: Lanes, i: ir.Value
    ) -> None:
        cotangent = self.field[Field.COTANGENT]
        places, row = self._instruction(i)
        code = self.load(I8, self.field[Field.REACHED], i)
        given = self._gathered(self.read(cotangent, row), i)

        def add(share: Callable[[], Lanes], place: ir.Value) -> None:
            # 0 times an infinite derivative must not come from no sample
            self.add(self.select(mask > 0.0, share(), self.zero), cotangent, place)

        def dot(kind: int) -> Callable[[], None]:
            return lambda: self._pull_dot(kind, value, (*places, row), given)

        others: dict[int, Any] = {kind: dot(kind) for kind in (DOT_SHARED, DOT_MIXED, DOT_ROWS)}
        self.pull(cases, code, places, (value, row), given, add, others)

    def _gathered(self, given: Lanes, i: ir.Value) -> Lanes:
        """An instruction's cotangent, with what comes from sums of its products: they are read when
        all are known, so that the sum stays in registers."""
        first, last = (self.index(Field.PULL, at) for at in (i, self.builder.add(i, I64(1))))
        with self.carrying(first, last, [given.value]) as (k, (total,), after):
            factor = self.shared(self.index(Field.PULL_FACTOR, k))
            source = self.read(self.field[Field.COTANGENT], self.index(Field.PULL_FROM, k))
            after.append((given.new(total) + factor * source).value)
        return given.new(total)

    def _pull_dot(
        self, code: int, value: ir.Value, places: tuple[ir.Value, ...], given: Lanes
    ) -> None:
        start, first, last, row = places
        cotangent = self.field[Field.COTANGENT]
        if code == DOT_ROWS:
            with self.loop(first, last) as k:
                factor_at, other_at = self.index(Field.FACTOR, k), self.index(Field.OTHER, k)
                self.add(given * self.read(value, factor_at), cotangent, other_at)
                self.add(given * self.read(value, other_at), cotangent, factor_at)
        else:
            self.write(given, cotangent, row)  # for `_gathered`
            self._pull_factors(value, self.parts(given), first, last)
        if code == DOT_SHARED:
            self.give(self._folded(self.parts(given)), start)
        else:
            self.add(given, cotangent, start)

    def _pull_factors(
        self, value: ir.Value, given: list[Lanes], first: ir.Value, last: ir.Value
    ) -> None:
        """The derivatives in a sum's shared factors, as many at a time as a register has lanes:
        so many registers are added up crosswise with a few instructions for each."""
        b, count = self.builder, self.lanes_of_register

        def share(k: ir.Value) -> Lanes:
            return self.product(given, self.parts(self.read(value, self.index(Field.OTHER, k))))

        whole = b.and_(b.sub(last, first), I64(-count))
        rest = b.add(first, whole)
        with loop(b, first, rest, count) as k:
            at = [b.add(k, I64(i)) for i in range(count)]
            totals = self._totals([share(i) for i in at])
            for lane, i in enumerate(at):
                one = b.extract_element(totals.value, I32(lane))
                self._give_one(one, self.index(Field.FACTOR, i))
        with self.loop(rest, last) as k:
            self.give(share(k), self.index(Field.FACTOR, k))

    @staticmethod
    def _folded(parts: list[Lanes]) -> Lanes:
        """Registers added up, lane by lane."""
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def _totals(self, rows: list[Lanes]) -> Lanes:
        """The sums of as many registers as each has lanes, in the lanes of one. Two become one by
        adding what is in even lanes to what is in odd ones."""
        count = len(rows)
        even, odd = (
            ir.Constant(ir.VectorType(I32, count), list(range(first, 2 * count, 2)))
            for first in (0, 1)
        )
        while len(rows) > 1:
            rows = [
                x.new(self.builder.shuffle_vector(x.value, y.value, even))
                + x.new(self.builder.shuffle_vector(x.value, y.value, odd))
                for x, y in zip(rows[::2], rows[1::2], strict=True)
            ]
        return rows[0]
