"""`cumsum`, `cumprod` and `prod`: values, and derivatives where factors are 0."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.graph.linear import check_linear
from tests.ops.samples import Array, arrays, seeds, shapes
from tests.ops.structure import reductions
from tinygrad_edu.errors import AxisError
from tinygrad_edu.graph.tensor import abstract


@st.composite
def with_axis(draw: Any) -> tuple[Array, int]:
    x = draw(shapes(min_dims=1).flatmap(arrays))
    return x, draw(st.integers(-x.ndim, x.ndim - 1))


@given(with_axis())
def test_cumsum(case: tuple[Array, int]) -> None:
    x, axis = case
    check_linear(lambda t: t.cumsum(axis), lambda a: np.cumsum(a, axis), x)
    check_linear(lambda t: tg.cumsum(t, axis=axis), lambda a: np.cumsum(a, axis), x)


def test_float32_sums_do_not_drift() -> None:
    """The total is kept in float64: every result is the nearest float32."""
    x = np.random.default_rng(0).random(1 << 16, np.float32)
    wanted = np.cumsum(x.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_equal(tg.cumsum(x, 0).numpy(), wanted)


@given(with_axis())
def test_cumprod_values(case: tuple[Array, int]) -> None:
    x, axis = case
    found = tg.cumprod(x, axis)
    np.testing.assert_allclose(found.numpy(), np.cumprod(x, axis), rtol=1e-15 * 4)
    assert tg.cumprod(abstract(x.shape, x.dtype), axis).shape == x.shape


@given(reductions())
def test_prod_values(sample: Any) -> None:
    (x,), axes, keep = sample.xs, sample.params["axes"], sample.params["keepdims"]
    found = tg.prod(x, axes, keep)
    wanted = np.prod(x, axis=axes, keepdims=keep)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found.numpy(), wanted, rtol=27 * 2.3e-16)  # of at most 27 factors
    assert abstract(x.shape, x.dtype).prod(axes, keep).shape == wanted.shape


# A derivative of a product leaves out the factors it is taken by; twice by one factor, it is 0.


def without(x: Array, *left_out: int) -> float:
    return 0.0 if len(set(left_out)) < len(left_out) else math.prod(np.delete(x, left_out))


@given(st.lists(st.sampled_from([0.0, 0.0, 2.0, -3.0]), min_size=1, max_size=6))
def test_derivatives_of_prod_of_order_three(factors: list[float]) -> None:
    """Exact, whatever number of factors is 0."""
    x = np.array(factors)
    t = tg.tensor(x, requires_grad=True)
    (first,) = tg.autograd.grad(t.prod(), t, create_graph=True)
    assert first.tolist() == [without(x, i) for i in range(len(x))]
    for i in range(len(x)):
        if not first.requires_grad:  # of one factor
            continue
        (second,) = tg.autograd.grad(first[i], t, create_graph=True)
        assert second.tolist() == [without(x, i, j) for j in range(len(x))]
        for j in range(len(x)) if second.requires_grad else ():
            (third,) = tg.autograd.grad(second[j], t, create_graph=True)
            assert third.tolist() == [without(x, i, j, k) for k in range(len(x))]


@given(
    st.lists(st.sampled_from([0.0, 0.0, 2.0, -3.0]), min_size=1, max_size=5),
    seeds,
)
def test_derivatives_of_cumprod_of_order_two(factors: list[float], seed: int) -> None:
    x, n = np.array(factors), len(factors)
    g = np.asarray(np.random.default_rng(seed).integers(-3, 4, n), float)
    t = tg.tensor(x, requires_grad=True)
    (first,) = tg.autograd.grad(t.cumprod(0), t, tg.tensor(g), create_graph=True)
    wanted = [sum(g[k] * without(x[: k + 1], i) for k in range(i, n)) for i in range(n)]
    assert first.tolist() == wanted
    for i in range(n) if first.requires_grad else ():
        (second,) = tg.autograd.grad(first[i], t, create_graph=True)
        wanted = [
            sum(g[k] * without(x[: k + 1], i, j) for k in range(max(i, j), n)) for j in range(n)
        ]
        assert second.tolist() == wanted


@pytest.mark.parametrize("name", ["prod", "cumprod", "cumsum"])
def test_whole_numbers(name: str) -> None:
    for dtype in ("bool", "int32", "int64"):
        y = getattr(tg.ones(3, dtype=dtype), name)(0)
        assert y.dtype == np.int64
        assert y.tolist() == getattr(np, name)(np.ones(3, np.int64), 0).tolist()


def test_scalars_and_nothing() -> None:
    x = tg.tensor(3.0, requires_grad=True)
    for y in (x.prod(), x.prod(0), x.cumsum(0), x.cumprod(-1)):
        assert (y.shape, y.item()) == ((), 3)
    nothing = tg.zeros(0, 2, requires_grad=True)
    y = nothing.prod(0)
    assert y.tolist() == [1, 1]
    y.sum().backward()
    assert nothing.grad.shape == (0, 2)
    assert nothing.prod().item() == 1
    assert nothing.cumprod(0).shape == nothing.cumsum(0).shape == (0, 2)


@pytest.mark.parametrize("name", ["prod", "cumprod", "cumsum"])
def test_an_axis_that_does_not_exist(name: str) -> None:
    for shape, dim in itertools.product([(2, 3), ()], [2, -3]):
        with pytest.raises(AxisError, match=f"^{name}: axis {dim} does not exist"):
            getattr(tg.ones(shape), name)(dim)
