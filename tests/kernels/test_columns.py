"""Kernels of column sums, for several processors, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kernels.test_emit import COLUMN, FLOAT, FULL, GUARD, NONE, SHAPES, rule, targets
from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.columns import BLOCK, ColumnKernel
from tinygrad_edu.kernels.description import Value
from tinygrad_edu.kernels.emit import emit
from tinygrad_edu.kernels.native import Stream

WIDE = np.dtype(np.float64)


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRAD_EDU_CACHE", str(tmp_path_factory.mktemp("columns")))
        yield


def softmax() -> ColumnKernel:
    """The softmax of columns, the largest of each and the sum of its exponentials."""
    values = (
        Value("operand", FLOAT, FULL),
        Value("amax", FLOAT, COLUMN, (0,)),
        rule(FULL, (0, 1), "sub", lambda m, a, b: a - b),
        rule(FULL, (2,), "exp", lambda m, a: m.exp(a), costly=True),
        Value("map", WIDE, FULL, (3,), "cast", lambda m, a: a),
        Value("sum", WIDE, COLUMN, (4,)),
        Value("map", FLOAT, COLUMN, (5,), "cast", lambda m, a: a),
        rule(FULL, (3, 6), "div", lambda m, a, b: a / b),
    )
    return ColumnKernel(values, (1, 6, 7))


def test_what_a_walk_needs() -> None:
    """Three walks; the exponential is noted by the second one for the third."""
    kernel = softmax()
    assert kernel.levels == (0, 0, 1, 1, 1, 1, 2, 2)
    assert [kernel.wanted(level) for level in range(3)] == [[1], [5], [7]]
    assert kernel.reads == [{0}, {0, 2, 3, 4}, {3, 7}]
    assert kernel.scratch == (3,)
    assert kernel.is_known(3, 2)
    assert not kernel.is_known(3, 1)


@pytest.mark.parametrize("target", targets())
@pytest.mark.parametrize("shape", [*SHAPES, (6, 2 * BLOCK + 21)])
def test_softmax_of_columns(shape: tuple[int, int], target: llvm.Target) -> None:
    kernel, (m, n) = softmax(), shape
    x = np.random.default_rng(m).standard_normal(shape).astype(FLOAT)
    top, total, y = (np.full(size + BLOCK, GUARD, FLOAT) for size in (n, n, m * n))
    scratch = np.empty(m * BLOCK, FLOAT)
    address = llvm.address(kernel.signature, lambda name: emit(kernel, target, name), target)
    args = [m, n, x.ctypes.data, 4 * n, top.ctypes.data, total.ctypes.data]
    args += [y.ctypes.data, 4 * n, scratch.ctypes.data]
    Stream(np.array([address, len(args), *args], np.int64), NONE, NONE, NONE).run(0, 1)
    e = np.exp(x - x.max(0))
    np.testing.assert_array_equal(top[:n], x.max(0))
    np.testing.assert_allclose(total[:n], e.sum(0, dtype=WIDE), rtol=1e-6)
    np.testing.assert_allclose(y[: m * n].reshape(shape), e / e.sum(0), rtol=2e-6)
    for found, size in ((top, n), (total, n), (y, m * n)):
        assert (found[size:] == GUARD).all()
