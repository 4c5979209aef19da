"""A machine for programs of single numbers, in double precision.

Forward, arithmetic gives the bits that the operations give in Python: nothing is fused or put in
another order.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from tinygrad_edu.kernels.lanes import Lanes, Strict
from tinygrad_edu.kernels.values.instructions import COPY, DOT, MEAN, SUM
from tinygrad_edu.kernels.values.interpreter import I8, Case, Interpreter


class Field(enum.IntEnum):
    """The table's entries."""

    OP, LEFT, RIGHT, THIRD, FACTOR, OTHER = range(6)  # of instructions and terms
    SOURCES = 6  # rows before those of instructions
    START, STOP = 7, 8  # the instructions to do
    VALUE, COTANGENT = 9, 10  # rows
    WANTED = 11  # for each row, whether it depends on a leaf
    REACHED = 12  # the instructions that a derivative goes through; 0 in place of others


def forward(cases: Sequence[Case], name: str) -> str:
    """The kernel that computes instructions, as LLVM assembly."""
    return _Machine(name).forward(cases)


def backward(cases: Sequence[Case], name: str) -> str:
    """The kernel that pulls cotangents back, from the last instruction to the first."""
    return _Machine(name).backward(cases)


class _Machine(Interpreter):
    def __init__(self, name: str) -> None:
        super().__init__(name, Field, lanes=Strict)
        self.value, self.cotangent = self.field[Field.VALUE], self.field[Field.COTANGENT]

    def _instruction(self, i: ir.Value) -> tuple[list[ir.Value], ir.Value]:
        """The operands' rows and its own."""
        places = [self.index(field, i) for field in (Field.LEFT, Field.RIGHT, Field.THIRD)]
        return places, self.builder.add(self.field[Field.SOURCES], i)

    def forward(self, cases: Sequence[Case]) -> str:
        with self.loop(self.field[Field.START], self.field[Field.STOP]) as i:
            places, row = self._instruction(i)
            others: dict[int, Any] = dict.fromkeys(
                (COPY, SUM, MEAN), lambda: self._copy(places, row)
            )
            others[DOT] = lambda: self._dot(places, row)
            code = self.load(I8, self.field[Field.OP], i)
            self.do(cases, code, places, (self.value, row), others)
        return self.text()

    def _copy(self, places: list[ir.Value], row: ir.Value) -> None:
        self.write(self.read(self.value, places[0]), self.value, row)

    def _dot(self, places: list[ir.Value], row: ir.Value) -> None:
        start, first, last = places
        begin = self.read(self.value, start)
        with self.carrying(first, last, [begin.value]) as (k, (total,), after):
            a, b = self._term(k)
            after.append(
                (begin.new(total) + self.read(self.value, a) * self.read(self.value, b)).value
            )
        self.write(begin.new(total), self.value, row)

    def _term(self, k: ir.Value) -> tuple[ir.Value, ir.Value]:
        return self.index(Field.FACTOR, k), self.index(Field.OTHER, k)

    def backward(self, cases: Sequence[Case]) -> str:
        with self.loop(self.field[Field.START], self.field[Field.STOP], down=True) as i:
            places, row = self._instruction(i)
            given = self.read(self.cotangent, row)
            others: dict[int, Any] = dict.fromkeys(
                (SUM, MEAN), lambda: self.add(given, self.cotangent, places[0])
            )
            others[DOT] = lambda: self._pull_dot(places, given)
            code = self.load(I8, self.field[Field.REACHED], i)
            self.pull(cases, code, places, (self.value, row), given, self._give, others)
        return self.text()

    def _give(self, share: Callable[[], Lanes], place: ir.Value) -> None:
        wanted = self.load(I8, self.field[Field.WANTED], place)
        with self.builder.if_then(self.builder.trunc(wanted, ir.IntType(1))):
            self.add(share(), self.cotangent, place)

    def _pull_dot(self, places: list[ir.Value], given: Lanes) -> None:
        start, first, last = places
        with self.loop(first, last, down=True) as k:
            a, b = self._term(k)
            self.add(given * self.read(self.value, b), self.cotangent, a)
            self.add(given * self.read(self.value, a), self.cotangent, b)
        self.add(given, self.cotangent, start)
