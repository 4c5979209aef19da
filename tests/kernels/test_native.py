"""The kernels that every program shares, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_edu.kernels import door, native

NONE = np.zeros((0, 2), np.int64)


def call(kernel: int, *arguments: int) -> None:
    code = np.array([kernel, len(arguments), *arguments], np.int64)
    native.Stream(code, NONE, NONE, NONE).run(0, 1)


def place(x: np.ndarray) -> int:
    return int(x.ctypes.data)


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRAD_EDU_CACHE", str(tmp_path_factory.mktemp("native")))
        yield


@pytest.mark.skipif(native.gemm(np.dtype(np.float32)) is None, reason="no BLAS to call")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
@pytest.mark.parametrize("blocks", [(7, 9, 11), (3, 4, 5), (1, 9, 2)])
@pytest.mark.parametrize("work", [False, True])
def test_product(dtype: type, ta: bool, tb: bool, blocks: tuple[int, ...], work: bool) -> None:
    """In any blocking, with a start value scaled by beta, as a batch."""
    m, n, k, batch = 7, 9, 11, 2
    rng = np.random.default_rng(0)
    a = rng.standard_normal((batch, *((k, m) if ta else (m, k)))).astype(dtype)
    b = rng.standard_normal((batch, *((n, k) if tb else (k, n)))).astype(dtype)
    c = rng.standard_normal((batch, m, n)).astype(dtype)
    beta, room = np.array([0.5], dtype), np.zeros(n * k, dtype)
    expected = (a.mT if ta else a) @ (b.mT if tb else b) + 0.5 * c
    found = native.gemm(np.dtype(dtype))
    assert found is not None
    kernel, product, transpose = found
    if work and not (tb and transpose):
        return
    operands = (place(a), a.shape[2], place(b), b.shape[2], place(c), n, place(beta))
    steps = (batch, a[0].nbytes, b[0].nbytes, c[0].nbytes)
    extra = (place(room) if work else 0, *steps, product, transpose)
    call(kernel, int(ta), int(tb), m, n, k, *operands, *blocks, *extra)
    np.testing.assert_allclose(c, expected, rtol=1e-4, atol=1e-5)


def test_strided_copy() -> None:
    x = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    y = np.zeros((5, 3, 4), np.float32)
    moved = x.transpose(2, 0, 1)
    axes = [(1, 0, 0)] * 3 + list(zip(y.shape, y.strides, moved.strides, strict=True))
    call(native.strided_copy(4), place(y), place(x), 0, 0, *(n for axis in axes for n in axis))
    np.testing.assert_array_equal(y, moved)


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 1000])
def test_runs_of_bytes(size: int) -> None:
    x, y = np.arange(size + 8, dtype=np.uint8), np.full(size + 8, 7, np.uint8)
    axes = [(1, 0, 0)] * 5 + [(size, 1, 1)]
    call(native.strided_copy(0), place(y), place(x), 3, 5, *(n for axis in axes for n in axis))
    np.testing.assert_array_equal(y[3 : 3 + size], x[5 : 5 + size])
    assert (y[:3] == 7).all()
    assert (y[3 + size :] == 7).all()
    call(native.fill_zero(), place(y), size)
    assert not y[:size].any()


def test_gathered_rows() -> None:
    data = np.random.default_rng(0).standard_normal((9, 13))
    index = np.array([4, 0, 4, 8])
    found = np.zeros((4, 13))
    call(native.gather_rows(), place(found), place(data), place(index), 4, data[0].nbytes)
    np.testing.assert_array_equal(found, data[index])


def test_addresses_move_with_the_step() -> None:
    """Each step reads its own row and writes its own."""
    x, y = np.arange(12.0).reshape(3, 4), np.zeros((3, 4))
    axes = [(1, 0, 0)] * 5 + [(32, 1, 1)]
    flat = [n for axis in axes for n in axis]
    code = np.array([native.strided_copy(0), 22, 0, 0, 0, 0, *flat], np.int64)
    moving = np.array([[2, 0], [3, 1]], np.int64)
    base, stride = np.array([place(y), place(x)]), np.array([32, 32])
    native.Stream(code, moving, base, stride).run(1, 3)
    np.testing.assert_array_equal(y[1:], x[1:])
    assert not y[0].any()


def test_once_with_arrays() -> None:
    """The arrays of a call are found where they are; other walks' step numbers do not count."""
    axes = [(1, 0, 0)] * 5 + [(32, 1, 1)]
    flat = [n for axis in axes for n in axis]
    code = np.array([native.strided_copy(0), 22, 0, 0, 0, 0, *flat], np.int64)
    moving = np.array([[2, 2], [3, 1]], np.int64)
    y = np.zeros(4)
    base, stride = np.array([0, 0, place(y)]), np.array([32, 32, 32])
    stream = native.Stream(code, moving, base, stride)
    once = stream.once(2, elements=1)
    for x in (np.arange(4.0), np.arange(4.0) ** 2):
        once(np.zeros(1), x)
        np.testing.assert_array_equal(y, x)
    rows = np.arange(12.0).reshape(3, 4)
    base[1:] = place(rows), place(y) - 64
    stream.run(2, 3)
    np.testing.assert_array_equal(y, rows[2])
    base[2] = place(y)
    once(y, rows)
    np.testing.assert_array_equal(y, rows[0])
    with pytest.raises(door.NoDoor, match="arguments"):
        stream.once(door.MOST, elements=1)


def test_a_set_stop_ends_the_walk() -> None:
    y = np.ones(64, np.uint8)
    fill = [native.fill_zero(), 2]
    code = np.array([*fill, place(y), 8, *fill, place(y) + 8, 8], np.int64)
    stop = np.ones(1, np.int64)
    native.Stream(code, NONE, NONE, NONE, stop).run(0, 1)
    assert not y[:8].any()
    assert y[8:].all()
