"""Sorting, the k largest, and extremes with their positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.ops.samples import Array, relayout, seeds, shapes
from tests.ops.structure import order_of, orders
from tinygrad_edu.errors import ArgumentError, AxisError, ShapeError
from tinygrad_edu.graph.tensor import abstract


def check_picked(
    function: Callable[[Any], Any], x: Array, positions: Array, axis: int, seed: int
) -> None:
    """Values, positions, and the gradient: it goes to the positions, and nowhere else."""
    t = tg.tensor(x, requires_grad=True)
    values, indices = function(t)
    np.testing.assert_array_equal(indices.numpy(), positions)
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(values.detach().numpy(), np.take_along_axis(x, positions, axis))
    g = np.asarray(np.random.default_rng(seed).integers(-4, 5, values.shape), float)
    wanted = np.zeros(x.shape)
    np.put_along_axis(wanted, positions, g, axis)  # a position comes once
    (pulled,) = tg.autograd.grad(values, t, tg.tensor(g))
    np.testing.assert_array_equal(pulled.numpy(), wanted)
    traced = function(abstract(x.shape, x.dtype))
    assert [(y.shape, y.dtype) for y in traced] == [(y.shape, y.dtype) for y in (values, indices)]


@given(orders(), seeds)
def test_sort_is_stable_both_ways(sample: Any, seed: int) -> None:
    (x,), axis, descending = sample.xs, sample.params["axis"], sample.params["descending"]
    order = order_of(x, axis, descending)
    check_picked(lambda t: t.sort(axis, descending), x, order, axis, seed)
    np.testing.assert_array_equal(tg.argsort(x, axis, descending).numpy(), order)
    check_picked(lambda t: tg.sort(t, axis=axis - x.ndim, descending=descending, stable=True),
                 x, order, axis, seed)  # fmt: skip


@given(orders(), seeds, st.data())
def test_topk_takes_the_first_of_equal_ones(sample: Any, seed: int, data: st.DataObject) -> None:
    (x,), axis, largest = sample.xs, sample.params["axis"], sample.params["descending"]
    k = data.draw(st.integers(0, x.shape[axis]))
    order = np.take(order_of(x, axis, largest), range(k), axis)
    check_picked(lambda t: t.topk(k, axis, largest), x, order, axis, seed)
    check_picked(lambda t: tg.topk(t, k, dim=axis, largest=largest, sorted=False),
                 x, order, axis, seed)  # fmt: skip


@given(orders(), seeds)
def test_extremes_along_an_axis(sample: Any, seed: int) -> None:
    """Of equal ones, the first; values and positions keep the axis or lose it."""
    (x,), axis = sample.xs, sample.params["axis"]
    for name, find in (("max", np.argmax), ("min", np.argmin)):
        function = getattr(tg, name)
        positions = find(x, axis=axis, keepdims=True)
        check_picked(lambda t: function(t, axis, True), x, positions, axis, seed)  # noqa: B023
        found = function(tg.tensor(x), axis=axis)
        assert found.values.shape == found.indices.shape == positions.squeeze(axis).shape
        np.testing.assert_array_equal(found.indices.numpy(), positions.squeeze(axis))
        np.testing.assert_array_equal(found.values.numpy(), getattr(x, name)(axis=axis))


@given(shapes(min_side=1), seeds)
def test_the_extreme_of_all(shape: tuple[int, ...], seed: int) -> None:
    """Ties share the gradient evenly, as torch's max of all does."""
    x = np.asarray(np.random.default_rng(seed).integers(0, 3, shape), float)
    for name in ("max", "min"):
        t = tg.tensor(x, requires_grad=True)
        y = getattr(t, name)()
        assert y.item() == getattr(x, name)()
        y.backward()
        taken = x == y.item()
        np.testing.assert_array_equal(t.grad.numpy(), taken / taken.sum())


def test_extremes_of_two() -> None:
    a, b = tg.tensor([1.0, 5.0, 2.0]), tg.tensor([3.0, 4.0, 2.0])
    assert tg.max(a, b).tolist() == a.max(b).tolist() == [3, 5, 2]
    assert tg.min(a, b).tolist() == a.min(b.numpy()).tolist() == [1, 4, 2]


def test_nan_is_the_largest() -> None:
    x = tg.tensor([2.0, np.nan, 1.0, np.nan, np.inf])
    assert x.argsort().tolist() == [2, 0, 4, 1, 3]
    assert x.argsort(descending=True).tolist() == [1, 3, 4, 0, 2]
    assert x.topk(1).indices.tolist() == [1]
    assert x.max(0).indices.item() == x.min(0).indices.item() == 1


def test_other_dtypes() -> None:
    assert tg.tensor([3, 1, 2]).sort().values.tolist() == [1, 2, 3]
    assert tg.tensor([True, False]).sort().values.tolist() == [False, True]
    assert tg.tensor([3, 1]).max(0).values.dtype == np.int64
    assert tg.tensor([True, False]).max().dtype == np.bool_


def test_scalars_and_nothing() -> None:
    x = tg.tensor(2.0)
    for values, indices in (x.sort(), x.topk(1), x.max(0), x.min(-1)):
        assert (values.shape, values.item(), indices.item()) == ((), 2, 0)
    assert tg.zeros(2, 0).sort().values.shape == tg.zeros(2, 0).topk(0).indices.shape == (2, 0)


@pytest.mark.parametrize("layout", ["fortran", "reversed", "every second"])
def test_any_strides(layout: str) -> None:
    x = np.random.default_rng(0).permutation(12).reshape(3, 4)
    for found in (tg.sort(relayout(x, layout), 0).values, tg.sort(x, 0).values):
        np.testing.assert_array_equal(found.numpy(), np.sort(x, 0))


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda x: x.sort(2), AxisError, "(sort|argsort): axis 2"),
        (lambda x: x.topk(4), ArgumentError, r"topk: k is 0 to 3.*\(2, 3\), not 4"),
        (lambda x: x.topk(-1), ArgumentError, "topk: .*not -1"),
        (lambda x: x.topk(1, 2), AxisError, "topk: axis 2"),
        (lambda x: x.max(2), AxisError, "max: axis 2"),
        (lambda x: x[:0].max(0), ShapeError, r"(arg)?max: shape \(0, 3\)"),
        (lambda x: x[:0].min(), ShapeError, r"amin: shape \(0, 3\)"),
    ],
)
def test_misuse(act: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=f"^{text}"):
        act(tg.ones(2, 3))
