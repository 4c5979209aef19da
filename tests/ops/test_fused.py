"""Fused composites equal their definitions: values, derivatives of two orders, and traces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.ops.cases import FUSED
from tinygrad_edu.graph.reader import apply, compose, graph_reader
from tinygrad_edu.graph.tensor import abstract
from tinygrad_edu.ops import TABLE, Fused

every_fused_op = pytest.mark.parametrize("name", sorted(FUSED))


def inputs(sample: object) -> list[tg.Tensor]:
    return [tg.tensor(x, requires_grad=x.dtype.kind == "f") for x in sample.xs]


def derivatives(y: tg.Tensor, xs: list[tg.Tensor], g: tg.Tensor) -> list[np.ndarray]:
    """Value, gradients, and gradients of a fixed function of the gradients."""
    leaves = [x for x in xs if x.requires_grad]
    first = tg.autograd.grad(y, leaves, g, create_graph=True)
    total = sum((d * d * d).sum() for d in first)
    second = tg.autograd.grad(total, leaves, allow_unused=True) if total.requires_grad else [None]
    return [y.detach().numpy(), *(d.detach().numpy() for d in first)] + [
        d.numpy() for d in second if d is not None
    ]


@every_fused_op
@settings(max_examples=20)
@given(data=st.data())
def test_equals_its_definition(name: str, data: st.DataObject) -> None:
    op = TABLE[name]
    sample = data.draw(FUSED[name].samples)
    ours, theirs = inputs(sample), inputs(sample)
    y = apply(op, *ours, **sample.params)
    z = op.definition(graph_reader(y.dtype), *theirs, **sample.params)
    g = tg.tensor(np.cos(np.arange(y.numel())).reshape(y.shape))
    for a, b in zip(derivatives(y, ours, g), derivatives(z, theirs, g), strict=False):
        # a few roundings of numbers of order 1 to 100
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


@every_fused_op
@settings(max_examples=5)
@given(data=st.data())
def test_a_trace_records_the_definition(name: str, data: st.DataObject) -> None:
    """Or, if the op asks for it, the op; then its definition gives the same shape and dtype. So
    only such ops are left."""
    op = TABLE[name]
    sample = data.draw(FUSED[name].samples)
    xs = [abstract(x.shape, x.dtype) for x in sample.xs]
    traced = compose(op, *xs, **sample.params)
    real = compose(op, *map(tg.tensor, sample.xs), **sample.params)
    assert (traced.shape, traced.dtype) == (real.shape, real.dtype)
    if op.whole:
        assert traced.node.op is op
        assert traced.node.inputs == tuple(x.node for x in xs)
        traced = op.definition(graph_reader(real.dtype), *xs, **sample.params)
        assert (traced.shape, traced.dtype) == (real.shape, real.dtype)
    stack = [traced.node]
    while stack:
        node = stack.pop()
        assert not isinstance(node.op, Fused) or node.op.whole
        stack.extend(node.inputs)


def test_large_scores_do_not_overflow() -> None:
    scores = tg.tensor([[1000.0, 0.0], [-1000.0, 0.0]], requires_grad=True)
    losses = tg.nn.functional.cross_entropy(scores, np.array([1, 0]), reduction="none")
    np.testing.assert_allclose(losses.detach().numpy(), [1000.0, 1000.0])
    losses.sum().backward()
    np.testing.assert_allclose(scores.grad.numpy(), [[1, -1], [-1, 1]])
