"""Positions that are looked at, and the walks that use them. (Keys of every form are tried in
`tests/compiler/test_looped.py`.)"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_edu.kernels import indexed
from tinygrad_edu.kernels.indexed import Walk
from tinygrad_edu.kernels.native import Stream

NONE = np.zeros((0, 2), np.int64)
CODE = 7


def call(address: int, *args: int) -> None:
    Stream(np.array([address, len(args), *args], np.int64), NONE, NONE, NONE).run(0, 1)


def look(
    index: np.ndarray, size: int, first: int, ignored: int | None
) -> tuple[np.ndarray, list[int]]:
    out, report = np.full(index.shape, 99), np.zeros(3, np.int64)
    places = index.ctypes.data, out.ctypes.data, index.size, size, first
    ignores = int(ignored is not None), ignored or 0
    call(indexed.checked(index.dtype), *places, *ignores, report.ctypes.data, CODE)
    return out, report.tolist()


@given(
    st.lists(st.integers(-12, 12), max_size=40),
    st.integers(0, 10),
    st.booleans(),
    st.none() | st.integers(-12, 12),
    st.sampled_from([np.int32, np.int64]),
)
def test_positions(
    numbers: list[int], size: int, wraps: bool, ignored: int | None, dtype: type
) -> None:
    first = -size if wraps else 0
    out, report = look(np.array(numbers, dtype), size, first, ignored)
    real = [n for n in numbers if n != ignored]
    if all(first <= n < size for n in real):
        assert report == [0, 0, 0]
        assert out.tolist() == [0 if n == ignored else n % size for n in numbers]
    else:
        assert report[0] == CODE
        assert (min(report[1], size), max(report[2], -1)) == (min([*real, size]), max([*real, -1]))
        assert all(0 <= n < max(size, 1) for n in out)  # so that nothing else is read


@pytest.mark.parametrize("number", [1 << 40, -(1 << 62), (1 << 63) - 1, -(1 << 63)])
def test_the_largest_integers(number: int) -> None:
    out, report = look(np.array([1, number]), 3, -3, None)
    assert report == [CODE, min(1, number), max(1, number)]
    assert out.tolist() == [1, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, np.bool_])
def test_reading_and_adding_rows(dtype: type) -> None:
    draw = np.random.default_rng(0)
    memory, rows = draw.integers(0, 5, (6, 37)).astype(dtype), np.array([4, 0, 0, 5])
    step = memory.strides[0]
    space = np.zeros((4, 37), dtype)
    varies = ((True,), (False,))
    tail = rows.ctypes.data, step, 4, 0, 8, 37, memory.itemsize
    for runs in (False, True):
        space[...] = 0
        walk = Walk("read", memory.dtype, varies, 1, runs)
        call(walk.address, space.ctypes.data, memory.ctypes.data, 0, *tail)
        np.testing.assert_array_equal(space, memory[rows])
    expected = memory.copy()
    np.add.at(expected, rows, space)
    add = Walk("add", memory.dtype, varies, 1)
    call(add.address, space.ctypes.data, memory.ctypes.data, 0, *tail)
    np.testing.assert_array_equal(memory, expected)
