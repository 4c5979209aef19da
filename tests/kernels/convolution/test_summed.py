"""The kernels of sums over windows against the windows, element by element, and their transpose."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ops.sliding import counts, elements, pools
from tinygrad_edu.kernels import door
from tinygrad_edu.kernels.convolution import summed
from tinygrad_edu.kernels.convolution.windows import Windows


def run(x: np.ndarray, shape: tuple[int, ...], windows: Windows, spreads: bool) -> np.ndarray:
    """The kernel's result; `shape` is that of the array the windows lie over."""
    rank = len(windows.kernel)
    size = shape[len(shape) - rank :]
    out = np.full((*shape[: len(shape) - rank], *(size if spreads else windows.fitting(size))), 7.0)
    out = out.astype(x.dtype)
    job = summed.job(shape, windows, x.dtype, spreads)
    words = np.array(job.arguments(out.ctypes.data, x.ctypes.data, job.planes), np.int64)
    call = door.Call(job.kernel, list(map(int, words)), [])
    door.enter()(door.ticket([call], 0), x, x, out)
    return out


@st.composite
def samples(draw: Any) -> tuple[tuple[int, ...], dict[str, Any], np.dtype[Any], int]:
    """A shape that has elements, windows (also with rows longer than a vector), a dtype, a seed."""
    shape, params = draw(pools(dilated=True).filter(lambda drawn: math.prod(drawn[0]) > 0))
    shape = (*shape[:-1], shape[-1] + draw(st.integers(0, 40)) * params["stride"][-1])
    return shape, params, draw(st.sampled_from([np.float32, np.float64])), draw(st.integers(0, 99))


@settings(max_examples=100, deadline=None)
@given(samples())
def test_against_the_windows(drawn: Any) -> None:
    """Whole numbers, so that sums are exact in any order."""
    shape, params, dtype, seed = drawn
    windows, rank = Windows(**params), len(params["kernel"])
    lead, size = shape[: len(shape) - rank], shape[len(shape) - rank :]
    rng = np.random.default_rng(seed)
    x = rng.integers(-9, 10, shape).astype(dtype)
    y = rng.integers(-9, 10, (*lead, *counts(size, params))).astype(dtype)
    sums, spread = np.zeros_like(y), np.zeros_like(x)
    for window, _, place in elements(size, params):
        sums[(..., *window)] += x[(..., *place)]
        spread[(..., *place)] += y[(..., *window)]
    np.testing.assert_array_equal(run(x, shape, windows, False), sums)
    np.testing.assert_array_equal(run(y, shape, windows, True), spread)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_windows(value: float) -> None:
    x = np.ones((1, 3, 40), np.float32)
    x[0, 1, 5] = value
    windows = Windows((3, 2), (1, 2), ((1, 1), (0, 0)), (1, 1))
    found = run(x, x.shape, windows, False)
    assert (~np.isfinite(found)).sum() == 3
    assert not np.isfinite(found[0, :, 2]).any()
