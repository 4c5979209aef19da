"""From the data a user has to batches of (inputs, targets)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_edu.data import DataLoader, Dataset, TensorDataset
from tinygrad_edu.errors import DataError, ModuleError
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.nn import Module
from tinygrad_edu.ops.dtypes import is_float

Data = tuple[Any, Any] | Dataset | DataLoader
"""Inputs and targets (arrays or tensors of equal length), a data set of such pairs, or batches."""

EVALUATION_BATCH = 256
"""How many examples are measured at a time, where nothing depends on it but memory."""


def batches_of(
    data: Data,
    model: Module,
    batch_size: int = EVALUATION_BATCH,
    shuffle: bool = False,
    seed: int | None = None,
) -> DataLoader:
    """A loader of the data; one that is given is used as it is.

    A pair of arrays is what NumPy made, often float64, so its floats are converted to the dtype the
    model computes in.
    """
    if not isinstance(model, Module):
        raise ModuleError(f"Training needs a module, not {type(model).__name__}.")
    if isinstance(data, DataLoader):
        return data
    if isinstance(data, tuple):
        if len(data) != 2:
            raise DataError(f"A pair (inputs, targets) is needed, got {len(data)} arrays.")
        dtype = next((p.dtype for p in model.parameters()), None)
        data = TensorDataset(*(_as_array(values, dtype) for values in data))
    return DataLoader(data, batch_size, shuffle, seed=seed)


def _as_array(values: Any, dtype: np.dtype[Any] | None) -> npt.NDArray[Any]:
    array = np.asarray(values.detach() if isinstance(values, Tensor) else values)
    return array.astype(dtype, copy=False) if dtype and is_float(array.dtype) else array


def pairs(batches: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch.

    Raises:
        DataError: They are not pairs.
    """
    for batch in batches:
        if len(batch) != 2:
            raise DataError(
                f"Training needs pairs (inputs, targets); the examples have {len(batch)} entries."
            )
        yield batch[0], batch[1]
