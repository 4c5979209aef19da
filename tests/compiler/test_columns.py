"""Which sums over columns become one kernel, and that it computes what several do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_edu.compiler import columns, eager
from tinygrad_edu.ops import composite

RNG = np.random.default_rng(0)


def made(definition: Any, x: np.ndarray, **params: Any) -> Any:
    return eager.make(definition, (x,), params)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def test_one_kernel_where_a_cache_holds_the_matrix() -> None:
    """Else one for each sum, and for what is a number for each column, each along whole rows."""
    options = {"axes": (0,), "eps": 0.1}
    assert made(composite.standardized, normal(128, 128), **options).kernels == 1
    assert made(composite.standardized, normal(1024, 1024), **options).kernels == 5


@pytest.mark.parametrize(
    ("shape", "axes", "kernels"),
    [
        ((6, 7, 64), (0, 1), 1),  # neighbouring axes are one loop
        ((6, 64, 7), (0, 2), 7),  # sums over rows come first
        ((64, 40), (0, 1), 5),  # one sum for all
        ((5, 6, 64), (1,), 5),  # a third loop
    ],
)
def test_what_becomes_one(shape: tuple[int, ...], axes: tuple[int, ...], kernels: int) -> None:
    x = normal(*shape)
    program = made(composite.standardized, x, axes=axes, eps=0.0)
    assert (program.kernels == 1) == (kernels == 1)
    y, _, variance, mean = program(x)
    deviation = x - x.mean(axes, keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(mean, x.mean(axes, keepdims=True, dtype=np.float64), atol=1e-7)
    np.testing.assert_allclose(variance, (deviation**2).mean(axes, keepdims=True), rtol=1e-6)
    np.testing.assert_allclose(y, deviation / np.sqrt(variance), atol=2e-6)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(2, 70), width=st.integers(2, 150), seed=st.integers(0, 99))
def test_the_same_as_of_several_kernels(rows: int, width: int, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32) + 3
    for definition, params in (
        (composite.standardized, {"axes": (0,), "eps": 0.1}),
        (composite.softmax, {"axis": 0}),
        (composite.log_softmax, {"axis": 0}),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(columns, "_NEAR", 0)
            several = made(definition, x, **params)
        one = made(definition, x, **params)
        for found, wanted in zip(one(x), several(x), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=2e-6)


def test_long_columns_keep_their_digits() -> None:
    """A mean of 1000 leaves the variance of a million numbers as exact as float32 holds it."""
    x = normal(1 << 15, 4) + 1000
    y, _, variance, mean = made(composite.standardized, x, axes=(0,), eps=0.0)(x)
    exact = x.astype(np.float64)
    spacing = float(np.spacing(np.float32(1000)))
    np.testing.assert_allclose(mean, exact.mean(0, keepdims=True), rtol=0, atol=spacing)
    np.testing.assert_allclose(variance, exact.var(0, keepdims=True), rtol=1e-6)
    assert np.isfinite(y).all()
