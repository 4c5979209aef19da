"""Pooling to a given size, against loops; against torch in `tests/peers`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError

sizes = st.integers(1, 7)


def windows(n: int, count: int) -> list[slice]:
    return [slice(i * n // count, math.ceil((i + 1) * n / count)) for i in range(count)]


@settings(max_examples=40, deadline=None)
@given(height=sizes, width=sizes, rows=sizes, columns=sizes)
def test_means_and_largest(height: int, width: int, rows: int, columns: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, height, width))
    planes = [[x[:, a, b] for b in windows(width, columns)] for a in windows(height, rows)]
    mean, largest = (
        np.moveaxis([[f(part, (1, 2)) for part in row] for row in planes], -1, 0)
        for f in (np.mean, np.max)
    )
    t = tg.tensor(x)
    np.testing.assert_allclose(
        tg.adaptive_avg_pool2d(t, (rows, columns)).numpy(), mean, rtol=1e-13, atol=1e-15
    )
    values, places = tg.adaptive_max_pool2d(t, (rows, columns), return_indices=True)
    assert values.tolist() == largest.tolist()
    flat = t.reshape(2, -1)
    assert flat.gather(1, places.reshape(2, -1)).tolist() == values.reshape(2, -1).tolist()


@pytest.mark.parametrize("size", [3, 4])
def test_derivatives_and_compiled(size: int) -> None:
    x = tg.tensor(np.random.default_rng(1).normal(size=(2, 8)), requires_grad=True)
    for pool in (tg.adaptive_avg_pool1d, tg.adaptive_max_pool1d):
        assert tg.autograd.gradcheck(lambda x, pool=pool: pool(x, size), [x])
        assert tg.autograd.gradgradcheck(lambda x, pool=pool: pool(x, size) ** 2, [x])
        found = tg.compile(lambda x, pool=pool: pool(x, size))(x)
        np.testing.assert_allclose(found.numpy(), pool(x, size).detach().numpy(), rtol=1e-14)


def test_edges() -> None:
    x = np.array([[1.0, np.inf, 2.0, 2.0, np.nan]])
    assert tg.adaptive_avg_pool1d(x, 5).tolist()[0][:4] == [1, np.inf, 2, 2]
    assert tg.adaptive_avg_pool1d(x[:, :4], 3).tolist() == [[np.inf, np.inf, 2]]
    assert np.isnan(tg.adaptive_max_pool1d(x, 2).tolist()[0][1])
    tie = tg.tensor(np.ones((1, 5)), requires_grad=True)
    tg.adaptive_max_pool1d(tie, 2).sum().backward()
    assert tie.grad is not None
    assert tie.grad.tolist() == [[1, 0, 1, 0, 0]]  # the first of each window


MISTAKES: list[Any] = [
    ((np.zeros((3, 4)), 2), ShapeError),
    ((np.zeros((1, 3, 0)), 2), ShapeError),
    ((np.zeros((1, 3, 4)), 0), ArgumentError),
    ((np.zeros((1, 3, 4)), (1, 2, 3)), ArgumentError),
    ((np.zeros((1, 3, 4), int), 2), DTypeError),
]


@pytest.mark.parametrize(("args", "error"), MISTAKES)
def test_mistakes(args: Any, error: Any) -> None:
    for pool in (tg.adaptive_avg_pool2d, tg.adaptive_max_pool2d):
        with pytest.raises(error):
            pool(*args)
