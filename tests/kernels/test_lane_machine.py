"""The machine's own instructions, on hand-written programs."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

import numpy as np
import pytest

from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.lane_machine import (
    DOT_MIXED,
    DOT_ROWS,
    DOT_SHARED,
    SHARE_BYTES,
    WIDTH,
    Field,
    backward,
    forward,
)

DTYPES = ["float32", "float64"]


class Bench:
    """Memory for one block: rows 0 and 1 hold samples, row 2 the result of one instruction."""

    def __init__(self, dtype: str, op: int, start: int, terms: list[tuple[int, int]]) -> None:
        width = WIDTH[dtype]
        raw = np.zeros(16384 + 64, np.uint8)
        self._memory = raw[-raw.ctypes.data % 64 :]
        self._used = 0
        self.value = self._array((3, width), dtype)
        self.cotangent = self._array((3, width), dtype)
        self.mask = self._array((width,), dtype)
        self.share = self._array((2, SHARE_BYTES), "uint8")
        self.sum = self._array((width,), "float64")
        integers = {
            Field.LEFT: [start],
            Field.RIGHT: [0],
            Field.THIRD: [len(terms)],
            Field.FACTOR: [a for a, _ in terms],
            Field.OTHER: [b for _, b in terms],
            Field.SUM_ROW: [2],
            Field.SEED_ROW: [2],
            Field.SPREAD_ROW: [0],
            Field.SPREAD_FROM: [0],
        }
        self.shared = np.array([2.0, -3.0], dtype)
        self.total, self.gradient = np.zeros(1), np.zeros(2)
        arrays = {field: np.array(x, np.int32) for field, x in integers.items()}
        arrays |= {
            Field.OP: np.array([op], np.uint8),
            Field.REACHED: np.array([op], np.uint8),
            Field.SHARED: self.shared,
            Field.VALUE: self.value,
            Field.MASK: self.mask,
            Field.SUM: self.sum,
            Field.TOTAL: self.total,
            Field.COTANGENT: self.cotangent,
            Field.SEED: np.ones(1, dtype),
            Field.SHARE: self.share,
            Field.GRADIENT: self.gradient,
        }
        self._arrays = arrays
        self.table = np.zeros(len(Field), np.int64)
        for field, array in arrays.items():
            self.table[field] = array.ctypes.data
        for field, x in {
            Field.COUNT: 1,
            Field.SOURCES: 2,
            Field.LAST_BLOCK: 1,
            Field.SUMS: 1,
            Field.ROWS: 3,
            Field.SEEDS: 1,
            Field.SHARED_COUNT: 2,
        }.items():
            self.table[field] = x
        draw = np.random.default_rng(0)
        self.value[:2] = draw.normal(size=(2, width))
        self.mask[: width - 3] = 1.0

    def _array(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        found = self._memory[self._used : self._used + size].view(dtype).reshape(shape)
        self._used += -(-size // 64) * 64
        return found


def call(emit: Callable[..., str], dtype: str, table: np.ndarray) -> None:
    """Run a pass without any op's case."""
    address = llvm.address(f"test {emit.__name__} {dtype}", functools.partial(emit, [], dtype))
    ctypes.CFUNCTYPE(None, ctypes.c_int64)(address)(table.ctypes.data)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", [DOT_SHARED, DOT_MIXED, DOT_ROWS])
def test_a_sum_of_products(dtype: str, op: int) -> None:
    bench = Bench(dtype, op, 0, [(1, 0), (0, 1)])
    call(forward, dtype, bench.table)
    rows, shared = bench.value[:2].astype(float), bench.shared.astype(float)
    start = shared[0] if op == DOT_SHARED else rows[0]
    factors = rows if op == DOT_ROWS else shared[:, None] * np.ones_like(rows)
    expected = start + factors[1] * rows[0] + factors[0] * rows[1]
    rounding = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(bench.value[2], expected, rounding, rounding)
    chosen = bench.mask > 0
    np.testing.assert_allclose(bench.total, bench.value[2][chosen].sum(dtype=float), 1e-14)

    call(backward, dtype, bench.table)
    ones = chosen.astype(float)
    if op == DOT_ROWS:
        np.testing.assert_allclose(bench.cotangent[0], ones * (1 + 2 * rows[1]), rounding, rounding)
        np.testing.assert_allclose(bench.cotangent[1], ones * 2 * rows[0], rounding, rounding)
        np.testing.assert_array_equal(bench.gradient, 0.0)
        return
    np.testing.assert_allclose(
        bench.cotangent[0], ones * (shared[1] + (op == DOT_MIXED)), rounding, rounding
    )
    np.testing.assert_allclose(bench.cotangent[1], ones * shared[0], rounding, rounding)
    shares = rows[1] @ ones + (op == DOT_SHARED) * ones.sum(), rows[0] @ ones
    np.testing.assert_allclose(bench.gradient, shares, 100 * rounding, 100 * rounding)
