"""Dropout: the law of what is dropped, its key, its derivative, and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.ops.samples import seeds, shapes
from tinygrad_edu import nn
from tinygrad_edu.errors import ArgumentError, DTypeError
from tinygrad_edu.graph.creation import random_state
from tinygrad_edu.graph.tensor import abstract
from tinygrad_edu.nn import functional as F


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_so_many_are_dropped(p: float) -> None:
    """The number dropped of n is binomial, up to 2^-24 in p. By Hoeffding it is further than t from
    n p with probability 2 exp(-2 t^2 / n) at most; t makes that 1e-12."""
    n = 100_000
    t = math.sqrt(n * math.log(2 / 1e-12) / 2)
    tg.manual_seed(0)
    y = F.dropout(tg.ones(n), p).numpy()
    assert abs((y == 0).sum() - n * p) <= t
    np.testing.assert_allclose(y[y != 0], 1 / (1 - p), rtol=1e-6)


def test_values_are_dropped_independently_of_each_other() -> None:
    """Of neighbours both are dropped with probability p^2: sums over disjoint pairs are binomial,
    bounded as above."""
    n, p = 100_000, 0.3
    tg.manual_seed(1)
    dropped = F.dropout(tg.ones(n, 2), p).numpy() == 0
    t = math.sqrt(n * math.log(2 / 1e-12) / 2)
    assert abs(dropped.all(1).sum() - n * p**2) <= t
    assert abs(dropped[::2].all(1).sum() - n / 2 * p**2) <= t


@given(seed=seeds, shape=shapes(min_dims=1), p=st.floats(0.01, 0.99))
def test_what_is_dropped_is_a_function_of_the_key(
    seed: int, shape: tuple[int, ...], p: float
) -> None:
    """The next draw of `rand` decides: whoever draws it, eager or compiled, drops the same; and at
    either precision."""
    tg.manual_seed(seed)
    keep = tg.rand(shape).numpy() >= p
    for dtype in (np.float32, np.float64):
        x = np.arange(1, 1 + math.prod(shape), dtype=dtype).reshape(shape)
        tg.manual_seed(seed)
        y = F.dropout(x, p)
        assert y.dtype == dtype
        assert random_state() == (seed, 1)
        np.testing.assert_array_equal(y.numpy(), np.where(keep, x / dtype(1 - p), 0))


def test_draws_differ() -> None:
    layer, x = nn.Dropout(0.5), tg.ones(1000)
    assert layer(x).tolist() != layer(x).tolist()


@given(seed=seeds)
def test_gradient_passes_where_values_pass(seed: int) -> None:
    tg.manual_seed(seed)
    x = tg.tensor(np.random.default_rng(seed).normal(size=(4, 5)), requires_grad=True)
    y = F.dropout(x, 0.4)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy() * x.detach().numpy(), y.detach().numpy(), rtol=1e-15)


def test_infinities_that_are_dropped_are_gone() -> None:
    tg.manual_seed(0)
    y = F.dropout(tg.full((100,), math.inf), 0.5).numpy()
    assert set(y) == {0.0, math.inf}


def test_evaluation_is_the_identity_and_draws_nothing() -> None:
    x, before = tg.randn(5), random_state()
    assert nn.Dropout(0.9).eval()(x) is x
    assert F.dropout(x, 0.9, training=False) is x
    assert nn.Dropout(0.0)(x) is x
    assert random_state() == (before[0], before[1] + 0)


def test_a_trace_keeps_it_whole_and_draws_nothing() -> None:
    before = random_state()
    y = nn.Dropout(0.3)(abstract((4, 5)))
    assert random_state() == before
    assert (y.node.op.name, dict(y.node.params)) == ("dropout", {"p": 0.3})
    keep = y.node.inputs[1]
    assert (keep.op.name, keep.shape, keep.dtype) == ("ge", (4, 5), tg.bool)
    assert keep.inputs[0].op is None
    assert keep.inputs[0].is_abstract


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, math.nan])
def test_probabilities_out_of_range(p: float) -> None:
    with pytest.raises(ArgumentError, match=r"Dropout: p is .* in \[0, 1\)"):
        nn.Dropout(p)
    with pytest.raises(ArgumentError, match="dropout: p is"):
        F.dropout(tg.ones(3), p, training=False)


def test_integers_are_refused() -> None:
    with pytest.raises(DTypeError, match=r"dropout: needs floats.*\.float\(\)"):
        F.dropout(np.arange(3))


def test_printing() -> None:
    assert repr(nn.Dropout()) == "Dropout(p=0.5, inplace=False)"
