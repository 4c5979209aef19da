"""Batches: in the data set's order, or in a new order for each epoch that a seed repeats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_edu.data.dataset import Dataset, rows
from tinygrad_edu.data.keyed import IndexArray, permutation, whole_number
from tinygrad_edu.errors import DataError


class DataLoader:
    """Iterate over a data set in batches, as in torch; each iteration is one epoch.

    ``for x, y in DataLoader(dataset, batch_size=32, shuffle=True, seed=0)`` yields, for each batch,
    a tuple with a tensor of shape (batch, ...) for each entry of the examples.

    The order of an epoch follows from ``(seed, epoch)`` alone. ``epoch`` counts the epochs begun;
    set it to go on where a checkpoint stopped. (torch draws from a generator instead, so there the
    order depends on everything drawn before.)

    Args:
        dataset: A `TensorDataset`, or anything with a length and examples by index.
        batch_size: Examples in a batch, at least 1.
        shuffle: Whether each epoch has a random order of its own.
        drop_last: Whether to leave out the last batch when it is smaller than the others.
        seed: An integer >= 0. None draws one, if ``shuffle`` needs it, from the engine's random
            numbers, which ``tinygrad_edu.manual_seed`` starts; ``seed`` then holds it.
        wrap: Makes of each array what is yielded; None makes a tensor of it.

    Raises:
        DataError: A data set without examples, a batch size below 1, a negative seed, or
            ``drop_last`` with fewer examples than one batch, which would train on nothing.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        seed: int | None = None,
        wrap: Callable[[npt.NDArray[Any]], Any] | None = None,
    ) -> None:
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise DataError(
                "DataLoader needs a data set, with a length and examples by index, not "
                f"{type(dataset).__name__}."
            )
        self.dataset = dataset
        self.batch_size = whole_number("batch_size", batch_size, 1)
        self.shuffle = shuffle
        self.drop_last = drop_last
        if seed is None:
            seed = _drawn_seed() if shuffle else 0
        self.seed = whole_number("seed", seed, 0)
        self.epoch = 0
        self._wrap = wrap
        if len(dataset) == 0:
            raise DataError("DataLoader got a data set without examples.")
        if len(self) == 0:
            raise DataError(
                f"drop_last=True leaves no batch: the data set has {len(dataset)} examples, fewer "
                f"than batch_size={self.batch_size}. Lower batch_size or set drop_last=False."
            )

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full if self.drop_last or rest == 0 else full + 1

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        # Not a generator itself: the epoch is counted when a loop begins, not at its first batch.
        return self._batches(self.begin_epoch())

    def begin_epoch(self) -> IndexArray:
        """Count a new epoch; returns the order in which it goes through the data set."""
        order = self._order()
        self.epoch += 1
        return order

    @property
    def yields_tensors(self) -> bool:
        """Whether arrays are made into tensors and nothing else."""
        return self._wrap is None

    def _order(self) -> IndexArray:
        n = len(self.dataset)
        return permutation(n, self.seed, self.epoch) if self.shuffle else np.arange(n)

    def _batches(self, order: IndexArray) -> Iterator[tuple[Any, ...]]:
        wrap = _to_tensor() if self._wrap is None else self._wrap
        for batch in range(len(self)):
            start = batch * self.batch_size
            arrays = rows(self.dataset, order[start : start + self.batch_size])
            yield tuple(wrap(array) for array in arrays)


def _drawn_seed() -> int:
    from tinygrad_edu.graph.creation import generator

    return int(generator().integers(2**63))


def _to_tensor() -> Callable[[npt.NDArray[Any]], Any]:
    from tinygrad_edu import tensor  # here, so that importing this folder needs NumPy only

    wrap: Callable[[npt.NDArray[Any]], Any] = tensor
    return wrap
