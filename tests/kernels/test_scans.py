"""Running sums and positions of extremes, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.lines import DTYPES, arrays, bits, run
from tinygrad_edu.kernels import scans
from tinygrad_edu.ops.table import TABLE


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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("largest", [False, True])
def test_long_lines(dtype: np.dtype[Any], largest: bool) -> None:
    x = bits(dtype)
    best = run(scans.extreme(dtype, largest), x, 0, np.empty(1, np.int64))
    assert best[0] == (np.argmax if largest else np.argmin)(x)
