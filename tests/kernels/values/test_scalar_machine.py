"""The machine's own instructions on one sample, on hand-written programs."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

import numpy as np

from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.values import scalar_machine
from tinygrad_edu.kernels.values.instructions import COPY, DOT, MEAN
from tinygrad_edu.kernels.values.interpreter import Case, Table
from tinygrad_edu.kernels.values.scalar_machine import Field

SQUARE = Case(7, lambda xs: xs[0] * xs[0], (lambda g, y, xs: g * xs[0] * 2.0,))
SOURCES = 4


def run(emit: Callable[..., str], table: Table) -> None:
    make = functools.partial(emit, [SQUARE])
    address = llvm.address(f"test scalars {emit.__name__}", make, optimise=True)
    ctypes.CFUNCTYPE(None, ctypes.c_int64)(address)(table.address)


def program(*instructions: tuple[int, int, int, int]) -> Table:
    """Rows 1 to 3 hold 2, 3 and 5; there are two terms: (1, 2) and (3, 3)."""
    op, *operands = np.array(instructions, np.int32).T
    table, rows = Table(Field), SOURCES + len(op)
    for field, column in zip((Field.LEFT, Field.RIGHT, Field.THIRD), operands, strict=True):
        table[field] = column.copy()
    table[Field.OP] = table[Field.REACHED] = op.astype(np.uint8)
    table[Field.FACTOR], table[Field.OTHER] = np.array([1, 3], np.int32), np.array([2, 3], np.int32)
    value = np.array([0.0, 2, 3, 5, *[0] * len(op)])
    table[Field.VALUE], table[Field.COTANGENT] = value, np.zeros(rows)
    table[Field.SOURCES], table[Field.WANTED] = SOURCES, np.ones(rows, np.uint8)
    table[Field.START], table[Field.STOP] = 0, len(op)
    return table


def rows(table: Table, field: Field) -> np.ndarray:
    found: np.ndarray = table.array(field)
    return found


def test_a_sum_of_products() -> None:
    table = program((DOT, 1, 0, 2))
    run(scalar_machine.forward, table)
    assert rows(table, Field.VALUE)[4] == 2 + 2 * 3 + 5 * 5
    rows(table, Field.COTANGENT)[4] = 10
    run(scalar_machine.backward, table)
    assert rows(table, Field.COTANGENT).tolist() == [0, 10 + 30, 20, 100, 10]


def test_ops_copies_and_means() -> None:
    table = program((7, 3, 0, 0), (MEAN, 4, 0, 0), (COPY, 5, 0, 0))
    run(scalar_machine.forward, table)
    assert rows(table, Field.VALUE)[4:].tolist() == [25, 25, 25]
    rows(table, Field.COTANGENT)[5:] = [1, 100]
    run(scalar_machine.backward, table)
    assert rows(table, Field.COTANGENT).tolist() == [0, 0, 0, 10, 1, 1, 100]  # none through a COPY


def test_only_some_instructions_and_wanted_rows() -> None:
    table = program((7, 1, 0, 0), (7, 2, 0, 0))
    table[Field.START] = 1
    run(scalar_machine.forward, table)
    assert rows(table, Field.VALUE)[4:].tolist() == [0, 9]
    rows(table, Field.COTANGENT)[4:] = [1, 1]
    rows(table, Field.WANTED)[2] = 0
    run(scalar_machine.backward, table)
    assert rows(table, Field.COTANGENT).tolist() == [0, 0, 0, 0, 1, 1]
    table[Field.START] = 0
    table[Field.REACHED] = np.zeros(2, np.uint8)
    run(scalar_machine.backward, table)
    assert rows(table, Field.COTANGENT).tolist() == [0, 0, 0, 0, 1, 1]


def test_products_and_sums_are_rounded_one_by_one() -> None:
    table = program((DOT, 1, 0, 1))
    x = 1 + 2.0**-30
    rows(table, Field.VALUE)[1:3] = -x * x, x
    table[Field.FACTOR] = table[Field.OTHER] = np.array([2, 2], np.int32)
    run(scalar_machine.forward, table)
    assert rows(table, Field.VALUE)[4] == 0.0  # fused, it would be the rounding error of x x
