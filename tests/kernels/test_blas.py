"""The link to NumPy's BLAS: found whatever its file is called, and called with the right layout."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_edu.errors import DTypeError, ShapeError
from tinygrad_edu.kernels import blas

pytestmark = pytest.mark.skipif(blas.find() is None, reason=str(blas.info().get("reason")))

Layout = Callable[[np.ndarray], np.ndarray]


def padded_rows(x: np.ndarray) -> np.ndarray:
    wide = np.full((x.shape[0], x.shape[1] + 3), np.nan, x.dtype)
    wide[:, : x.shape[1]] = x
    return wide[:, : x.shape[1]]


LAYOUTS: dict[str, Layout] = {
    "rows": np.ascontiguousarray,
    "columns": np.asfortranarray,
    "padded rows": padded_rows,
    "padded columns": lambda x: padded_rows(x.T).T,
}

sizes = st.integers(1, 9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(
    m=sizes,
    n=sizes,
    k=sizes,
    a_layout=st.sampled_from(list(LAYOUTS)),
    b_layout=st.sampled_from(list(LAYOUTS)),
    out_layout=st.sampled_from(["rows", "padded rows"]),
    seed=st.integers(0, 99),
)
def test_gemm_is_matmul(
    dtype: type, m: int, n: int, k: int, a_layout: str, b_layout: str, out_layout: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    # Small integers: every product and sum is exact, so the order of summation does not matter.
    a, b, c = (random.integers(-8, 9, shape).astype(dtype) for shape in ((m, k), (k, n), (m, n)))
    out = LAYOUTS[out_layout](c)
    assert blas.gemm(LAYOUTS[a_layout](a), LAYOUTS[b_layout](b), out) is out
    np.testing.assert_array_equal(out, a @ b)
    blas.gemm(LAYOUTS[a_layout](a), LAYOUTS[b_layout](b), out, alpha=2.0, beta=-1.0)
    np.testing.assert_array_equal(out, 2 * (a @ b) - a @ b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gemm_on_a_large_product(dtype: type) -> None:
    random = np.random.default_rng(0)
    a, b = random.standard_normal((200, 300)).astype(dtype), random.standard_normal((300, 100))
    out = blas.gemm(a, b.astype(dtype), np.empty((200, 100), dtype))
    np.testing.assert_allclose(out, a @ b.astype(dtype), rtol=0, atol=300 * np.finfo(dtype).eps * 8)


def test_gemm_leaves_padding_alone() -> None:
    wide = np.full((2, 5), 7.0)
    blas.gemm(np.eye(2), np.ones((2, 3)), wide[:, 1:4])
    assert wide.tolist() == [[7, 1, 1, 1, 7]] * 2


def test_gemm_of_nothing() -> None:
    assert blas.gemm(np.ones((0, 3)), np.ones((3, 2)), np.ones((0, 2))).shape == (0, 2)
    assert blas.gemm(np.ones((2, 0)), np.ones((0, 2)), np.ones((2, 2))).tolist() == [[0, 0]] * 2


def test_gemm_refuses_what_does_not_fit() -> None:
    a, b, out = np.ones((2, 3)), np.ones((3, 4)), np.empty((2, 4))
    with pytest.raises(ShapeError, match=r"\(2, 3\) @ \(2, 3\)"):
        blas.gemm(a, a, out)
    with pytest.raises(ShapeError, match="does not make"):
        blas.gemm(a, b, out.T)
    with pytest.raises(DTypeError, match="float32"):
        blas.gemm(a, b.astype(np.float32), out)
    with pytest.raises(DTypeError):
        blas.gemm(a.astype(int), b.astype(int), out.astype(int))
    with pytest.raises(ShapeError, match="contiguous"):
        blas.gemm(np.ones((4, 6))[::2, ::2], b, out)
    with pytest.raises(ShapeError, match="contiguous"):
        blas.gemm(a[::-1], b, out)
    with pytest.raises(ShapeError, match="out"):
        blas.gemm(a, b, np.empty((4, 2)).T)


def test_info_describes_the_library() -> None:
    info = blas.info()
    assert info["integer_bits"] in (32, 64)
    assert info["symbol"].startswith(("cblas_sgemm", "scipy_cblas_sgemm"))
    if info["config"] is not None:
        assert "OpenBLAS" in info["config"]
        assert info["threads"] >= 1
        assert info["core"]


def test_addresses_are_the_library_s_own() -> None:
    found = blas.find()
    assert found is not None
    assert found.address("cblas_dgemm") not in (0, found.address("cblas_sgemm"))
    assert found.address("cblas_no_such_function") == 0
    again = ctypes.CDLL(found.path)
    symbol = getattr(again, f"{found.prefix}cblas_sgemm{found.suffix}")
    assert ctypes.cast(symbol, ctypes.c_void_p).value == found.address("cblas_sgemm")


def test_without_a_blas_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_libraries", lambda: iter([ctypes.CDLL(None)]))
    monkeypatch.setattr(blas, "_SPELLINGS", [("no_such_", "", 32)])
    monkeypatch.setattr(blas, "find", blas.find.__wrapped__)
    monkeypatch.setattr(blas, "_gemm_function", blas._gemm_function.__wrapped__)
    assert blas.find() is None
    assert "no_such_cblas_sgemm" in blas.info()["reason"]
    with pytest.raises(blas.BlasError, match=r"np\.matmul"):
        blas.gemm(np.eye(2), np.eye(2), np.empty((2, 2)))


@pytest.mark.parametrize("source", [blas._of_numpy, blas._loaded, blas._of_scipy])
def test_every_way_to_a_library_ends_at_one_that_multiplies(
    source: Callable[[], Iterator[ctypes.CDLL]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of them a build of NumPy and SciPy offers differs; whatever is found must be right."""
    monkeypatch.setattr(blas, "_libraries", source)
    for cached in (blas.find, blas._gemm_function):
        monkeypatch.setattr(blas, cached.__name__, cached.__wrapped__)
    if blas.find() is None:
        pytest.skip("this one has no C interface")
    a = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(blas.gemm(a, a.T.copy(), np.empty((2, 2))), a @ a.T)
