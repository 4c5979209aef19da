"""What `standardize` and `unit_rms` measure is used again, and large means cost no digits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.ops.cases import FUSED
from tinygrad_edu.graph.reader import apply, graph_reader
from tinygrad_edu.graph.tensor import abstract
from tinygrad_edu.ops import TABLE, affine, standardize, unit_rms
from tinygrad_edu.ops.normalization import Moments
from tinygrad_edu.ops.table import array_reader

every_normalisation = pytest.mark.parametrize("op", [standardize, unit_rms], ids=lambda op: op.name)


@every_normalisation
@settings(max_examples=20)
@given(data=st.data())
def test_moments_change_nothing(op: object, data: st.DataObject) -> None:
    """Value and derivatives, of either mode and order, with the kept moments and without."""
    sample = data.draw(FUSED[op.name].samples)
    (x,) = sample.xs
    moments = Moments()
    results = []
    for params in (sample.params, {**sample.params, "moments": moments}):
        t = tg.tensor(x, requires_grad=True)
        y = apply(op, t, **params)
        g = tg.tensor(np.cos(np.arange(x.size)).reshape(x.shape))
        (plain,) = tg.autograd.grad(y, t, g)
        (first,) = tg.autograd.grad(y, t, g, create_graph=True)
        (second,) = tg.autograd.grad((first**3).sum(), t)
        tangent = op.jvp(array_reader(y.dtype), [g.numpy()], y.node.data, [t.node.data], **params)
        results.append([y.detach().numpy(), plain.numpy(), first.detach().numpy(), second.numpy(),
                        tangent])  # fmt: skip
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    assert moments.variance.shape == moments.scale.shape
    axes = sample.params["axes"]
    mean = x.mean(axes, keepdims=True) if op is standardize else 0
    np.testing.assert_allclose(moments.mean, mean, atol=1e-15)
    np.testing.assert_allclose(
        moments.variance, np.mean((x - mean) ** 2, axes, keepdims=True), rtol=1e-13
    )


@every_normalisation
def test_moments_of_another_array_are_not_used(op: object) -> None:
    """A node's parameters may be used on other values: its moments then do not count."""
    rng, moments = np.random.default_rng(0), Moments()
    x, other, g = rng.normal(size=(3, 4, 5))
    params = {"axes": (1,), "eps": 0.1}
    y = op.forward(other, **params)
    op.forward(x, **params, moments=moments)
    reader = array_reader(x.dtype)
    (found,) = op.vjp(reader, g, y, [other], [True], **params, moments=moments)
    (wanted,) = op.vjp(reader, g, y, [other], [True], **params)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shift", [0.0, 1e3, -1e5])
@pytest.mark.parametrize("axes", [(0,), (1,)])
def test_a_large_mean_costs_no_more_than_it_must(
    dtype: type, shift: float, axes: tuple[int, ...]
) -> None:
    """The float closest to the mean is off by half a unit of its last digit. E[x^2] - E[x]^2 would
    lose twice the digits, and be negative at times."""
    x = (np.random.default_rng(1).normal(size=(300, 400)) + shift).astype(dtype)
    wide = x.astype(np.float64 if dtype == np.float32 else np.longdouble)
    wanted = (wide - wide.mean(axes, keepdims=True)) / np.sqrt(wide.var(axes, keepdims=True))
    error = np.abs(standardize.forward(x, axes=axes, eps=0.0) - wanted)
    # Roundings of the mean, and of the arithmetic after it (y is below 8).
    bound = np.finfo(dtype).eps * (64 + 4 * abs(shift))
    assert error.max() < bound


def test_backward_of_a_trace() -> None:
    """The derivative of the whole op is recorded in ops, on shapes alone, too."""
    for op in (standardize, unit_rms):
        x = abstract((4, 3), np.float64)
        x.requires_grad_()
        y = apply(op, x, axes=(0,), eps=1e-5)
        (g,) = tg.autograd.grad(y, x, abstract((4, 3), np.float64), create_graph=True)
        assert g.shape == (4, 3)
        assert y.node in ancestors(g.node)
        assert x.node in ancestors(g.node)


def ancestors(node: object) -> set[object]:
    seen, stack = set(), [node]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(node.inputs)
    return seen


def test_only_what_is_wanted_is_computed() -> None:
    arrays = np.ones((2, 3)), np.ones(3), np.ones(3)
    tensors = tuple(map(tg.tensor, arrays))
    for reader, xs in ((array_reader, arrays), (graph_reader, tensors)):
        pulled = affine.vjp(reader(tg.float64), xs[0], xs[0], xs, [False, True, False])
        assert [p is None for p in pulled] == [True, False, True]


def test_names() -> None:
    """What the analyzer's rules are keyed on."""
    assert TABLE["standardize"].whole
    assert TABLE["unit_rms"].whole
    assert not TABLE["affine"].whole
    assert TABLE["softmax"].whole
    assert TABLE["log_softmax"].whole
    assert not TABLE["cross_entropy"].whole
