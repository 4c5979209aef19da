"""The structural passes over a program, on hand-written arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_edu.graph.tape import code_of
from tinygrad_edu.kernels.values import instructions
from tinygrad_edu.kernels.values.instructions import COPY, DOT, MEAN
from tinygrad_edu.ops.elementwise import add, mul

SOURCES = 4


@pytest.fixture(params=[0, instructions.LARGE], ids=["in Python", "compiled"])
def passes(request: pytest.FixtureRequest) -> Any:
    return instructions.passes(request.param)


def columns(*instructions: tuple[int, int, int, int]) -> tuple[Any, ...]:
    """op, left, right, third, and two terms: (1, 2) and (3, 3)."""
    op, *operands = np.array(instructions, np.int32).T
    terms = np.array([[1, 3], [2, 3]], np.int32)
    return op.astype(np.uint8), *(x.copy() for x in operands), *terms


PROGRAM = columns((DOT, 1, 0, 1), (DOT, 1, 0, 2), (COPY, 5, 0, 0), (MEAN, 4, 0, 0))


@pytest.mark.parametrize(
    ("barrier", "expected"), [(COPY, [0, 1, 0, 0]), (MEAN, [0, 1, 1, 0]), (DOT, [0, 0, 0, 0])]
)
def test_flags_spread_to_results(passes: Any, barrier: int, expected: list[int]) -> None:
    flags = np.zeros(SOURCES + 4, np.uint8)
    flags[3] = 1
    passes.spread(*PROGRAM, flags, SOURCES, barrier, barrier)
    assert flags[SOURCES:].tolist() == expected


@pytest.mark.parametrize(
    ("root", "expected"),
    [(4, [1, 2, 4]), (5, [1, 2, 3, 5]), (6, [1, 2, 3, 5, 6]), (7, [1, 2, 4, 7])],
)
def test_reach_marks_what_a_row_depends_on(passes: Any, root: int, expected: list[int]) -> None:
    marks = np.zeros(SOURCES + 4, np.uint8)
    marks[root] = 1
    passes.reach(*PROGRAM, marks, SOURCES)
    assert [row for row in np.flatnonzero(marks).tolist() if row] == expected


def test_fuse_moves_what_remains_to_the_front(passes: Any) -> None:
    op, left, right, third, *_ = columns((code_of(mul), 1, 2, 0), (code_of(add), 3, 4, 0))
    row, uses = np.arange(6, dtype=np.int32), np.ones(6, np.int64)
    factor, other = np.zeros((2, 2), np.int32)
    phase = np.zeros(2, np.int64)
    codes = code_of(add), code_of(mul)
    kept = passes.fuse(op, left, right, third, phase, uses, SOURCES, *codes, row, factor, other)
    assert kept == 1
    assert (op[0], left[0], right[0], third[0]) == (DOT, 3, 0, 1)
    assert (factor[0], other[0]) == (1, 2)
    assert row.tolist() == [0, 1, 2, 3, -1, 4]


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_compiled_they_do_the_same(seed: int, n: int) -> None:
    draw = np.random.default_rng(seed)
    results = []
    op = draw.choice([code_of(add), code_of(mul), COPY], n).astype(np.uint8)
    operands = [(draw.random(n) * (SOURCES + np.arange(n))).astype(np.int32) for _ in range(3)]
    root = int(draw.integers(n))
    for size in (0, instructions.LARGE):
        found, columns = instructions.passes(size), [op.copy(), *(x.copy() for x in operands)]
        uses, row = np.zeros(SOURCES + n, np.int64), np.arange(SOURCES + n, dtype=np.int32)
        for column in columns[1:]:
            found.count(column, uses)
        phase, codes = np.zeros(n, np.int64), (code_of(add), code_of(mul))
        terms = np.zeros((2, n), np.int32)
        kept = found.fuse(*columns, phase, uses, SOURCES, *codes, row, *terms)
        marks, flags = np.zeros((2, SOURCES + n), np.uint8)
        code = [column[:kept] for column in columns]
        marks[row[SOURCES + root]] = flags[1] = 1
        found.reach(*code, *terms, marks, SOURCES)
        found.spread(*code, *terms, flags, SOURCES, COPY, COPY)
        results.append((kept, uses, row, *code, *terms, marks, flags))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
