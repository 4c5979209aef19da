"""Shuffles that follow from a key alone, and the check of the whole numbers that make up a key."""

from __future__ import annotations

import operator
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

from tinygrad_edu.errors import DataError

IndexArray = npt.NDArray[np.intp]


def whole_number(name: str, value: SupportsIndex, minimum: int) -> int:
    """``value`` as an int, or a `DataError` that names it when it is no integer >= ``minimum``."""
    try:
        number = operator.index(value)
    except TypeError:
        raise DataError(f"{name} must be an integer, got {value!r}.") from None
    if number < minimum:
        raise DataError(f"{name} must be at least {minimum}, got {number}.")
    return number


def permutation(n: int, seed: int, stream: int = 0) -> IndexArray:
    """A uniformly random order of ``range(n)``, shape (n,): the same for ever for the same key.

    It sorts raw 64-bit draws, whose sequence NumPy guarantees; what ``Generator.permutation`` makes
    of them may change between NumPy releases (NEP 19), and with it every split and every epoch. Two
    of n draws are equal with probability below n²/2⁶⁵, and the stable sort orders even those.

    Args:
        n: How many.
        seed: Any integer >= 0.
        stream: Number of the independent sequence under this seed, for example the epoch.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(stream,))
    return np.argsort(np.random.PCG64(sequence).random_raw(n), kind="stable")
