"""How eager definitions become kernels: how many, of which values, and what is left to NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_edu.compiler import eager
from tinygrad_edu.kernels import llvm
from tinygrad_edu.ops import composite, native
from tinygrad_edu.ops.table import TABLE

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 30)).astype(np.float32)


def made(definition: Any, *arrays: np.ndarray, **params: Any) -> Any:
    return eager.make(definition, arrays, params)


def test_rows_take_one_kernel() -> None:
    """A softmax passes its row three times, and memory once."""
    program = made(composite.softmax, X, axis=1)
    assert program.kernels == 1
    e = np.exp(X - X.max(1, keepdims=True))
    np.testing.assert_allclose(program(X)[0], e / e.sum(1, keepdims=True), rtol=1e-6)


def test_columns_take_a_kernel_for_each_sum() -> None:
    """And several results come from one program, each of its shape."""
    program = made(composite.standardized, X, axes=(0,), eps=0.0)
    y, scale, variance, mean = program(X)
    assert mean.shape == variance.shape == scale.shape == (1, 30)
    np.testing.assert_allclose(mean, X.mean(0, keepdims=True), atol=1e-7)
    np.testing.assert_allclose(variance, X.var(0, keepdims=True), rtol=1e-6)
    np.testing.assert_allclose(y, (X - X.mean(0)) / X.std(0), atol=1e-6)


def test_a_kernel_is_compiled_for_a_structure() -> None:
    """Other extents, numbers and axes that behave alike find it there."""
    definition = composite.unit_rms
    made(definition, X, axes=(1,), eps=0.1)(X)
    before = list(llvm.compiled)
    for shape, axes, eps in (((9, 70), (1,), 0.3), ((4, 5, 60), (2,), 0.1), ((5, 4, 6), (1, 2), 2)):
        x = RNG.standard_normal(shape).astype(np.float32)
        wanted = x / np.sqrt(np.mean(x * x, axes, keepdims=True) + eps)
        np.testing.assert_allclose(made(definition, x, axes=axes, eps=eps)(x)[0], wanted, rtol=1e-6)
    assert llvm.compiled == before


def test_results_are_new_arrays() -> None:
    """Nothing is written over by the next call."""
    program = made(composite.softmax, X, axis=1)
    first = program(X)[0].copy()
    kept = program(X)[0]
    program(X + 1)
    program(-X)
    np.testing.assert_array_equal(kept, first)


@pytest.mark.parametrize(
    ("definition", "arrays"),
    [
        (lambda m, a, b: m.matmul(a, b), (X, X.T)),  # a product
        (lambda m, x: m.pow(x, x), (X.astype(np.int64),)),  # no vector form
        (lambda m, x: m.permute(x, axes=(1, 0)) + 1, (X,)),  # a move
        (lambda m, x: x, (X,)),  # nothing to compute
        (lambda m, x: m.exp(x), (X.astype(np.float16),)),  # no such vectors
        (lambda m, x: m.exp(x), (X[:0],)),  # nothing there
    ],
)
def test_what_is_left_to_numpy(definition: Any, arrays: tuple[np.ndarray, ...]) -> None:
    assert made(definition, *arrays) is None


def test_sums_that_numpy_takes_more_exactly_are_left_to_it() -> None:
    """A running float64 total has nothing wider to be kept in; and of very long rows each lane of
    a register adds up too many numbers."""
    total = {"axes": (0,), "keepdims": False}
    assert made(lambda m, x, **p: m.sum(x, **p), X, **total) is not None
    assert made(lambda m, x, **p: m.sum(x, **p), X.astype(np.float64), **total) is None
    long = np.zeros((2, 1 << 17), np.float32)
    assert made(composite.softmax, long, axis=1) is None


@pytest.mark.parametrize("shape", [(4000,), (300, 7), (3, 400, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_running_sums_and_sorting(shape: tuple[int, ...], dtype: Any) -> None:
    """As NumPy has them, to the bit, and for arrays that do not lie as they are read."""
    x = np.random.default_rng(0).integers(-9, 9, shape).astype(dtype) / 7
    for a in (x, x[::-1], np.asfortranarray(x)):
        for axis in range(a.ndim):
            cases = [("cumsum", {"axis": axis, "reverse": flag}) for flag in (False, True)]
            cases += [("argsort", {"axis": axis, "descending": flag}) for flag in (False, True)]
            for name, params in cases:
                found = TABLE[name].forward(a, **params)
                with native.numpy_only():
                    expected = TABLE[name].forward(a, **params)
                assert found.dtype == expected.dtype
                np.testing.assert_array_equal(found, expected)
    assert made(lambda m, x: m.cumsum(x, axis=0, reverse=False), x) is not None
