"""Finding elements, and changing slices by position; derivatives are in `test_composites.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.ops.samples import seeds
from tinygrad_edu.errors import DTypeError, IndexingError, ShapeError, TraceError


@given(seeds, st.integers(0, 3))
def test_what_is_found_is_numpys(seed: int, ndim: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, rng.integers(0, 4, ndim))
    t = tg.tensor(x)
    assert tg.nonzero(t).tolist() == np.argwhere(x).tolist()
    assert tg.unique(t).tolist() == np.unique(x).tolist()
    values, inverse, counts = tg.unique(t, return_inverse=True, return_counts=True)
    assert values[inverse].tolist() == x.tolist()
    assert counts.sum().item() == x.size
    assert tg.masked_select(t, t > 1).tolist() == x[x > 1].tolist()


def test_masked_select_lets_the_gradient_through() -> None:
    x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    picked = x.masked_select(tg.tensor([[True], [False]]))
    assert picked.tolist() == [1, 2, 3]
    (picked * picked).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2, 4, 6]


def test_slices_named_twice() -> None:
    x, index = tg.zeros(3, 2), tg.tensor([1, 1])
    rows = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert x.index_add(0, index, rows).tolist() == [[0, 0], [4, 6], [0, 0]]
    assert x.index_add(0, index, rows, alpha=0.5).tolist()[1] == [2, 3]
    copied = x.index_copy(0, index, rows)
    assert copied.tolist() == [[0, 0], [3, 4], [0, 0]]
    copied.sum().backward()
    assert rows.grad is not None
    assert rows.grad.tolist() == [[0, 0], [1, 1]]
    assert x.index_fill(1, tg.tensor([1]), 7.0).tolist() == [[0, 7]] * 3
    assert x.tolist() == [[0, 0]] * 3


def test_scalars() -> None:
    one, zero = tg.tensor(1.0), tg.tensor([0])
    assert one.index_add(0, zero, tg.tensor(2.0)).item() == 3
    assert one.index_copy(0, zero, tg.tensor(2.0)).item() == 2
    assert one.index_fill(0, zero, 5.0).item() == 5
    assert tg.nonzero(one).shape == (1, 0)


@pytest.mark.parametrize("function", [tg.nonzero, tg.unique, lambda x: tg.masked_select(x, x > 0)])
def test_shapes_that_depend_on_values_cannot_be_compiled(function: Any) -> None:
    with pytest.raises(TraceError):
        tg.compile(function)(tg.ones(2))


X, ROWS = tg.ones(3, 2), tg.tensor([0, 1])
MISTAKES: list[Any] = [
    (lambda: tg.masked_select(X, tg.tensor([1, 0])), DTypeError),
    (lambda: X.index_add(0, ROWS, tg.ones(3, 2)), ShapeError),
    (lambda: X.index_add(0, ROWS, tg.ones(2, 2, dtype=tg.float64)), DTypeError),
    (lambda: X.index_add(0, tg.tensor([3]), tg.ones(1, 2)), IndexingError),
    (lambda: X.index_add(0, ROWS.reshape(1, 2), tg.ones(2, 2)), ShapeError),
    (lambda: X.index_copy(1, ROWS, tg.ones(2, 2)), ShapeError),
    (lambda: X.index_copy(1, ROWS, tg.ones(3, 2).long()), DTypeError),
    (lambda: X.index_fill(0, ROWS, tg.ones(2)), ShapeError),
]


@pytest.mark.parametrize(("call", "error"), MISTAKES)
def test_mistakes(call: Any, error: Any) -> None:
    with pytest.raises(error):
        call()
