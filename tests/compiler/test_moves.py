"""Moves: what a compiled step copies is what NumPy's views say, down to a single element."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import basic_indices

import tinygrad_edu as tg
from tinygrad_edu.compiler.moves import _Strided
from tinygrad_edu.ops.structural import Key

SHAPE = (3, 2, 4)
VALUES = np.arange(24.0).reshape(SHAPE)

KEYS: list[Any] = [(0, 1, 2), (-1, -1, -1), (0, ..., 1, 2), (1, slice(1, 2), 3), (..., 0)]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_reading_one_element_or_few(key: Any) -> None:
    """A key of integers alone is a copy to NumPy, whose address means nothing here."""
    compiled = tg.compile(lambda x: x[key])
    for x in (VALUES, VALUES + 1):
        np.testing.assert_array_equal(compiled(x).numpy(), x[key])


def test_elements_of_a_vector() -> None:
    compiled = tg.compile(lambda x: (x[0], x[-1] * 2, *x.unbind(0)))
    found = [y.item() for y in compiled(np.array([3.0, -1.0, 5.0]))]
    assert found == [3.0, 10.0, 3.0, -1.0, 5.0]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_writing_and_differentiating(key: Any) -> None:
    def step(x: tg.Tensor, v: tg.Tensor) -> Any:
        x = x.detach().requires_grad_()
        y = x * 1
        y[key] = v
        return y, tg.autograd.grad((y * y).sum() + x[key].sum(), x)[0]

    v = tg.tensor(-VALUES[key])
    for found, wanted in zip(
        tg.compile(step)(tg.tensor(VALUES), v), step(tg.tensor(VALUES), v), strict=True
    ):
        np.testing.assert_array_equal(found.detach().numpy(), wanted.detach().numpy())


@given(basic_indices(SHAPE, allow_newaxis=True, allow_ellipsis=True))
def test_a_part_lies_where_numpy_says(key: Any) -> None:
    """Offset and strides of a part, as those of NumPy's view of a real array."""
    parts = key if isinstance(key, tuple) else (key,)
    layout, base = _Strided(SHAPE, 8), np.zeros(SHAPE)
    found = layout.part(Key(parts))
    wanted = base[parts if Ellipsis in parts else (*parts, ...)]
    assert found.shape == wanted.shape
    if found.size:
        address = wanted.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        assert layout.offset(found) == address
        assert found.strides == wanted.strides
