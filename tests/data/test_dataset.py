"""Data sets read their arrays together, and refuse arrays that do not belong together."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.data import TensorDataset
from tinygrad_edu.data.dataset import rows
from tinygrad_edu.errors import DataError


def test_examples_are_tensors() -> None:
    dataset = TensorDataset([[1.0, 2.0], [3.0, 4.0]], [7, 8])
    x, y = dataset[1]
    assert isinstance(x, tg.Tensor)
    assert x.numpy().tolist() == [3, 4]
    assert y.item() == 8
    assert dataset[-1][1].item() == 8
    assert dataset[:1][0].shape == (1, 2)


def test_arrays_are_not_copied_and_rows_are() -> None:
    x = np.arange(6.0).reshape(3, 2)
    dataset = TensorDataset(x, np.arange(3))
    assert dataset.arrays[0] is x
    assert len(dataset) == 3
    batch, labels = dataset.rows(np.array([2, 0]))
    assert batch.tolist() == [[4, 5], [0, 1]]
    assert labels.tolist() == [2, 0]
    assert not np.shares_memory(batch, x)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((), "at least one"),
        ((np.zeros((3, 2)), np.zeros(4)), r"\(3, 2\), \(4,\).*same for every array"),
        ((np.zeros(3), np.float64(1)), "scalar"),
        ((np.zeros((0, 2)), np.zeros(0)), "no example"),
    ],
    ids=["nothing", "lengths", "scalar", "empty"],
)
def test_refuses(arrays: tuple[np.ndarray, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        TensorDataset(*arrays)


def test_rows_of_any_sequence_of_examples() -> None:
    examples = [(np.full(2, i), float(i)) for i in range(4)]
    x, y = rows(examples, np.array([3, 1]))
    assert x.tolist() == [[3, 3], [1, 1]]
    assert y.tolist() == [3.0, 1.0]


def test_rows_of_examples_with_one_entry() -> None:
    (x,) = rows([10, 11, 12], np.array([0, 2]))
    assert x.tolist() == [10, 12]


def test_rows_refuses_ragged_examples() -> None:
    both = np.array([0, 1])
    with pytest.raises(DataError, match=r"number of entries: \[1, 2\]"):
        rows([(1,), (1, 2)], both)
    with pytest.raises(DataError, match=r"Entry 1 .*shapes.*\(2,\), \(3,\)"):
        rows([(0, np.zeros(2)), (0, np.zeros(3))], both)
