"""More layouts are NumPy's, and linear; derivatives are in `test_composites.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.graph.linear import check_linear
from tests.ops.samples import arrays, shapes
from tinygrad_edu.errors import ArgumentError, AxisError, ShapeError


@given(shapes(min_dims=2, max_dims=3).flatmap(arrays), st.data())
def test_linear_functions_are_numpys(x: np.ndarray, data: st.DataObject) -> None:
    k = data.draw(st.integers(-5, 5))
    axes = data.draw(st.permutations(range(x.ndim)))[:2]
    dim = axes[0]
    for ours, numpys in (
        (lambda t: tg.rot90(t, k, axes), lambda a: np.rot90(a, k, axes)),
        (tg.fliplr, np.fliplr),
        (tg.flipud, np.flipud),
        (tg.ravel, np.ravel),
        (lambda t: tg.diff(t, 2, dim), lambda a: np.diff(a, 2, dim)),
        (lambda t: tg.hstack([t, t]), lambda a: np.hstack([a, a])),
        (lambda t: tg.vstack([t, t]), lambda a: np.vstack([a, a])),
        (lambda t: tg.moveaxis(t, *axes), lambda a: np.moveaxis(a, *axes)),
        (lambda t: tg.broadcast_to(t, (2, *t.shape)), lambda a: np.broadcast_to(a, (2, *a.shape))),
    ):
        check_linear(ours, numpys, x)


@given(shapes(min_dims=1, max_dims=3, min_side=1).flatmap(arrays), st.data())
def test_unfold(x: np.ndarray, data: st.DataObject) -> None:
    dim = data.draw(st.integers(-x.ndim, x.ndim - 1))
    size = data.draw(st.integers(0, x.shape[dim]))
    step = data.draw(st.integers(1, 3))

    def windows(a: np.ndarray) -> np.ndarray:
        starts = range(0, a.shape[dim] - size + 1, step)
        parts = [np.moveaxis(a.take(range(i, i + size), dim), dim, -1) for i in starts]
        return np.stack(parts, dim % a.ndim)

    check_linear(lambda t: t.unfold(dim, size, step), windows, x)


def test_grids() -> None:
    x, y = tg.arange(3), tg.tensor(7)
    for indexing in ("ij", "xy"):
        ours = tg.meshgrid(x, y, indexing=indexing)
        theirs = np.meshgrid(np.arange(3), 7, indexing=indexing)
        assert [a.tolist() for a in ours] == [b.tolist() for b in theirs]
    assert [g.shape for g in tg.meshgrid([x, x])] == [(3, 3)] * 2  # type: ignore[arg-type]


def test_parts() -> None:
    x = tg.arange(12).reshape(3, 4)
    assert x.narrow(1, -2, 2).tolist() == x[:, 2:].tolist()
    assert x.select(0, 1).tolist() == [4, 5, 6, 7]
    assert x.take(tg.tensor([[0, -1]])).tolist() == [[0, 11]]
    assert x.unflatten(1, (2, -1)).shape == (3, 2, 2)
    assert x.t().shape == (4, 3)
    assert tg.trace(x).item() == 15
    assert tg.column_stack([tg.ones(2), tg.zeros(2, 2)]).shape == (2, 3)
    assert tg.diff(tg.tensor([True, False, False])).tolist() == [True, False]


def test_a_result_is_a_handle_of_its_own() -> None:
    """Where there is nothing to do, too: assigning to it leaves the operand as it is."""
    x = tg.ones(2)
    for y in (tg.broadcast_tensors(x)[0], tg.diff(x, 0), tg.rot90(x.reshape(1, 2), 4)):
        y += 1
    assert x.tolist() == [1, 1]


X = tg.ones(2, 3)
MISTAKES: list[Any] = [
    (lambda: tg.t(tg.ones(2, 2, 2)), ShapeError),
    (lambda: tg.unflatten(X, 1, (2, -1)), ShapeError),
    (lambda: tg.unflatten(X, 5, (3,)), AxisError),
    (lambda: tg.meshgrid(X), ShapeError),
    (lambda: tg.meshgrid(X[0], indexing="yx"), ArgumentError),
    (lambda: tg.narrow(X, 0, 1, 2), ShapeError),
    (lambda: tg.narrow(X, 0, 0, -1), ShapeError),
    (lambda: X.unfold(0, 3, 1), ShapeError),
    (lambda: X.unfold(0, 1, 0), ArgumentError),
    (lambda: tg.diff(X, -1), ArgumentError),
    (lambda: tg.diff(tg.tensor(1.0)), ShapeError),
    (lambda: tg.trace(X[0]), ShapeError),
    (lambda: tg.rot90(X, 1, (0, 0)), ArgumentError),
    (lambda: tg.vstack([]), ArgumentError),
    (lambda: tg.broadcast_tensors(X, tg.ones(2)), ShapeError),
]


@pytest.mark.parametrize(("call", "error"), MISTAKES)
def test_mistakes(call: Any, error: Any) -> None:
    with pytest.raises(error):
        call()
