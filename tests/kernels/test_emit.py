"""Fused kernels emitted from a description, for several processors, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.description import Kernel, Value
from tinygrad_edu.kernels.emit import emit
from tinygrad_edu.kernels.native import Stream

FLOAT = np.dtype(np.float32)
NONE = np.zeros((0, 2), np.int64)
FULL, ROW, COLUMN, SINGLE = (True, True), (True, False), (False, True), (False, False)
SHAPES = [(1, 1), (3, 5), (7, 100), (2, 64), (5, 16), (40, 17), (300, 3)]
GUARD = 7.0
"""What stands behind an output, and must still stand there afterwards."""


def rule(
    varies: tuple[bool, ...], inputs: tuple[int, ...], name: str, f: Any, costly: bool = False
) -> Value:
    return Value("map", FLOAT, varies, inputs, name, f, costly=costly)


def softmax_and_sums() -> Kernel:
    """The softmax of rows; the largest of each row, sums over columns, over rows and over all."""
    values = (
        Value("operand", FLOAT, FULL),
        Value("amax", FLOAT, ROW, (0,)),
        rule(FULL, (0, 1), "sub", lambda m, a, b: a - b),
        rule(FULL, (2,), "exp", lambda m, a: m.exp(a), costly=True),
        Value("sum", FLOAT, ROW, (3,)),
        rule(FULL, (3, 4), "div", lambda m, a, b: a / b, costly=True),
        Value("sum", FLOAT, COLUMN, (5,)),
        Value("sum", FLOAT, SINGLE, (5,)),
        Value("amin", FLOAT, SINGLE, (4,)),
    )
    return Kernel(values, (1, 5, 6, 7, 8))


def targets() -> list[Any]:
    host = llvm.host()
    found = [pytest.param(host, id="this processor")]
    if "avx512" in host.features:
        found.append(pytest.param(host.without("avx512"), id="without AVX-512"))
    if "+avx" in host.features:
        found.append(pytest.param(host.without("avx"), id="without AVX"))
    return found


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRAD_EDU_CACHE", str(tmp_path_factory.mktemp("emit")))
        yield


@pytest.mark.parametrize("target", targets())
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_columns_and_totals(shape: tuple[int, int], target: llvm.Target) -> None:
    kernel, (m, n) = softmax_and_sums(), shape
    assert kernel.levels == (0, 0, 1, 1, 1, 2, 2, 2, 2)
    assert kernel.scratch == (3,)  # the exponential is kept for the last pass
    x = np.random.default_rng(m).standard_normal(shape).astype(FLOAT)

    def room(size: int) -> np.ndarray:
        return np.full(size + 64, GUARD, FLOAT)

    top, y, columns, total, least, scratch = map(room, (m, m * n, n, 1, 1, n))
    address = llvm.address(kernel.signature, lambda name: emit(kernel, target, name), target)
    args = [m, n, x.ctypes.data, 4 * n, top.ctypes.data, 4, y.ctypes.data, 4 * n]
    args += [columns.ctypes.data, n, total.ctypes.data, least.ctypes.data, 1, scratch.ctypes.data]
    Stream(np.array([address, len(args), *args], np.int64), NONE, NONE, NONE).run(0, 1)
    e = np.exp(x - x.max(1, keepdims=True))
    expected = e / e.sum(1, keepdims=True)
    np.testing.assert_array_equal(top[:m], x.max(1))
    np.testing.assert_allclose(y[: m * n].reshape(shape), expected, rtol=1e-5)
    np.testing.assert_allclose(columns[:n], expected.sum(0), rtol=1e-5)
    np.testing.assert_allclose(total[0], m, rtol=1e-5)
    np.testing.assert_allclose(least[0], e.sum(1).min(), rtol=1e-5)
    for array, size in ((top, m), (y, m * n), (total, 1), (least, 1)):
        assert (array[size:] == GUARD).all()


def test_long_sums_are_exact_to_a_few_roundings() -> None:
    """A running float32 sum of three million numbers would be off by 1e-4 and more."""
    kernel = Kernel((Value("operand", FLOAT, (True,)), Value("sum", FLOAT, (False,), (0,))), (1,))
    x = np.random.default_rng(0).random(3_000_001).astype(FLOAT)
    total, target = np.zeros(1, FLOAT), llvm.host()
    address = llvm.address(kernel.signature, lambda name: emit(kernel, target, name), target)
    args = [x.size, x.ctypes.data, total.ctypes.data]
    Stream(np.array([address, len(args), *args], np.int64), NONE, NONE, NONE).run(0, 1)
    assert abs(total[0] / x.sum(dtype=np.float64) - 1) < 5e-7


def test_kernels_of_one_structure_are_one() -> None:
    assert softmax_and_sums().signature == softmax_and_sums().signature
    values = softmax_and_sums().values
    assert Kernel(values, (1, 5)).signature != Kernel(values, (5, 1)).signature


def column_sums() -> Kernel:
    """Twice x; over the rows, sums of that in float64 and the largest x: rows go together."""
    wide = np.dtype(np.float64)
    values = (
        Value("operand", FLOAT, FULL),
        rule(FULL, (0,), "twice", lambda m, a: a + a),
        Value("map", wide, FULL, (1,), "cast", lambda m, a: a),
        Value("sum", wide, COLUMN, (2,)),
        Value("amax", FLOAT, COLUMN, (0,)),
    )
    return Kernel(values, (1, 3, 4))


@pytest.mark.parametrize("target", targets())
@pytest.mark.parametrize("columns", [1, 17, 200])
@pytest.mark.parametrize("rows", [1, 3, 4, 6, 9])
def test_rows_together(rows: int, columns: int, target: llvm.Target) -> None:
    """Whole steps of rows and what is left of them join the sums; nothing else is written."""
    kernel = column_sums()
    x = np.random.default_rng(rows).integers(-9, 9, (rows, columns)).astype(FLOAT)
    y = np.full(x.size + 64, GUARD, FLOAT)
    sums, top = np.full(columns + 64, GUARD), np.full(columns + 64, GUARD, FLOAT)
    address = llvm.address(kernel.signature, lambda name: emit(kernel, target, name), target)
    args = [rows, columns, x.ctypes.data, 4 * columns, y.ctypes.data, 4 * columns]
    args += [sums.ctypes.data, columns, top.ctypes.data, columns]
    Stream(np.array([address, len(args), *args], np.int64), NONE, NONE, NONE).run(0, 1)
    np.testing.assert_array_equal(y[: x.size].reshape(x.shape), 2 * x)
    np.testing.assert_array_equal(sums[:columns], 2 * x.sum(0))
    np.testing.assert_array_equal(top[:columns], x.max(0))
    for out, used in ((y, x.size), (sums, columns), (top, columns)):
        assert (out[used:] == GUARD).all()
