"""Positions along an axis: what they are, and what is said of those that do not exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import ArgumentError, IndexingError, TinygradError
from tinygrad_edu.ops.dtypes import int64
from tinygrad_edu.ops.kinds import index as positional


@positional(shape=lambda index, **how: index.shape, dtype=int64)
def positions(index, size, wraps, ignored, name, where):
    """The index arrays of the function `name` as positions from 0 to size - 1.

    If it `wraps`, negative numbers count from the end. What equals `ignored` (a class number that
    is left out) becomes 0. Anything else that is no position raises, `where` saying of what.
    """
    look(index, size, wraps, ignored, name, where)
    index = index.astype(np.int64)
    if ignored is not None:
        index = np.where(index == ignored, 0, index)
    return np.where(index < 0, index + size, index)


def look(
    index: np.ndarray, size: int, wraps: bool, ignored: int | None, name: str, where: str
) -> None:
    """Raise for what is no position, as `positions` does."""
    if index.size and are_known(index, size):
        return
    counted = index if ignored is None else index[index != ignored]
    if counted.size:
        lowest, highest = int(counted.min()), int(counted.max())
        if lowest < (-size if wraps else 0) or highest >= size:
            raise out_of_range(lowest, highest, size, wraps, name, where)


def are_known(index: np.ndarray, size: int) -> bool:
    """Whether all are known to run from 0 to size - 1: the usual case, in one pass. As an unsigned
    number, what is negative is larger than any position."""
    unsigned = _UNSIGNED.get(index.dtype.char)
    return unsigned is not None and int(np.maximum.reduce(index.view(unsigned), axis=None)) < size


_UNSIGNED = {np.dtype(t).char: f"u{np.dtype(t).itemsize}" for t in (np.int32, np.int64)}


def out_of_range(
    lowest: int, highest: int, size: int, wraps: bool, name: str, where: str
) -> TinygradError:
    """The error for positions from `lowest` to `highest` that do not all exist; without `where`
    they are class numbers."""
    if not where:
        return ArgumentError(
            f"{name}: class numbers run from {lowest} to {highest}, but scores for {size} "
            f"classes allow 0 to {size - 1} only."
        )
    if wraps:
        wrong = lowest if lowest < -size else highest
        return IndexingError(
            f"{name}: index {wrong} is out of bounds {where}; positions go from {-size} to "
            f"{size - 1}."
        )
    return IndexingError(
        f"{name}: position {lowest if lowest < 0 else highest} does not exist {where}; positions "
        f"go from 0 to {size - 1}."
    )


def place_of(axis: int, shape: Sequence[int]) -> str:
    """The axis of a shape, as `where` says it."""
    return f"along axis {axis} of shape {tuple(shape)}"


def indexed_axes(parts: Sequence[Any], array: Any, rank: int) -> list[int]:
    """Which axis each index array of a key addresses; `array` stands for them among its parts."""
    taken = sum(part is not None and part is not Ellipsis for part in parts)
    axis, found = 0, []
    for part in parts:
        if part is Ellipsis:
            axis += rank - taken
        elif part is not None:
            if part is array:
                found.append(axis)
            axis += 1
    return found
