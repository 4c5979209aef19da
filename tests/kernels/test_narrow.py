"""Kernels of rows that fit into one register, against the kernels of rows of any length."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.kernels.test_emit import FLOAT, GUARD, NONE, softmax_and_sums
from tinygrad_edu.kernels import llvm, narrow
from tinygrad_edu.kernels.description import Kernel
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
