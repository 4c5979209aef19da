"""Every epoch shows every example once, in an order that follows from seed and epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu.data import DataLoader, TensorDataset, load_digits
from tinygrad_edu.errors import DataError


def numbered(n: int) -> TensorDataset:
    """Example i is ([i, -i], i)."""
    i = np.arange(n)
    return TensorDataset(np.stack([i, -i], axis=1), i)


def loader(n: int, *arguments: Any, **options: Any) -> DataLoader:
    """A loader over `numbered` that yields plain arrays."""
    return DataLoader(numbered(n), *arguments, wrap=np.asarray, **options)


def epoch(batches: DataLoader) -> list[int]:
    """The numbers of the examples in the order of the next epoch."""
    return [int(i) for _, labels in batches for i in labels]


@given(st.integers(1, 60), st.integers(1, 70), st.booleans(), st.integers(0, 9))
def test_every_example_once_in_every_epoch(n: int, size: int, shuffle: bool, seed: int) -> None:
    batches = loader(n, size, shuffle, seed=seed)
    for _ in range(2):
        seen = list(batches)
        assert len(seen) == len(batches) == -(-n // size)
        assert all(len(labels) == size for _, labels in seen[:-1])
        for x, labels in seen:
            assert np.array_equal(x, np.stack([labels, -labels], axis=1))
        numbers = [int(i) for _, labels in seen for i in labels]
        assert sorted(numbers) == list(range(n))
        assert shuffle or numbers == list(range(n))


@given(st.integers(1, 60), st.data())
def test_drop_last_leaves_full_batches(n: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, n))
    batches = loader(n, size, drop_last=True)
    seen = list(batches)
    assert len(seen) == len(batches) == n // size
    assert all(len(labels) == size for _, labels in seen)


@given(st.integers(0, 2**64), st.integers(20, 40))
def test_a_seed_repeats_a_run_and_epochs_differ(seed: int, n: int) -> None:
    first, second = loader(n, 7, True, seed=seed), loader(n, 7, True, seed=seed)
    run = [epoch(first) for _ in range(3)]
    assert run == [epoch(second) for _ in range(3)]
    assert run[0] != run[1] != run[2]
    assert first.epoch == 3


def test_setting_the_epoch_resumes_a_run() -> None:
    through = loader(30, 4, True, seed=1)
    run = [epoch(through) for _ in range(4)]
    resumed = loader(30, 4, True, seed=1)
    resumed.epoch = 2
    assert [epoch(resumed), epoch(resumed)] == run[2:]


def test_loops_over_one_loader_do_not_disturb_each_other() -> None:
    expected = loader(12, 5, True, seed=3)
    run = [epoch(expected), epoch(expected)]
    batches = loader(12, 5, True, seed=3)
    outer, inner = iter(batches), iter(batches)
    interleaved = list(zip(outer, inner, strict=True))
    assert [int(i) for (_, labels), _ in interleaved for i in labels] == run[0]
    assert [int(i) for _, (_, labels) in interleaved for i in labels] == run[1]


def test_without_a_seed_the_engines_seed_decides() -> None:
    tg.manual_seed(3)
    first, second = loader(100, shuffle=True), loader(100, shuffle=True)
    assert first.seed != second.seed
    order = epoch(first)
    assert order == epoch(loader(100, shuffle=True, seed=first.seed))
    tg.manual_seed(3)
    loader(100)  # in order, so it draws nothing
    assert order == epoch(loader(100, shuffle=True))


def test_batches_are_tensors_by_default() -> None:
    train, _ = load_digits().split()
    x, y = next(iter(DataLoader(TensorDataset(train.images, train.labels), batch_size=32)))
    assert isinstance(x, tg.Tensor)
    assert (x.shape, x.dtype) == ((32, 64), tg.float32)
    assert (y.shape, y.dtype) == ((32,), tg.int64)


def test_any_sequence_is_a_data_set() -> None:
    examples = [(np.full(3, i), i) for i in range(5)]
    batches = [(x.shape, y.tolist()) for x, y in DataLoader(examples, 2, wrap=np.asarray)]
    assert batches == [((2, 3), [0, 1]), ((2, 3), [2, 3]), ((1, 3), [4])]


@pytest.mark.parametrize("size", [0, -1, 1.5, None])
def test_refuses_batch_sizes_that_are_none(size: int) -> None:
    with pytest.raises(DataError, match="batch_size"):
        loader(3, size)


def test_refuses_what_would_train_on_nothing() -> None:
    with pytest.raises(DataError, match="without examples"):
        DataLoader([])
    with pytest.raises(DataError, match="3 examples, fewer than batch_size=4"):
        loader(3, 4, drop_last=True)


def test_refuses_a_negative_seed() -> None:
    with pytest.raises(DataError, match="seed"):
        loader(3, seed=-1)
