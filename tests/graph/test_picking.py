"""Picking elements by position, and putting them there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.graph.linear import check_linear
from tests.ops.samples import arrays, seeds, shapes
from tinygrad_edu.errors import (
    ArgumentError,
    AxisError,
    DTypeError,
    IndexingError,
    ShapeError,
    TinygradError,
)
from tinygrad_edu.graph.tensor import abstract


@st.composite
def positions(draw: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """An array, an index for `gather` that is nowhere larger but along the axis, and the axis."""
    x = draw(shapes(min_dims=1, min_side=1).flatmap(arrays))
    axis = draw(st.integers(0, x.ndim - 1))
    shape = [draw(st.integers(0, n)) for n in x.shape]
    shape[axis] = draw(st.integers(0, 4))
    index = np.random.default_rng(draw(seeds)).integers(0, x.shape[axis], shape)
    return x, index, axis - x.ndim if draw(st.booleans()) else axis


def places(index: np.ndarray, axis: int) -> Any:
    """For every element of the index: where it is, and where it points to."""
    for here in np.ndindex(index.shape):
        there = list(here)
        there[axis] = index[here]
        yield here, tuple(there)


def gathered(x: np.ndarray, index: np.ndarray, axis: int) -> np.ndarray:
    y = np.zeros(index.shape)
    for here, there in places(index, axis):
        y[here] = x[there]
    return y


def added(x: np.ndarray, index: np.ndarray, axis: int, src: np.ndarray) -> np.ndarray:
    y = x.copy()
    for here, there in places(index, axis):
        y[there] += src[here]
    return y


@given(positions())
def test_gather(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    x, index, axis = case
    check_linear(lambda t: t.gather(axis, tg.tensor(index)), lambda a: gathered(a, index, axis), x)
    check_linear(lambda t: tg.gather(t, axis, index), lambda a: gathered(a, index, axis), x)


@given(positions())
def test_a_trace_does_not_ask_for_positions(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    x, index, axis = case
    t, i = abstract(x.shape, x.dtype), abstract(index.shape, index.dtype)
    assert t.gather(axis, i).shape == index.shape
    assert t.scatter_add(axis, i, abstract(index.shape, x.dtype)).shape == x.shape


@given(positions(), st.data())
def test_scatter_add(case: tuple[np.ndarray, np.ndarray, int], data: st.DataObject) -> None:
    x, index, axis = case
    shape = tuple(n + data.draw(st.integers(0, 2)) for n in index.shape)
    src, zeros = data.draw(arrays(shape)), np.zeros(x.shape)
    check_linear(
        lambda t: tg.tensor(zeros).scatter_add(axis, tg.tensor(index), t),
        lambda a: added(zeros, index, axis, a),
        src,
    )
    check_linear(
        lambda t: t.scatter_add(axis, tg.tensor(index), tg.zeros(shape, dtype="float64")),
        lambda a: a,
        x,
    )


@given(positions(), seeds)
def test_scatter_keeps_the_last(case: tuple[np.ndarray, np.ndarray, int], seed: int) -> None:
    x, index, axis = case
    src = np.random.default_rng(seed).normal(size=index.shape)
    wanted, source = x.copy(), np.full(x.shape, -1)
    order = np.arange(index.size).reshape(index.shape)
    for here, there in places(index, axis):
        wanted[there], source[there] = src[here], order[here]
    t, s = tg.tensor(x, requires_grad=True), tg.tensor(src, requires_grad=True)
    y = t.scatter(axis, tg.tensor(index), s)
    np.testing.assert_array_equal(y.detach().numpy(), wanted)
    to_x, to_src = tg.autograd.grad(y.sum(), [t, s])
    np.testing.assert_array_equal(to_x.numpy(), source == -1)
    np.testing.assert_array_equal(to_src.numpy(), np.isin(order, source))
    filled = tg.scatter(x, axis, index, 7)
    np.testing.assert_array_equal(filled.numpy(), np.where(source == -1, x, 7))


@given(positions(), st.data())
def test_take_along_dim(case: tuple[np.ndarray, np.ndarray, int], data: st.DataObject) -> None:
    x, _, axis = case
    shape = [1 if data.draw(st.booleans()) else n for n in x.shape]
    shape[axis] = data.draw(st.integers(0, 4))
    size = x.shape[axis]
    index = np.random.default_rng(data.draw(seeds)).integers(-size, size, shape)
    check_linear(
        lambda t: t.take_along_dim(tg.tensor(index), axis),
        lambda a: np.take_along_axis(a, index, axis),
        x,
    )
    flat = np.asarray(index % x.size).ravel()
    check_linear(lambda t: t.take_along_dim(tg.tensor(flat)), lambda a: a.ravel()[flat], x)


@given(positions())
def test_index_select(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    x, index, axis = case
    row = index.ravel()
    check_linear(lambda t: t.index_select(axis, tg.tensor(row)), lambda a: np.take(a, row, axis), x)


@given(positions())
def test_repeat_interleave(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    x, index, axis = case
    times = np.resize(index.ravel() + 1, x.shape[axis]) if index.size else np.array(2)
    check_linear(
        lambda t: t.repeat_interleave(tg.tensor(times), axis),
        lambda a: np.repeat(a, times, axis),
        x,
    )
    check_linear(lambda t: np.repeat(t, 3), lambda a: np.repeat(a, 3), x)


def test_what_argmax_and_argsort_return_fits() -> None:
    x = tg.tensor([[3.0, 1.0, 2.0], [4.0, 6.0, 5.0]])
    assert x.take_along_dim(x.argmax(1, keepdim=True), 1).tolist() == [[3], [6]]
    assert x.take_along_dim(x.argsort(1), 1).tolist() == [[1, 2, 3], [4, 5, 6]]


def test_scalars() -> None:
    x, zero = tg.tensor(5.0), tg.tensor(0)
    assert x.gather(0, zero).item() == x.index_select(0, zero).item() == 5
    assert x.gather(0, tg.tensor([0, 0])).tolist() == [5, 5]
    assert x.scatter_add(0, zero, tg.tensor(2.0)).item() == 7
    assert x.scatter(0, zero, 2.0).item() == 2
    assert x.take_along_dim(zero.reshape(1)).tolist() == [5]


# ------------------------------------------------------------------------------ diagonals


@given(shapes(min_dims=2).flatmap(arrays), st.integers(-3, 3), st.data())
def test_diagonal(x: np.ndarray, offset: int, data: st.DataObject) -> None:
    a, b = data.draw(st.permutations(range(x.ndim)))[:2]
    b -= x.ndim
    check_linear(
        lambda t: t.diagonal(offset, a, b),
        lambda y: np.diagonal(y, offset, a, b),
        x,
    )


@given(shapes(min_dims=1, max_dims=2).flatmap(arrays), st.integers(-3, 3))
def test_diag(x: np.ndarray, offset: int) -> None:
    check_linear(lambda t: tg.diag(t, offset), lambda a: np.diag(a, offset), x)


@given(shapes(min_dims=2).flatmap(arrays), st.integers(-3, 3))
def test_triangles(x: np.ndarray, k: int) -> None:
    check_linear(lambda t: t.tril(k), lambda a: np.tril(a, k), x)
    check_linear(lambda t: t.triu(k), lambda a: np.triu(a, k), x)


def test_triangles_drop_what_is_no_number() -> None:
    x = tg.tensor([[1.0, np.nan], [np.inf, 1.0]], requires_grad=True)
    assert x.detach().tril().triu().tolist() == [[1, 0], [0, 1]]
    x.tril().triu().sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[1, 0], [0, 1]]


# ------------------------------------------------------------------------------ misuse

P, F = tg.tensor([[0, 1]]), tg.tensor([[0.0, 1.0]])


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda x: x.gather(1, P + 2), IndexingError, "gather: position 3 .*axis 1.*0 to 2"),
        (lambda x: x.gather(1, P - 1), IndexingError, "gather: position -1 does not exist"),
        (lambda x: x.gather(1, F), DTypeError, "gather: positions are integers, not float32"),
        (lambda x: x.gather(1, P > 0), DTypeError, "gather: positions are integers, not bool"),
        (lambda x: x.gather(1, P[0]), ShapeError, r"gather: an index of shape \(2,\)"),
        (lambda x: x.gather(1, tg.zeros(3, 1).long()), ShapeError, r"gather: .*\(3, 1\)"),
        (lambda x: x.gather(2, P), AxisError, "gather: axis 2"),
        (lambda x: x.scatter_add(1, P + 2, F), IndexingError, "scatter_add: position 3"),
        (lambda x: x.scatter_add(1, P, F[:, :1]), ShapeError, "scatter_add: .*more places"),
        (lambda x: x.scatter_add(1, P, F.double()), DTypeError, "scatter_add: .*float64"),
        (lambda x: x.scatter(1, P - 1, F), IndexingError, "scatter: position -1"),
        (lambda x: x.index_select(0, P[0] + 1), IndexingError, "index_select: position 2"),
        (lambda x: x.index_select(0, P), ShapeError, r"index_select: .*\(1, 2\)"),
        (lambda x: x.repeat_interleave(P[0], 1), ShapeError, r"repeat_interleave: .*\(2,\) for 3"),
        (lambda x: x.repeat_interleave(-1), ArgumentError, "repeat_interleave: .*-1 times"),
        (lambda x: x.repeat_interleave(0.5), DTypeError, "repeat_interleave: .*float32"),
        (lambda x: x.take_along_dim(P + 2, 1), IndexingError, "take_along_dim|gather: position 3"),
        (lambda x: x.take_along_dim(P[0], 1), ShapeError, "take_along_dim: .*as many axes"),
        (lambda x: x.take_along_dim(tg.zeros(3, 2).long(), 1), ShapeError, "take_along_dim: .*bro"),
        (lambda x: x.diagonal(0, 1, -1), AxisError, "diagonal: axes 1 and -1"),
        (lambda x: x[0].diagonal(), AxisError, "diagonal: axis 1"),
        (lambda x: tg.diag(tg.ones(2, 2, 2)), ShapeError, r"diag: .*\(2, 2, 2\)"),
        (lambda x: x[0].tril(), ShapeError, r"tril: shape \(3,\)"),
    ],
)
def test_misuse(act: Any, error: type[TinygradError], text: str) -> None:
    with pytest.raises(error, match=f"^({text})"):
        act(tg.ones(2, 3))


@pytest.mark.parametrize("shape", [(3, 3), (2, 0, 3)])
def test_truth_values_stay_truth_values(shape: tuple[int, ...]) -> None:
    x = tg.ones(shape, dtype=tg.bool)
    for y in (tg.tril(x), tg.triu(x, 1), x.scatter(-1, tg.zeros(shape, dtype=tg.int64), False)):
        assert y.dtype == tg.bool
    first = tg.ones(2, dtype=tg.bool).scatter(0, tg.tensor([1]), tg.tensor([False]))
    assert first.tolist() == [True, False]
