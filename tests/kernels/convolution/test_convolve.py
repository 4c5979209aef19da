"""Convolution on arrays: its definition, by either scheme and whatever the chunks, and its
transposes."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ops.samples import seeds
from tests.ops.sliding import by_input, by_weight, convolve, layers
from tinygrad_edu.kernels.convolution import channels, direct, unfolding
from tinygrad_edu.kernels.convolution import convolve as kernel
from tinygrad_edu.kernels.convolution.windows import Windows

CHUNKS = [(1 << 19, 256), (1, 1), (300, 1), (1, 7)]
"""Everything at once, one row of windows at a time, some rows, and rows for so many columns."""


@pytest.fixture(params=["unfolded", "direct", "channels"])
def scheme(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each scheme where it can be used at all, however small the work."""
    monkeypatch.setattr(kernel, "_WORTH", math.inf if request.param == "unfolded" else 0)
    monkeypatch.setattr(direct, "_MOST_WASTE", math.inf)
    monkeypatch.setattr(channels, "_LEAST_TILE", 0 if request.param == "channels" else math.inf)
    monkeypatch.setattr(channels, "_LEAST_USED", 0)
    return str(request.param)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.usefixtures("scheme")
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(layers(), seeds, st.sampled_from(CHUNKS))
def test_small_integers_exactly(dtype: Any, case: Any, seed: int, chunks: tuple[int, int]) -> None:
    params, *shapes = case
    rng = np.random.default_rng(seed)
    x, w, y = (np.asarray(rng.integers(-3, 4, shape), dtype) for shape in shapes)
    bias = np.asarray(rng.integers(-3, 4, len(w)), dtype)
    groups = params["groups"]
    windows = Windows(w.shape[2:], params["stride"], params["padding"], params["dilation"])
    column = bias.reshape(-1, *[1] * (x.ndim - 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unfolding, "_CHUNK_BYTES", chunks[0])
        patch.setattr(direct, "_CHUNK_BYTES", chunks[0])
        patch.setattr(channels, "_CHUNK_BYTES", chunks[0])
        patch.setattr(channels, "_PIXELS", chunks[1])
        channels.convolving.cache_clear()  # programs made for chunks of another size
        channels.convolving_input.cache_clear()
        channels.convolving_weight.cache_clear()
        patch.setattr(unfolding, "_COLUMNS", chunks[1])
        found = kernel.convolve(x, w, windows, groups, bias)
        pulled = kernel.convolve_input(y, w, windows, groups, x.shape[2:])
        grown = kernel.convolve_weight(x, y, windows, groups)
    np.testing.assert_array_equal(found, convolve(x, w, **params) + column)
    np.testing.assert_array_equal(pulled, by_input(y, w, x.shape[2:], **params))
    np.testing.assert_array_equal(grown, by_weight(x, y, w.shape[2:], **params))


@pytest.mark.usefixtures("scheme")
@pytest.mark.parametrize("size", [(5, 3, 4), (2, 2, 2)])
def test_any_number_of_spatial_axes(size: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    windows = Windows((2, 1, 2), (2, 1, 1), ((1, 0), (0, 1), (1, 1)), (1, 1, 2))
    params = {"stride": windows.stride, "padding": windows.padding, "dilation": windows.dilation}
    x = np.asarray(rng.integers(-3, 4, (2, 2, *size)), float)
    w = np.asarray(rng.integers(-3, 4, (4, 1, 2, 1, 2)), float)
    y = kernel.convolve(x, w, windows, 2)
    np.testing.assert_array_equal(y, convolve(x, w, groups=2, **params))
    pulled = kernel.convolve_input(y, w, windows, 2, size)
    np.testing.assert_array_equal(pulled, by_input(y, w, size, groups=2, **params))


@pytest.mark.usefixtures("scheme")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's; the ops silence it
def test_what_a_window_does_not_hold_does_not_reach_it() -> None:
    """An infinite input stays where it is: no place is multiplied by 0 for nothing."""
    windows = Windows((3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1))
    x, w = np.ones((1, 1, 6, 6)), np.ones((1, 1, 3, 3))
    x[0, 0, 0, 0] = np.inf
    y = kernel.convolve(x, w, windows, 1)
    assert np.argwhere(~np.isfinite(y)).tolist() == [[0, 0, 0, 0]]
    grown = kernel.convolve_weight(x, np.ones_like(y), windows, 1)
    assert np.argwhere(~np.isfinite(grown)).tolist() == [[0, 0, 0, 0]]


@pytest.mark.usefixtures("scheme")
@pytest.mark.parametrize("layout", ["transposed", "reversed", "every second", "read-only"])
def test_memory_layouts(layout: str) -> None:
    rng = np.random.default_rng(0)
    windows = Windows((3, 3), (2, 1), ((1, 1), (0, 2)), (1, 1))
    x, w = rng.normal(size=(3, 2, 6, 6)), rng.normal(size=(4, 2, 3, 3))
    wanted = kernel.convolve(x, w, windows, 1)
    other = {
        "transposed": lambda a: np.ascontiguousarray(a.T).T,
        "reversed": lambda a: np.ascontiguousarray(a[::-1, :, ::-1])[::-1, :, ::-1],
        "every second": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
        "read-only": lambda a: np.broadcast_to(a, a.shape),
    }[layout]
    found = kernel.convolve(other(x), other(w), windows, 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-13)
    for f in (kernel.convolve_input, kernel.convolve_weight):
        a, b, last = (wanted, w, [(6, 6)]) if f is kernel.convolve_input else (x, wanted, [])
        np.testing.assert_allclose(
            f(other(a), other(b), windows, 1, *last), f(a, b, windows, 1, *last), atol=1e-12
        )


def test_a_large_image_is_taken_in_parts() -> None:
    """One image's matrix would be 18 MB; what is kept at a time is a chunk's."""
    windows = Windows((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    x = np.zeros((1, 8, 256, 256), np.float32)
    chunks = list(unfolding._chunks(windows, x))
    assert len(chunks) > 10
    assert max(memory.matrix.nbytes for _, _, memory in chunks) <= unfolding._CHUNK_BYTES
    assert [rows.start for _, rows, _ in chunks[1:]] == [rows.stop for _, rows, _ in chunks[:-1]]


@pytest.mark.parametrize("shape", [(1, 100, 100), (300, 7, 9), (5, 30, 11)])
def test_long_sums_keep_their_digits(shape: tuple[int, int, int]) -> None:
    """Each weight's gradient sums over all images and pixels, here n times 0.1. In blocks of B that
    are added pairwise no number is rounded more than B + log2(n) + 1 times, by eps / 2 of what it
    has become part of (Higham 2002, section 4.2)."""
    n, *size = shape
    windows = Windows((1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1))
    x, y = np.full((n, 2, *size), 0.1, np.float32), np.ones((n, 3, *size), np.float32)
    count = x[:, 0].size
    found = unfolding.multiply_outer(x, y, windows, 1)
    bound = (128 + np.log2(count) + 1) * np.finfo(np.float32).eps / 2
    np.testing.assert_allclose(found, count * float(np.float32(0.1)), rtol=bound)


@given(depth=st.integers(1, 1000), seed=st.integers(0, 9))
def test_sums_of_any_length(depth: int, seed: int) -> None:
    """However it is cut, no product is left out."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-9, 9, (2, 3, depth)), rng.integers(-9, 9, (2, depth, 4))
    found = unfolding._summed(a.astype(np.float32), b.astype(np.float32))
    np.testing.assert_array_equal(found, a @ b)


@pytest.mark.parametrize("height", [1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_height_of_block(height: int, dtype: Any) -> None:
    """Filters are taken in blocks of the heights that have kernels."""
    rng = np.random.default_rng(height)
    windows = Windows((3, 2), (2, 1), ((1, 0), (1, 2)), (1, 2))
    x = rng.normal(size=(3, 4, 9, 11)).astype(dtype)
    w, bias = rng.normal(size=(2 * height, 2, 3, 2)).astype(dtype), np.arange(2.0 * height)
    y = kernel.convolve(x, w, windows, 2, bias.astype(dtype))
    filters = w.reshape(2, height, -1)
    found = np.empty_like(y)
    direct.multiply(found, x, filters, windows, bias.astype(dtype))
    roundings = 24 * np.finfo(dtype).eps  # a sum of 12 products, in two orders
    np.testing.assert_allclose(found, y, rtol=0, atol=roundings * np.abs(y).max())


def test_llvm_is_loaded_for_large_work_only() -> None:
    code = """if True:
        import sys, numpy as np, tinygrad_edu as tg
        x, w = tg.randn(2, 8, 16, 16), tg.randn(16, 8, 3, 3)
        y = tg.conv2d(x, w)
        print("llvmlite" in sys.modules)
        tg.conv2d(x.repeat(20, 1, 1, 1), w)
        print("llvmlite" in sys.modules, "numba" in sys.modules)
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True", "False"]
