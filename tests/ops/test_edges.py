"""Every edge of `edges.py`, on this engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.ops.edge import Edge
from tests.ops.edges import EDGES, SECOND

RELATIVE = 1e-12
"""The facts are given to double precision; a function and its derivative are a few roundings."""


def same(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=RELATIVE, atol=1e-300, equal_nan=True)


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: edge.name)
def test_edge(edge: Edge) -> None:
    xs = [tg.tensor(x, dtype=tg.float64, requires_grad=True) for x in edge.xs]
    y = edge.function(tg, *xs)
    same(y.detach().numpy(), edge.value)
    for found, wanted in zip(tg.autograd.grad(y.sum(), xs), edge.grads, strict=True):
        assert found is not None
        same(found.numpy(), wanted)


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: edge.name)
def test_recording_changes_nothing(edge: Edge) -> None:
    """Gradients computed as tensors, to be differentiated again, are those computed on arrays."""
    xs = [tg.tensor(x, dtype=tg.float64, requires_grad=True) for x in edge.xs]
    y = edge.function(tg, *xs).sum()
    recorded = tg.autograd.grad(y, xs, create_graph=True)
    for found, plain in zip(recorded, tg.autograd.grad(y, xs), strict=True):
        np.testing.assert_array_equal(found.detach().numpy(), plain.numpy())


@pytest.mark.parametrize(("name", "x", "wanted"), SECOND)
def test_second_derivative(name: str, x: float, wanted: float) -> None:
    t = tg.tensor(x, dtype=tg.float64, requires_grad=True)
    (first,) = tg.autograd.grad(getattr(tg, name)(t), t, create_graph=True)
    if not first.requires_grad:
        assert wanted == 0
        return
    (second,) = tg.autograd.grad(first, t)
    same(second.numpy(), wanted)


def test_piecewise_rules_keep_nan_whatever_branch_it_would_take() -> None:
    x = tg.tensor([np.nan])
    for name in ("relu", "relu6", "leaky_relu", "elu", "selu", "hardtanh", "hardswish", "abs"):
        assert np.isnan(getattr(tg, name)(x).numpy()).all(), name
    assert np.isnan(tg.clamp(x, 0.0, 1.0).numpy()).all()
    assert np.isnan(tg.maximum(x, 0.0).numpy()).all()
    assert np.isnan(tg.minimum(0.0, x).numpy()).all()
    assert np.isnan(tg.sign(x).numpy()).all()


@pytest.mark.filterwarnings("error")
def test_numpy_never_warns() -> None:
    """inf and nan are results, not accidents worth a RuntimeWarning, forward and backward."""
    big = tg.tensor([3e38, -3e38, 0.0, np.inf], requires_grad=True)
    y = (big + big) - big * big / big
    y = y.exp().log() + (big @ big) + big.sum() + tg.tensor(1e300, dtype=tg.float64).float()
    y.sum().backward()
    big.detach().double().long()


def test_where_gives_each_side_its_own_gradient_only() -> None:
    a = tg.tensor([np.inf, 1.0], requires_grad=True)
    b = tg.tensor([2.0, np.nan], requires_grad=True)
    tg.where(tg.tensor([False, True]), a, b).sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert a.grad.tolist() == [0, 1]
    assert b.grad.tolist() == [1, 0]


def test_empty_axes_reduce_nothing() -> None:
    """As in NumPy (torch's sum over no axes is the sum over all)."""
    x = tg.tensor([[1.0, 2.0]])
    for name in ("sum", "mean", "amax", "logsumexp"):
        assert getattr(tg, name)(x, dim=()).tolist() == [[1.0, 2.0]], name


def test_argmax_of_ties_is_the_first() -> None:
    assert tg.argmax(tg.tensor([1.0, 3.0, 3.0])).item() == 1
    assert tg.argmin(tg.tensor([3.0, 1.0, 1.0])).item() == 1
    assert tg.argmax(tg.tensor([1.0, np.nan, 3.0])).item() == 1
