"""Running sums, positions of extremes and sorting, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_edu.kernels import scans
from tinygrad_edu.kernels.native import Stream
from tinygrad_edu.ops.table import TABLE

NONE = np.zeros((0, 2), np.int64)
DTYPES = [np.dtype(t) for t in (np.float32, np.float64, np.int32, np.int64, np.bool_)]
SPECIAL = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1.0, -1.0, 1e-45, -5e-324, 3e38]


def run(address: int, x: np.ndarray, axis: int, result: np.ndarray, *more: int) -> np.ndarray:
    spans = [int(np.prod(part, dtype=int)) for part in (x.shape[:axis], x.shape[axis + 1 :])]
    args = [result.ctypes.data, x.ctypes.data, spans[0], x.shape[axis], spans[1], *more]
    Stream(np.array([address, len(args), *args], np.int64), NONE, NONE, NONE).run(0, 1)
    return result


@st.composite
def arrays(draw: Any, least: int = 0) -> tuple[np.ndarray, int]:
    """An array with ties and special values, and an axis of it."""
    shape = [draw(st.integers(least, 5)) for _ in range(draw(st.integers(1, 3)))]
    axis = draw(st.integers(0, len(shape) - 1))
    shape[axis] = draw(st.integers(least, 70))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    dtype = draw(st.sampled_from(DTYPES))
    x = rng.integers(-3, 4, shape) * draw(st.sampled_from([0.25, 1.0, 1e5]))
    if dtype.kind == "f":
        x = np.where(rng.random(shape) < draw(st.sampled_from([0.0, 0.3])),
                     rng.choice(SPECIAL, shape), x)  # fmt: skip
    with np.errstate(all="ignore"):
        return x.astype(dtype), axis


@given(arrays(), st.booleans())
def test_running_sums_are_numpys_to_the_bit(drawn: Any, reverse: bool) -> None:
    x, axis = drawn
    address = scans.running_sum(x.dtype, reverse)
    expected = TABLE["cumsum"].forward(x, axis=axis, reverse=reverse)
    np.testing.assert_array_equal(run(address, x, axis, np.empty_like(x)), expected)


@given(arrays(least=1), st.booleans())
def test_positions_of_extremes(drawn: Any, largest: bool) -> None:
    x, axis = drawn
    expected = (np.argmax if largest else np.argmin)(x, axis)
    found = run(scans.extreme(x.dtype, largest), x, axis, np.empty(expected.shape, np.int64))
    np.testing.assert_array_equal(found, expected)


@given(arrays(), st.booleans())
def test_sorting_is_stable_and_nan_the_largest(drawn: Any, descending: bool) -> None:
    x, axis = drawn
    memory = np.empty(scans.sort_bytes(x.shape[axis]), np.uint8)
    found = np.empty(x.shape, np.int64)
    run(scans.sort(x.dtype, descending), x, axis, found, memory.ctypes.data)
    expected = TABLE["argsort"].forward(x, axis=axis, descending=descending)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("descending", [False, True])
def test_long_lines(dtype: np.dtype[Any], descending: bool) -> None:
    """Every bit of the numbers matters somewhere."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 256, 3000 * dtype.itemsize, dtype=np.uint8)
    x = bits.view(dtype) if dtype.kind != "b" else bits > 99
    memory = np.empty(scans.sort_bytes(3000), np.uint8)
    found = np.empty(3000, np.int64)
    run(scans.sort(dtype, descending), x, 0, found, memory.ctypes.data)
    expected = TABLE["argsort"].forward(x, axis=0, descending=descending)
    np.testing.assert_array_equal(found, expected)
    best = run(scans.extreme(dtype, descending), x, 0, np.empty(1, np.int64))
    assert best[0] == (np.argmax if descending else np.argmin)(x)
