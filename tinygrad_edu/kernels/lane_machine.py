"""A machine for one sample's program on many samples at a time.

A row holds one number of each of WIDTH samples, so an instruction is a few vector instructions.
Numbers that all samples share are not rows but scalars, and their derivatives add up in rows.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from tinygrad_edu.kernels.control import I32
from tinygrad_edu.kernels.interpreter import I8, Case, Interpreter
from tinygrad_edu.kernels.lanes import Lanes, splat
from tinygrad_edu.kernels.replay import COPY, DOT

WIDTH = {"float32": 64, "float64": 16}
"""Samples in a row: two of the widest registers, so that two chains of additions overlap."""

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
    SHARE, SHARED_COUNT, GRADIENT = 25, 26, 27  # of each shared number, and its lanes' sum
    TOTAL = 28  # of the rows added up
    REACHED = 29  # the instructions that a derivative goes through; 0 in place of others


SHARE_BYTES = 64
"""Of a shared number's share in a gradient: one register, into which all of a row is added."""


def forward(cases: Sequence[Case], dtype: str, name: str) -> str:
    """The kernel that does every instruction on every block, then the sums, as LLVM assembly."""
    return _Machine(name, dtype).forward(cases)


def backward(cases: Sequence[Case], dtype: str, name: str) -> str:
    """The kernel that pulls cotangents back through every block, then adds up the shares."""
    return _Machine(name, dtype).backward(cases)


class _Machine(Interpreter):
    def __init__(self, name: str, dtype: str) -> None:
        super().__init__(name, Field, dtype, WIDTH[dtype])
        self.wide = ir.VectorType(ir.DoubleType(), self.width)
        self.narrow = ir.VectorType(self.element, SHARE_BYTES // self.size)

    # -------------------------------------------------------------------------- memory

    def parts(self, x: Lanes) -> list[Lanes]:
        """A row in registers of the size of a share."""
        count = self.narrow.count
        nothing = ir.Constant(x.value.type, ir.Undefined)
        masks = (
            ir.Constant(ir.VectorType(I32, count), list(range(first, first + count)))
            for first in range(0, self.width, count)
        )
        return [x.new(self.builder.shuffle_vector(x.value, nothing, mask)) for mask in masks]

    def give(self, parts: list[Lanes], others: list[Lanes] | None, at: ir.Value) -> None:
        """Add a row, or its products with another, to a shared number's share."""
        place = self.pointer(self.narrow, self.field[Field.SHARE], at, SHARE_BYTES)
        share = self.lanes(self.builder.load(place))
        share.value.align = SHARE_BYTES
        for i, part in enumerate(parts):
            share = share + part if others is None else share + part * others[i]
        self.builder.store(share.value, place, align=SHARE_BYTES)

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
        """Every instruction on every block, from the last one back; then the sums of the shares."""
        cotangent = self.field[Field.COTANGENT]
        with self.loop(0, self.field[Field.SHARED_COUNT]) as k:
            nothing = ir.Constant(self.narrow, [0.0] * self.narrow.count)
            place = self.pointer(self.narrow, self.field[Field.SHARE], k, SHARE_BYTES)
            self.builder.store(nothing, place, align=SHARE_BYTES)
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
                self.give(self.parts(share), None, self.index(Field.SPREAD_FROM, k))
        with self.loop(0, self.field[Field.SHARED_COUNT]) as k:
            place = self.pointer(self.narrow, self.field[Field.SHARE], k, SHARE_BYTES)
            total = self._total(self.builder.load(place))
            self.builder.store(
                self.builder.fpext(total, ir.DoubleType()) if self.size == 4 else total,
                self.pointer(ir.DoubleType(), self.field[Field.GRADIENT], k, 8),
            )
        return self.text()

    def _backward_step(
        self, cases: Sequence[Case], value: ir.Value, mask: Lanes, i: ir.Value
    ) -> None:
        cotangent = self.field[Field.COTANGENT]
        places, row = self._instruction(i)
        code = self.load(I8, self.field[Field.REACHED], i)
        given = self.read(cotangent, row)

        def add(share: Callable[[], Lanes], place: ir.Value) -> None:
            # 0 times an infinite derivative must not come from no sample
            self.add(self.select(mask > 0.0, share(), self.zero), cotangent, place)

        def dot(kind: int) -> Callable[[], None]:
            return lambda: self._pull_dot(kind, value, places, given)

        others: dict[int, Any] = {kind: dot(kind) for kind in (DOT_SHARED, DOT_MIXED, DOT_ROWS)}
        self.pull(cases, code, places, (value, row), given, add, others)

    def _pull_dot(self, code: int, value: ir.Value, places: list[ir.Value], given: Lanes) -> None:
        start, first, last = places
        cotangent, parts = self.field[Field.COTANGENT], self.parts(given)
        with self.loop(first, last) as k:
            factor_at, other_at = self.index(Field.FACTOR, k), self.index(Field.OTHER, k)
            factor, other = self._term(code, value, k)
            self.add(given * factor, cotangent, other_at)
            if code == DOT_ROWS:
                self.add(given * other, cotangent, factor_at)
            else:
                self.give(parts, self.parts(other), factor_at)
        if code == DOT_SHARED:
            self.give(parts, None, start)
        else:
            self.add(given, cotangent, start)
