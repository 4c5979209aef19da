"""Matrix products in register tiles: every shape, start and layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_edu.kernels import llvm, tiled, tiles
from tinygrad_edu.kernels.native import Stream

NONE = np.zeros((0, 2), np.int64)
GUARD = 7.0
"""What stands behind the result and in the room between its rows, and must stay there."""

here = pytest.mark.skipif(not llvm.host().masks, reason="needs masked vectors of 512 bits")


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRAD_EDU_CACHE", str(tmp_path_factory.mktemp("tiles")))
        yield


def product(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, ta: bool, tb: bool, start: Any = None
) -> np.ndarray:
    """c, in whose place op(a) op(b) plus what it starts with has been written. Behind each row of c
    are three more numbers, behind each matrix a row."""
    batch, m, n = c.shape
    k = a.shape[-2] if ta else a.shape[-1]
    found = tiles.tiles(m, n, k, c.itemsize)
    kind = "zero" if start is None else "scaled" if start.size == 1 else "row"
    kernel = tiled.kernel(c.dtype, found, ta, tb, kind)
    room = np.full((batch, m + 1, n + 3), GUARD, c.dtype)
    room[:, :m, :n] = c
    size = tiles.work_bytes(n, k, c.itemsize)
    work = np.full(size + 64, 99, np.uint8)
    places = (a.ctypes.data, a.shape[-1], b.ctypes.data, b.shape[-1], room.ctypes.data, n + 3)
    begin = 0 if start is None else start.ctypes.data
    repeated = (batch, a[0].nbytes, b[0].nbytes, room[0].nbytes)
    arguments = tiled.arguments(found, (m, n, k), (*places, begin, work.ctypes.data), repeated)
    assert len(arguments) == len(tiled.TILED_ARGUMENTS)
    Stream(np.array([kernel, len(arguments), *arguments], np.int64), NONE, NONE, NONE).run(0, 1)
    assert np.all(room[:, m:] == GUARD)
    assert np.all(room[:, :, n:] == GUARD)
    assert np.all(work[size:] == 99)
    return room[:, :m, :n]


def operands(m: int, n: int, k: int, ta: bool, tb: bool, dtype: Any, batch: int = 1) -> Any:
    rng = np.random.default_rng(m * n + k)
    shapes = [(k, m) if ta else (m, k), (n, k) if tb else (k, n), (m, n)]
    return [rng.standard_normal((batch, *shape)).astype(dtype) for shape in shapes]


@here
@settings(max_examples=40, deadline=None)
@given(
    m=st.integers(1, 40), n=st.integers(1, 90), k=st.integers(1, 40),
    ta=st.booleans(), tb=st.booleans(), dtype=st.sampled_from([np.float32, np.float64]),
    kind=st.sampled_from(["zero", "scaled", "row"]),
)  # fmt: skip
def test_products(m: int, n: int, k: int, ta: bool, tb: bool, dtype: Any, kind: str) -> None:
    """To the rounding error of a sum of k terms: k eps times the sum of their sizes."""
    a, b, c = operands(m, n, k, ta, tb, dtype, batch=2)
    x, y = (q.astype(np.float64) for q in (a.mT if ta else a, b.mT if tb else b))
    row = np.linspace(-1, 1, n).astype(dtype)
    factor = np.array([0.5], dtype)
    start, begin = {
        "zero": (None, np.zeros_like(c)), "scaled": (factor, 0.5 * c),
        "row": (row, np.broadcast_to(row, c.shape)),
    }[kind if n > 1 else "zero"]  # fmt: skip
    bound = (k + 2) * np.finfo(dtype).eps * (np.abs(x) @ np.abs(y) + np.abs(begin))
    assert np.all(np.abs(product(a, b, c, ta, tb, start) - (x @ y + begin)) <= bound)


@here
def test_a_depth_in_parts() -> None:
    """The sums go on where they were."""
    m, n, k = 9, 80, 700
    assert tiles.depth_of(k) == 352
    a, b, c = operands(m, n, k, False, True, np.float32)
    row = np.linspace(-1, 1, n).astype(np.float32)
    turned = np.ascontiguousarray(b.mT)
    found = product(a, b, c, False, True, row)
    np.testing.assert_array_equal(found, product(a, turned, c, False, False, row))
    np.testing.assert_allclose(found, a @ turned + row, rtol=1e-4, atol=1e-4)


@here
@pytest.mark.parametrize("rows", [1, 3, 5, 16, 21])
def test_the_cut_does_not_change_a_bit(rows: int) -> None:
    """Each element is one sum in the order of the depth, whatever tile it is in: so threads that
    share the rows get what one gets."""
    a, b, c = operands(33, 50, 40, False, False, np.float32)
    whole = product(a, b, c, False, False)
    part = product(a[:, :rows].copy(), b, c[:, :rows].copy(), False, False)
    np.testing.assert_array_equal(part, whole[:, :rows])


@here
def test_nan_and_infinity_stay_in_their_row() -> None:
    a, b, c = operands(12, 20, 8, False, True, np.float32)
    a[0, 3, 2], a[0, 7, 1] = np.nan, np.inf
    found = product(a, b, c, False, True)
    assert np.isnan(found[0, 3]).all()
    assert np.isinf(found[0, 7]).all()
    assert np.isfinite(np.delete(found[0], (3, 7), axis=0)).all()
