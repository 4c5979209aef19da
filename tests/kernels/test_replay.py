"""The structural passes over a program, on hand-written arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_edu.compiler.recorded import kernels
from tinygrad_edu.graph.tape import code_of
from tinygrad_edu.kernels.replay import COPY, DOT, MEAN
from tinygrad_edu.ops.elementwise import add, mul

SOURCES = 4


def columns(*instructions: tuple[int, int, int, int]) -> tuple[Any, ...]:
    """op, left, right, third, and two terms: (1, 2) and (3, 3)."""
    op, *operands = np.array(instructions, np.int32).T
    terms = np.array([[1, 3], [2, 3]], np.int32)
    return op.astype(np.uint8), *(x.copy() for x in operands), *terms


PROGRAM = columns((DOT, 1, 0, 1), (DOT, 1, 0, 2), (COPY, 5, 0, 0), (MEAN, 4, 0, 0))


@pytest.mark.parametrize(
    ("barrier", "expected"), [(COPY, [0, 1, 0, 0]), (MEAN, [0, 1, 1, 0]), (DOT, [0, 0, 0, 0])]
)
def test_flags_spread_to_results(barrier: int, expected: list[int]) -> None:
    flags = np.zeros(SOURCES + 4, np.uint8)
    flags[3] = 1
    kernels().spread(*PROGRAM, flags, SOURCES, barrier, barrier)
    assert flags[SOURCES:].tolist() == expected


@pytest.mark.parametrize(
    ("root", "expected"),
    [(4, [1, 2, 4]), (5, [1, 2, 3, 5]), (6, [1, 2, 3, 5, 6]), (7, [1, 2, 4, 7])],
)
def test_reach_marks_what_a_row_depends_on(root: int, expected: list[int]) -> None:
    marks = np.zeros(SOURCES + 4, np.uint8)
    marks[root] = 1
    kernels().reach(*PROGRAM, marks, SOURCES)
    assert [row for row in np.flatnonzero(marks).tolist() if row] == expected


def test_forward_and_reverse_of_a_sum_of_products() -> None:
    value = np.array([0.0, 2.0, 3.0, 5.0, 0.0])
    code = columns((DOT, 1, 0, 2))
    kernels().forward(*code, value, SOURCES, 0, 1)
    assert value[4] == 2 + 2 * 3 + 5 * 5
    cotangent, every = np.array([0.0, 0, 0, 0, 10]), np.ones(5, np.uint8)
    kernels().reverse(*code, value, cotangent, every, every, SOURCES, 0, 1)
    assert cotangent.tolist() == [0, 10 + 30, 20, 100, 10]


def test_fuse_moves_what_remains_to_the_front() -> None:
    op, left, right, third, *_ = columns((code_of(mul), 1, 2, 0), (code_of(add), 3, 4, 0))
    row, uses = np.arange(6, dtype=np.int32), np.ones(6, np.int64)
    factor, other = np.zeros((2, 2), np.int32)
    phase = np.zeros(2, np.int64)
    codes = code_of(add), code_of(mul)
    kept = kernels().fuse(op, left, right, third, phase, uses, SOURCES, *codes, row, factor, other)
    assert kept == 1
    assert (op[0], left[0], right[0], third[0]) == (DOT, 3, 0, 1)
    assert (factor[0], other[0]) == (1, 2)
    assert row.tolist() == [0, 1, 2, 3, -1, 4]
