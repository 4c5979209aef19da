"""The machine's own instructions, on hand-written programs."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

import numpy as np
import pytest

from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.values.interpreter import Case
from tinygrad_edu.kernels.values.lane_machine import (
    DOT_MIXED,
    DOT_ROWS,
    DOT_SHARED,
    Field,
    backward,
    forward,
    width,
)

DTYPES = ["float32", "float64"]
SAME = 2
"""The code of an op that gives its operand, so that derivatives can be seen in the operand."""
FIRST, SECOND, SUM = 2, 3, 4
"""Rows of what it gives of both samples, and of a sum of products of these."""


class Bench:
    """Memory for one block: rows 0 and 1 hold samples, then come those of three instructions."""

    def __init__(
        self, dtype: str, count: int, op: int, start: int, terms: list[tuple[int, int]]
    ) -> None:
        self.dtype, self.width = dtype, width(count, dtype)
        raw = np.zeros((1 << 16) + 64, np.uint8)
        self._memory = raw[-raw.ctypes.data % 64 :]
        self._used = 0
        self.value, self.cotangent = (self._array((5, self.width), dtype) for _ in range(2))
        self.mask = self._array((self.width,), dtype)
        self.sum = self._array((self.width,), "float64")
        shared = op != DOT_ROWS
        pulls = [[a for a, b in terms if b == row and shared] for row in (FIRST, SECOND, SUM)]
        integers = {
            Field.LEFT: [0, 1, start],
            Field.RIGHT: [0, 0, 0],
            Field.THIRD: [0, 0, len(terms)],
            Field.FACTOR: [a for a, _ in terms],
            Field.OTHER: [b for _, b in terms],
            Field.PULL: np.cumsum([0, *map(len, pulls)]),
            Field.PULL_FACTOR: [a for row in pulls for a in row],
            Field.PULL_FROM: [SUM] * len(terms),
            Field.SUM_ROW: [SUM],
            Field.SEED_ROW: [SUM],
            Field.SPREAD_ROW: [0],
            Field.SPREAD_FROM: [0],
        }
        self.shared = np.array([2.0, -3.0], dtype)
        self.total, self.gradient = np.zeros(1), np.full(2, 7.0)
        arrays = {field: np.array(x, np.int32) for field, x in integers.items()}
        arrays |= {
            Field.OP: np.array([SAME, SAME, op], np.uint8),
            Field.REACHED: np.array([SAME, SAME, op], np.uint8),
            Field.SHARED: self.shared,
            Field.VALUE: self.value,
            Field.MASK: self.mask,
            Field.SUM: self.sum,
            Field.TOTAL: self.total,
            Field.COTANGENT: self.cotangent,
            Field.SEED: np.ones(1, dtype),
            Field.GRADIENT: self.gradient,
        }
        self._arrays = arrays
        self.table = np.zeros(len(Field), np.int64)
        for field, array in arrays.items():
            self.table[field] = array.ctypes.data
        numbers = {Field.COUNT: 3, Field.SOURCES: 2, Field.LAST_BLOCK: 1, Field.SUMS: 1}
        numbers |= {Field.ROWS: 5, Field.SEEDS: 1, Field.SHARED_COUNT: 2}
        for field, number in numbers.items():
            self.table[field] = number
        draw = np.random.default_rng(0)
        self.value[:2] = draw.normal(size=(2, self.width))
        self.mask[:count] = 1.0

    def _array(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        found = self._memory[self._used : self._used + size].view(dtype).reshape(shape)
        self._used += -(-size // 64) * 64
        return found

    def run(self, emit: Callable[..., str]) -> None:
        """Run a pass."""
        same = Case(SAME, lambda xs: xs[0], (lambda g, y, xs: g,))
        make = functools.partial(emit, [same], self.dtype, self.width)
        address = llvm.address(f"test {emit.__name__} {self.dtype} {self.width}", make)
        ctypes.CFUNCTYPE(None, ctypes.c_int64)(address)(self.table.ctypes.data)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [3, 13, 30, 60, 100])
@pytest.mark.parametrize("repeated", [1, 9], ids=["2 terms", "18 terms"])
@pytest.mark.parametrize("op", [DOT_SHARED, DOT_MIXED, DOT_ROWS])
def test_a_sum_of_products(dtype: str, op: int, repeated: int, count: int) -> None:
    """18 terms are more than there are lanes in a register: some are pulled back together."""
    factors = (FIRST, SECOND) if op == DOT_ROWS else (0, 1)
    terms = [(factors[1], FIRST), (factors[0], SECOND)] * repeated
    bench = Bench(dtype, min(count, width(count, dtype)), op, 0, terms)
    count = int(bench.mask.sum())
    bench.run(forward)
    rows, shared = bench.value[:2].astype(float), bench.shared.astype(float)
    start = shared[0] if op == DOT_SHARED else rows[0]
    first, second = rows if op == DOT_ROWS else shared[:, None] * np.ones_like(rows)
    expected = start + repeated * (second * rows[0] + first * rows[1])
    rounding = 8 * repeated * np.finfo(dtype).eps  # so many numbers of about 1 are added
    np.testing.assert_allclose(bench.value[SUM], expected, rounding, rounding)
    chosen = bench.mask > 0
    np.testing.assert_allclose(bench.total, bench.value[SUM][chosen].sum(dtype=float), 1e-13)

    bench.run(backward)
    ones = chosen.astype(float)
    slopes = 2 * rows[::-1] if op == DOT_ROWS else shared[::-1]
    into = [ones * repeated * slope for slope in slopes]
    into[0] = into[0] + ones * (op != DOT_SHARED)
    for row in range(2):
        np.testing.assert_allclose(bench.cotangent[row], into[row], 4 * rounding, 4 * rounding)
    if op == DOT_ROWS:
        np.testing.assert_array_equal(bench.gradient, 0.0)
        return
    shares = repeated * (rows[1] @ ones) + (op == DOT_SHARED) * count, repeated * (rows[0] @ ones)
    np.testing.assert_allclose(bench.gradient, shares, 100 * rounding, 100 * rounding)


@pytest.mark.parametrize(
    ("count", "dtype", "lanes"),
    [(1, "float32", 16), (17, "float32", 32), (10**6, "float32", 128), (65, "float64", 64)],
)
def test_rows_are_as_short_as_possible(count: int, dtype: str, lanes: int) -> None:
    assert width(count, dtype) == lanes
