"""Ops as compiled kernels equal themselves in NumPy, at every size, edge value and layout."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.ops.cases import FUSED
from tinygrad_edu.errors import TinygradError
from tinygrad_edu.graph.reader import apply
from tinygrad_edu.ops import TABLE, array_reader, native
from tinygrad_edu.ops.kinds import Elementwise

COMPILED = sorted(name for name, op in TABLE.items() if isinstance(op, Elementwise) and op.compiled)
EDGES = [0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 6.0, 88.0, -88.0, 104.0, -104.0, 1e30, -1e30]
EDGES += [np.inf, -np.inf, np.nan, 1e-30, -1e-30]


@pytest.fixture
def always() -> Iterator[None]:
    """However small the arrays are, kernels compute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "LEAST", 1)
        patch.setattr(native, "_programs", {})
        yield


def both(op: Any, xs: Any, g: Any, **params: Any) -> list[list[np.ndarray]]:
    """Value and cotangents by kernels and by NumPy."""
    found = []
    for switch in (contextlib.nullcontext, native.numpy_only):
        with switch(), np.errstate(all="ignore"):
            y = np.asarray(op.forward(*xs, **params))
            wanted = [x.dtype.kind == "f" for x in xs]
            pulled = op.vjp(array_reader(y.dtype), g.astype(y.dtype), y, xs, wanted, **params)
            found.append([y, *(p for p, want in zip(pulled, wanted, strict=True) if want)])
    return found


def close(a: np.ndarray, b: np.ndarray, ulps: float) -> None:
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    scale = np.max(np.abs(b), initial=1.0, where=np.isfinite(b))
    np.testing.assert_allclose(a, b, rtol=0, atol=ulps * np.finfo(b.dtype).eps * scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", COMPILED)
def test_elementwise(name: str, dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """To some units in the last place: both sides round each function they are made of by up to
    two. Where parts nearly cancel, that is on the scale of these, which is below 32 in this range.
    """
    monkeypatch.setattr(native, "_programs", {})
    op = TABLE[name]
    params = {"leaky_relu": {"negative_slope": 0.1}, "elu": {"alpha": 1.5}}.get(name, {})
    if name == "hardtanh":
        params = {"low": -1.0, "high": 2.0}
    x = np.concatenate([EDGES, np.linspace(-9, 9, 1000)]).astype(dtype)
    g = np.where(np.arange(x.size) % 3, 0.5, -2.0)
    for a, b in zip(*both(op, (x,), g, **params), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(a, b, rtol=8 * eps, atol=4 * 32 * eps)
    forward = next(key for key in native._programs if key[0] == op._again)
    assert native._programs[forward] is not None


@pytest.mark.parametrize("name", sorted(FUSED))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float64]))
def test_fused(name: str, always: None, data: st.DataObject, dtype: type) -> None:
    sample = data.draw(FUSED[name].samples)
    xs = tuple(x.astype(dtype) if x.dtype.kind == "f" else x for x in sample.xs)
    y = np.asarray(TABLE[name].forward(*xs, **sample.params))
    g = np.cos(np.arange(y.size)).reshape(y.shape)
    for a, b in zip(*both(TABLE[name], xs, g, **sample.params), strict=True):
        close(np.asarray(a), np.asarray(b), 256)  # eps 0.1 amplifies roundings by 1 / sqrt(0.1)^3


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("softmax", {"axis": 0}),
        ("softmax", {"axis": 2}),
        ("log_softmax", {"axis": 1}),
        ("standardize", {"axes": (0,), "eps": 0.1}),
        ("standardize", {"axes": (0, 2), "eps": 0.1}),
        ("unit_rms", {"axes": (1, 2), "eps": 0.1}),
    ],
)
def test_axes_and_layouts(name: str, params: dict[str, Any]) -> None:
    """Any axes, and arrays that do not lie as they are read."""
    whole = np.random.default_rng(0).standard_normal((18, 7, 20)).astype(np.float32)
    for x in (whole, whole.swapaxes(0, 2), whole[::2]):
        for a, b in zip(*both(TABLE[name], (x,), np.cos(x), **params), strict=True):
            close(a, b, 64)


def test_long_sums_lose_nothing() -> None:
    """A running float32 total over 300 000 rows would be off by 1e-3."""
    x = np.random.default_rng(0).random((300_000, 3)).astype(np.float32)
    y = TABLE["standardize"].forward(x, axes=(0,), eps=0.0)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(y, (wide - wide.mean(0)) / wide.std(0), atol=2e-6)


def test_cross_entropy_of_infinite_scores() -> None:
    """A class that is ruled out costs nothing to others and infinity to itself; nan spreads over
    its row."""
    scores = np.random.default_rng(0).standard_normal((40, 9)).astype(np.float32)
    scores[0, 3], scores[1, 3], scores[2, 0], scores[3] = -np.inf, -np.inf, np.nan, -np.inf
    labels = np.arange(40) % 9
    labels[1] = 3
    for a, b in zip(*both(TABLE["cross_entropy"], (scores, labels), np.ones(40)), strict=True):
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_operands_that_do_not_fit_raise_what_numpy_leads_to() -> None:
    x, w = tg.ones(30, 20), tg.ones(7)
    with pytest.raises(TinygradError, match="affine"):
        apply(TABLE["affine"], x, w)


def test_small_arrays_need_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_make", lambda *_: pytest.fail("a compiler was asked"))
    monkeypatch.setattr(native, "_programs", {})
    x = np.ones(native.LEAST - 1)
    np.testing.assert_allclose(TABLE["exp"].forward(x), np.e)


def test_numpy_computes_where_there_is_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise ImportError("No module named 'llvmlite'")

    x = np.linspace(-3, 3, 1000)
    wanted = TABLE["gelu"].forward(x)
    monkeypatch.setattr(native, "_make", fails)
    monkeypatch.setattr(native, "_programs", {})
    np.testing.assert_allclose(TABLE["gelu"].forward(x), wanted, rtol=1e-14, atol=1e-14)
    assert set(native._programs.values()) == {None}  # it is not asked again


def test_programs_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_MOST_KEPT", 3)
    monkeypatch.setattr(native, "_programs", {})
    for n in range(300, 310):
        TABLE["exp"].forward(np.ones(n, np.float32))
    assert len(native._programs) <= 3
