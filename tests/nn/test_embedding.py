"""Embedding: rows by number, the padding row, and numbers that name no row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.errors import ArgumentError, DTypeError, IndexingError, ShapeError
from tinygrad_edu.graph.tensor import abstract
from tinygrad_edu.nn import functional as F


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (0,)])
@pytest.mark.parametrize("padding", [None, 2, -1])
def test_rows_and_their_gradient(shape: tuple[int, ...], padding: int | None) -> None:
    """A row gets the sum of the cotangents of its uses; the padding row none."""
    rng = np.random.default_rng(0)
    numbers, table = rng.integers(0, 5, shape), rng.normal(size=(5, 3))
    weight = tg.tensor(table, requires_grad=True)
    y = F.embedding(numbers, weight, padding)
    np.testing.assert_array_equal(y.detach().numpy(), table[numbers])
    g = rng.normal(size=(*shape, 3))
    y.backward(tg.tensor(g))
    wanted = np.zeros((5, 3))
    for k, row in zip(numbers.ravel(), g.reshape(-1, 3), strict=True):
        wanted[k] += row
    if padding is not None:
        wanted[padding] = 0
    np.testing.assert_allclose(weight.grad.numpy(), wanted, atol=1e-15)


def test_the_layer_starts_standard_normal_with_a_padding_row_of_zeros() -> None:
    tg.manual_seed(0)
    plain = nn.Embedding(400, 50)
    assert plain.weight.law.family == "normal"
    values = plain.weight.detach().numpy()
    assert abs(values.mean()) < 7 / np.sqrt(values.size)  # seven standard deviations
    assert abs(values.var() - 1) < 7 * np.sqrt(2 / values.size)
    padded = nn.Embedding(6, 4, padding_idx=-2)
    assert padded.padding_idx == 4
    assert padded.weight.tolist()[4] == [0] * 4
    (padded(tg.tensor([4, 4, 1])) ** 2).sum().backward()
    assert not padded.weight.grad.numpy()[[0, 2, 3, 4, 5]].any()
    assert repr(padded) == "Embedding(6, 4, padding_idx=4)"
    assert repr(plain) == "Embedding(400, 50)"


def test_a_trace() -> None:
    assert nn.Embedding(6, 4, padding_idx=0)(abstract((2, 3), tg.int64)).shape == (2, 3, 4)


@pytest.mark.parametrize("numbers", [[0, 6], [-1], [[7]]])
def test_numbers_that_name_no_row(numbers: Any) -> None:
    with pytest.raises(IndexingError, match=r"embedding: row numbers run from .* rows 0 to 5"):
        nn.Embedding(6, 4)(np.array(numbers))


def test_what_is_refused() -> None:
    with pytest.raises(DTypeError, match="integers, not float32"):
        nn.Embedding(6, 4)(tg.ones(3))
    with pytest.raises(ShapeError, match=r"\(rows, width\)"):
        F.embedding(np.array([0]), np.ones(3))
    for make in (
        lambda: nn.Embedding(0, 4),
        lambda: nn.Embedding(4, 0),
        lambda: nn.Embedding(4, 4, padding_idx=4),
        lambda: F.embedding(np.array([0]), np.ones((3, 2)), -4),
    ):
        with pytest.raises(ArgumentError):
            make()


def test_a_table_drawn_anew_keeps_its_padding_at_zero() -> None:
    table = nn.Embedding(5, 4, padding_idx=2)
    law = table.weight.law
    assert law is not None
    assert (law.family, law.mean, law.variance) == ("normal", 0.0, 1.0)
    drawn = law.draw(np.random.default_rng(0), table.weight.shape)
    assert [bool(row.any()) for row in drawn] == [True, True, False, True, True]
