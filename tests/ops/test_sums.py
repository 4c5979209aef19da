"""Sums and inner products over axes: NumPy's, of any layout, with errors that do not grow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ops.checks import assert_close
from tests.ops.samples import relayout
from tests.ops.structure import reductions
from tinygrad_edu.ops import sums

LENGTHS = [1, 127, 128, 129, 1000, 1024, 1025, 3000]
"""Around the blocks' lengths."""


@given(sample=reductions(), layout=st.sampled_from(["plain", "fortran"]))
def test_equal_numpys(sample: object, layout: str) -> None:
    (x,), axes = sample.xs, sample.params["axes"]
    y = relayout(np.cos(x) + 1, layout)
    assert_close("total", sums.total(x, axes), x.sum(axes, keepdims=True), 64, 8)
    assert_close("inner", sums.inner(x, y, axes), (x * y).sum(axes, keepdims=True), 64, 8)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks(length: int, axes: tuple[int, ...], dtype: type) -> None:
    rng = np.random.default_rng(length)
    shape = [2, 3, 2]
    shape[axes[-1]] = length
    x, y = rng.normal(size=(2, *shape)).astype(dtype) + dtype(10)
    wide = x.astype(np.longdouble), y.astype(np.longdouble)
    # 128 roundings in a row at most, and all terms have one sign.
    bound = 128 * np.finfo(dtype).eps
    both = (sums.total(x, axes), wide[0]), (sums.inner(x, y, axes), wide[0] * wide[1])
    for found, terms in both:
        wanted = terms.sum(axes, keepdims=True)
        assert found.dtype == dtype
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted.astype(float), rtol=bound)


@pytest.mark.parametrize("axes", [(0,), (1,)])
def test_a_million_numbers_cost_no_digits(axes: tuple[int, ...]) -> None:
    """One running total in float32 of 10^6 times 0.1 is off by 1 %: 10^5 roundings."""
    x = np.full((1_000_000, 1)[:: 1 if axes == (0,) else -1], 0.1, np.float32)
    total = np.float64(x[0, 0]) * 1e6
    bound = 128 * np.finfo(np.float32).eps
    np.testing.assert_allclose(sums.total(x, axes), total, rtol=bound)
    np.testing.assert_allclose(sums.inner(x, x, axes), total * np.float64(x[0, 0]), rtol=bound)


def test_infinities_and_nan_pass() -> None:
    x = np.array([[np.inf, 1.0], [1.0, np.nan], [np.inf, 0.0], [2.0, 3.0]])
    np.testing.assert_array_equal(sums.total(x, (1,))[:, 0], [np.inf, np.nan, np.inf, 5])
    np.testing.assert_array_equal(sums.total(x, (0,))[0], [np.inf, np.nan])
    assert sums.total(np.zeros((0, 3)), (0,)).tolist() == [[0, 0, 0]]
    assert sums.inner(np.zeros((3, 0)), np.zeros((3, 0)), (1,)).tolist() == [[0]] * 3
