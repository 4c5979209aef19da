"""Whatever form the data has, training gets batches of pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.data import DataLoader, TensorDataset
from tinygrad_edu.errors import DataError
from tinygrad_edu.train.batches import batches_of, pairs

MODEL = nn.Linear(2, 1)
X, Y = np.arange(10.0).reshape(5, 2), np.arange(5)


@pytest.mark.parametrize(
    "data",
    [(X, Y), (X.tolist(), Y.tolist()), (tg.tensor(X, requires_grad=True), tg.tensor(Y))],
)
def test_pairs_of_arrays_get_the_models_dtype(data: Any) -> None:
    batches = batches_of(data, MODEL, 2)
    x, y = next(pairs(batches))
    assert (x.shape, x.dtype, y.dtype) == ((2, 2), tg.float32, tg.int64)
    assert x.tolist() == X[:2].tolist()
    assert len(batches) == 3
    double = next(pairs(batches_of(data, nn.Linear(2, 1, dtype=tg.float64), 2)))[0]
    assert double.dtype == tg.float64
    assert next(pairs(batches_of((X, Y), nn.ReLU(), 2)))[0].dtype == tg.float64  # no parameters


def test_data_sets_are_batched_and_loaders_used_as_they_are() -> None:
    dataset = TensorDataset(X, Y)
    loader = DataLoader(dataset, batch_size=3)
    assert batches_of(loader, MODEL, 2) is loader
    assert [len(x) for x, _ in pairs(batches_of(dataset, MODEL, 4))] == [4, 1]
    assert next(pairs(batches_of(dataset, MODEL)))[0].dtype == tg.float64  # its own


def test_seeds_decide_the_order() -> None:
    def order(seed: int) -> list[int]:
        batches = batches_of((X, Y), MODEL, 1, shuffle=True, seed=seed)
        return [y.item() for _, y in pairs(batches)]

    assert order(1) == order(1)
    assert sorted(order(1)) == Y.tolist()
    assert len({tuple(order(seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize("data", [(X,), (X, Y, Y), TensorDataset(X), TensorDataset(X, Y, Y)])
def test_refuses_what_is_no_pair(data: Any) -> None:
    with pytest.raises(DataError, match="pair"):
        next(pairs(batches_of(data, MODEL)))


def test_refuses_different_lengths() -> None:
    with pytest.raises(DataError):
        batches_of((X, Y[:3]), MODEL)
