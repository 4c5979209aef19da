"""What a data set is: something with a length whose examples can be read by number."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tinygrad_edu.data.keyed import IndexArray
from tinygrad_edu.errors import DataError

Arrays = tuple[npt.NDArray[Any], ...]


class Dataset(Protocol):
    """Anything `DataLoader` can read: a length, and an example for each index below it.

    An example is a tuple with one entry for each kind of thing (input, target, ...), an entry
    whatever ``np.asarray`` takes. All examples have entries of the same number and shapes.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class TensorDataset:
    """Arrays of equal length, read together along their first axis, as in torch.

    The arrays stay NumPy arrays, and are not copied; whoever reads an example or a batch gets
    tensors.

    Args:
        *arrays: Arrays, tensors or nested lists; each has shape (n, ...) with the same n >= 1.

    Raises:
        DataError: No array, a scalar among them, different lengths, or no example at all.
    """

    def __init__(self, *arrays: npt.ArrayLike) -> None:
        if not arrays:
            raise DataError("TensorDataset needs at least one array.")
        self.arrays: Arrays = tuple(np.asarray(array) for array in arrays)
        shapes = [array.shape for array in self.arrays]
        if () in shapes:
            raise DataError(
                f"TensorDataset got shapes {shapes}: a scalar has no examples to count; "
                "each array needs a first axis."
            )
        if len({shape[0] for shape in shapes}) > 1:
            raise DataError(
                f"TensorDataset got shapes {shapes}: the first axis counts the examples and "
                "must be the same for every array."
            )
        if shapes[0][0] == 0:
            raise DataError(f"TensorDataset got shapes {shapes}: there is no example in it.")

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: int | slice | IndexArray) -> tuple[Any, ...]:
        """The example (or, for a slice or an array of indices, the examples) as tensors."""
        from tinygrad_edu import tensor

        return tuple(tensor(array[index]) for array in self.arrays)

    def rows(self, indices: IndexArray) -> Arrays:
        """The examples at ``indices``, shape (batch,), copied in one go: arrays (batch, ...)."""
        return tuple(array[indices] for array in self.arrays)


def rows(dataset: Dataset, indices: IndexArray) -> Arrays:
    """The examples of any data set at ``indices``, entry by entry: arrays (batch, ...).

    Raises:
        DataError: The examples differ in their number of entries, or in the shape of one of them.
    """
    if isinstance(dataset, TensorDataset):
        return dataset.rows(indices)
    examples = [_entries(dataset[int(index)]) for index in indices]
    try:
        columns = list(zip(*examples, strict=True))
    except ValueError:
        counts = sorted({len(example) for example in examples})
        message = f"The examples of a batch differ in their number of entries: {counts}."
        raise DataError(message) from None
    return tuple(_stack(entry, column) for entry, column in enumerate(columns))


def _entries(example: Any) -> tuple[Any, ...]:
    return tuple(example) if isinstance(example, tuple | list) else (example,)


def _stack(entry: int, column: tuple[Any, ...]) -> npt.NDArray[Any]:
    arrays = [np.asarray(value) for value in column]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise DataError(
            f"Entry {entry} of the examples has different shapes in one batch: {shapes}. "
            "Pad or crop them in the data set, or use batch_size=1."
        )
    return np.stack(arrays)
