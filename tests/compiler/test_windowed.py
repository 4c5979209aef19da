"""Convolutions and pools in a program: as kernels, shared among threads, equal to NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ops.samples import Sample
from tests.ops.sliding import SLIDING, counts
from tinygrad_edu.compiler import traffic
from tinygrad_edu.compiler.plan import Plan, build
from tinygrad_edu.compiler.program import Program
from tinygrad_edu.graph.reader import apply
from tinygrad_edu.graph.tensor import Tensor, abstract
from tinygrad_edu.kernels import team
from tinygrad_edu.kernels.llvm import host
from tinygrad_edu.ops.structural import Key
from tinygrad_edu.ops.table import TABLE

Array = Any


def program(name: str, sample: Sample) -> Program:
    leaves = [abstract(x.shape, x.dtype) for x in sample.xs]
    y = apply(TABLE[name], *leaves, **sample.params)
    return Program(tuple(x.node for x in leaves), (), {}, (y.node,))


@pytest.mark.parametrize("name", ["max_pool", "max_pool_positions"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_pools(name: str, data: st.DataObject) -> None:
    """As kernels or, where windows are few, as calls of NumPy."""
    sample = data.draw(SLIDING[name].samples)
    (found,) = build(program(name, sample)).run(list(sample.xs))
    np.testing.assert_array_equal(found, TABLE[name].forward(*sample.xs, **sample.params))


@pytest.mark.parametrize("name", ["avg_pool", "avg_pool_input"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float64]))
def test_averages(name: str, data: st.DataObject, dtype: Any) -> None:
    """Of whole numbers: sums are exact, and a division by way of the inverse rounds twice. (The
    divisors of a transpose are rounded before the sum over up to nine windows.)"""
    sample = data.draw(SLIDING[name].samples)
    xs = tuple(np.round(x).astype(dtype) for x in sample.xs)
    sample = Sample(xs, sample.params)
    plan = build(program(name, sample))
    (found,) = plan.run(list(xs))
    expected = TABLE[name].forward(*xs, **sample.params)
    scale = np.abs(expected).max(initial=0) + np.abs(xs[0]).max(initial=0)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=9 * 2 * np.finfo(dtype).eps * scale)
    if expected.size and xs[0].size and xs[0].ndim > len(sample.params["kernel"]):
        assert all(i.is_native for i in plan.instructions)


@st.composite
def layers(draw: Any) -> tuple[dict[str, Any], Array, Array, Array]:
    """A convolution with as many channels as vectors have lanes; x, w and y of whole numbers, so
    that sums are exact in any order."""
    rank = draw(st.integers(1, 2))
    some = st.lists(st.integers(1, 3), min_size=rank, max_size=rank).map(tuple)
    params = {"stride": draw(some), "dilation": draw(some), "groups": draw(st.sampled_from([1, 2]))}
    params["padding"] = tuple(
        (draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(rank)
    )
    kernel, images = draw(some), draw(st.integers(1, 40))
    size = tuple(draw(st.integers(7, 12)) for _ in range(rank))
    channels = 16 * params["groups"]
    count = counts(size, {**params, "kernel": kernel})
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shapes = ((images, channels, *size), (channels, 16, *kernel), (images, channels, *count))
    x, w, y = (rng.integers(-3, 4, shape).astype(np.float32) for shape in shapes)
    return params, x, w, y


@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
@given(layer=layers())
def test_convolutions(layer: tuple[dict[str, Any], Array, Array, Array]) -> None:
    params, x, w, y = layer
    samples = {
        "convolution": Sample((x, w), params),
        "convolution_input": Sample((y, w), {"size": x.shape[2:], **params}),
        "convolution_weight": Sample((x, y), {"kernel": w.shape[2:], **params}),
    }
    for name, sample in samples.items():
        plan = build(program(name, sample))
        expected = TABLE[name].forward(*sample.xs, **sample.params)
        for _ in range(2):  # memory of the kernels is used again
            np.testing.assert_array_equal(plan.run(list(sample.xs))[0], expected)
        if min(expected.shape[-1], sample.xs[0].shape[-1]) >= 4:
            assert all(i.is_native for i in plan.instructions), name


# ------------------------------------------------------------------------------ threads

POOL = {"kernel": (2, 2), "stride": (2, 2), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}
SAME: dict[str, Any] = {
    "stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1
}  # fmt: skip


MEAN = {"kernel": (2, 2), "stride": (1, 2), "padding": ((1, 1), (0, 0)), "count_padding": False,
        "divisor": 4}  # fmt: skip


def step(x: Tensor, w: Tensor) -> tuple[Tensor, ...]:
    """A convolution, a pooling, and derivatives of half the sum of squares of that; and a mean of
    the convolution, and its transpose."""
    y = apply(TABLE["convolution"], x, w, **SAME)
    pooled = apply(TABLE["max_pool"], y, **POOL)
    positions = apply(TABLE["max_pool_positions"], y, **POOL)
    everywhere = {"key": Key((Key.ARRAY,)), "shape": (y.numel(),)}
    g = apply(TABLE["scatter"], pooled.reshape(-1), positions.reshape(-1), **everywhere)
    g = g.reshape(y.shape)
    by_input = apply(TABLE["convolution_input"], g, w, size=x.shape[2:], **SAME)
    by_weight = apply(TABLE["convolution_weight"], x, g, kernel=w.shape[2:], **SAME)
    mean = apply(TABLE["avg_pool"], y, **MEAN)
    spread = apply(TABLE["avg_pool_input"], mean, size=y.shape[2:], **MEAN)
    return pooled, by_input, by_weight, mean, spread


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("images", [3, 7, 64])
def test_threads_share_images(images: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "_WORTH_MEETING", 0)
    monkeypatch.setattr(traffic, "_GAIN", np.inf)
    monkeypatch.setattr(team, "WORTH_WAKING", 0.0)
    rng = np.random.default_rng(images)
    # Whole numbers: the sum over images is exact, so any order of it gives the same.
    x = rng.integers(-2, 3, (images, 16, 8, 8)).astype(np.float32)
    w = rng.integers(-2, 3, (16, 16, 3, 3)).astype(np.float32)
    leaves = [abstract(a.shape, a.dtype) for a in (x, w)]
    outputs = tuple(t.node for t in step(*leaves))
    plan = Plan(Program(tuple(t.node for t in leaves), (), {}, outputs), host(), threads)
    assert plan.threads == threads
    assert all(i.is_native for i in plan.instructions)
    expected = [t.numpy() for t in step(Tensor(x), Tensor(w))]
    for _ in range(4):  # alone and together by turns
        for found, wanted in zip(plan.run([x, w]), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_measuring_follows_no_stale_positions() -> None:
    """Memory of the positions holds something else by the end of a step."""
    x = np.random.default_rng(0).standard_normal((8, 16, 16, 16)).astype(np.float32)
    w = np.random.default_rng(1).standard_normal((16, 16, 3, 3)).astype(np.float32)
    leaves = [abstract(a.shape, a.dtype) for a in (x, w)]
    outputs = tuple(t.node for t in step(*leaves))
    plan = build(Program(tuple(t.node for t in leaves), (), {}, outputs))
    assert len(plan.measure([x, w], rounds=1)) == len(plan.instructions)
