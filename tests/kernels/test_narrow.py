"""Kernels of rows that fit into one register, against the kernels of rows of any length."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.kernels.test_emit import (
    COLUMN,
    FLOAT,
    FULL,
    GUARD,
    NONE,
    ROW,
    SINGLE,
    rule,
    softmax_and_sums,
)
from tinygrad_edu.kernels import llvm, narrow
from tinygrad_edu.kernels.description import Kernel, Value
from tinygrad_edu.kernels.emit import emit
from tinygrad_edu.kernels.native import Stream


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRAD_EDU_CACHE", str(tmp_path_factory.mktemp("narrow")))
        yield


def run(kernel: Kernel, x: np.ndarray) -> list[np.ndarray]:
    """Maxima of rows, softmax, its sums over columns and over all, the least sum of a row."""
    m, n = x.shape
    outputs = [np.full(size + 64, GUARD, FLOAT) for size in (m, m * n, n, 1, 1, n)]
    top, y, columns, total, least, scratch = (array.ctypes.data for array in outputs)
    target = llvm.host()
    address = llvm.address(kernel.signature, lambda name: emit(kernel, target, name), target)
    args = [m, n, x.ctypes.data, 4 * n, top, 4, y, 4 * n, columns, n, total, least, 1, scratch]
    Stream(np.array([address, len(args), *args], np.int64), NONE, NONE, NONE).run(0, 1)
    return [array[: size + 64] for array, size in zip(outputs, (m, m * n, n, 1, 1), strict=False)]


@pytest.mark.parametrize("columns", [1, 2, 7, 8, 10, 15, 16])
@pytest.mark.parametrize("rows", [1, 3, 40, 300])
def test_the_same_as_of_any_length(rows: int, columns: int) -> None:
    x = np.random.default_rng(rows).standard_normal((rows, columns)).astype(FLOAT)
    general = softmax_and_sums()
    short = replace(general, narrow=8 if columns <= 8 else 16)
    if not narrow.fits(short, llvm.host()):
        pytest.skip("rows are not done in masked vectors on this processor")
    assert short.signature != general.signature
    for found, expected in zip(run(short, x), run(general, x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_what_does_not_fit() -> None:
    """A row of 16 floats needs 64 bytes, and nothing is known of the length of a row of 0."""
    host = llvm.host()
    assert not narrow.fits(softmax_and_sums(), host)
    assert not narrow.fits(replace(softmax_and_sums(), narrow=16), host.without("avx512"))


def log_softmax_and_sums(columns: int) -> Kernel:
    """Logarithms of rows' sums of exponentials and what is made of them: a number for each row, the
    log-softmax, sums over columns, a weighted sum of the numbers and the largest of them, and
    vectors of an earlier level times a number of a later one."""
    values = (
        Value("operand", FLOAT, FULL),
        Value("operand", FLOAT, ROW),
        Value("amax", FLOAT, ROW, (0,)),
        rule(FULL, (0, 2), "sub", lambda m, a, b: a - b),
        rule(FULL, (3,), "exp", lambda m, a: m.exp(a), costly=True),
        Value("sum", FLOAT, ROW, (4,)),
        rule(ROW, (5,), "log", lambda m, a: m.log(a), costly=True),
        rule(FULL, (3, 6), "sub", lambda m, a, b: a - b),
        rule(ROW, (6, 1), "mul", lambda m, a, b: a * b),
        Value("sum", FLOAT, SINGLE, (8,)),
        Value("amax", FLOAT, SINGLE, (6,)),
        Value("sum", FLOAT, COLUMN, (7,)),
        rule(FULL, (4, 6), "mul", lambda m, a, b: a * b),
    )
    return Kernel(values, (6, 7, 9, 10, 11, 12), narrow=columns)


@pytest.mark.parametrize("columns", [1, 5, 10, 16])
@pytest.mark.parametrize("rows", [1, 15, 16, 17, 40, 300])
def test_numbers_of_rows_side_by_side(rows: int, columns: int) -> None:
    """Blocks of rows, the last one of fewer; nothing is written beyond any result."""
    kernel, target = log_softmax_and_sums(16), llvm.host()
    if not narrow.fits(kernel, target):
        pytest.skip("rows are not done in masked vectors on this processor")
    assert narrow.in_blocks(kernel)
    rng = np.random.default_rng(rows)
    x, weight = (rng.standard_normal(s).astype(FLOAT) for s in ((rows, columns), rows))
    sizes = (rows, rows * columns, 1, 1, columns, rows * columns)
    outputs = [np.full(size + 64, GUARD, FLOAT) for size in sizes]
    log, y, total, top, sums, products = (array.ctypes.data for array in outputs)
    row, scratch = 4 * columns, np.zeros(64, FLOAT)
    args = [rows, columns, x.ctypes.data, row, weight.ctypes.data, 4, log, 4, y, row, total, 1]
    args += [top, 1, sums, columns, products, row, *[scratch.ctypes.data] * len(kernel.scratch)]
    address = llvm.address(kernel.signature, lambda name: emit(kernel, target, name), target)
    Stream(np.array([address, len(args), *args], np.int64), NONE, NONE, NONE).run(0, 1)
    shifted = x.astype(np.float64) - x.max(1, keepdims=True)
    logs = np.log(np.exp(shifted).sum(1))
    scores = shifted - logs[:, None]
    expected = (logs, scores, logs @ weight, logs.max(), scores.sum(0),
                np.exp(shifted) * logs[:, None])  # fmt: skip
    for found, right, size in zip(outputs, expected, sizes, strict=True):
        scale = max(1.0, float(np.abs(right).max()))
        np.testing.assert_allclose(found[:size], np.ravel(right), rtol=2e-6, atol=2e-6 * scale)
        if found is not outputs[4]:  # sums over columns are padded to whole vectors
            assert (found[size:] == GUARD).all()
