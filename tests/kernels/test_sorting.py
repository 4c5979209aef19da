"""Positions that sort, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.lines import DTYPES, arrays, bits, run
from tinygrad_edu.kernels import sorting
from tinygrad_edu.ops.table import TABLE


def check(x: np.ndarray, axis: int, descending: bool) -> None:
    memory = np.empty(sorting.sort_bytes(x.shape[axis]), np.uint8)
    found = np.empty(x.shape, np.int64)
    run(sorting.sort(x.dtype, descending), x, axis, found, memory.ctypes.data)
    expected = TABLE["argsort"].forward(x, axis=axis, descending=descending)
    np.testing.assert_array_equal(found, expected)


@given(arrays(), st.booleans())
def test_sorting_is_stable_and_nan_the_largest(drawn: Any, descending: bool) -> None:
    check(*drawn, descending)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("descending", [False, True])
def test_long_lines(dtype: np.dtype[Any], descending: bool) -> None:
    """Every bit of the numbers matters somewhere."""
    check(bits(dtype), 0, descending)
