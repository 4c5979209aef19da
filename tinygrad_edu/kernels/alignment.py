"""Arrays that begin where a cache line does.

A vector register is as wide as a line, so a vector of an array that begins anywhere else lies in
two lines and takes two loads. Memory from NumPy begins at a multiple of 16 bytes, which costs a
kernel that streams through large arrays a third of its time.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from ctypes import addressof, c_char
from typing import Any

import numpy as np

_buffer = c_char.from_buffer

LINE = 64
"""Bytes of a cache line."""

_LEAST = 1 << 11
"""Bytes of an array below which finding such a place takes longer than it saves."""

_LARGEST = (1 << 25) - (1 << 13)
"""Bytes of the largest block that glibc learns from."""


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """As ``np.empty(shape, dtype)``; a large array begins with a cache line."""
    return maker(shape, dtype)()


def maker(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Callable[[], np.ndarray]:
    """What makes such arrays, for those who need many."""
    size = math.prod(shape) * dtype.itemsize
    if size < _LEAST:
        return functools.partial(np.empty, shape, dtype)
    keep_freed_memory()
    return functools.partial(_aligned, size + LINE, shape, dtype)


def _aligned(size: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    memory = np.empty(size, np.uint8)
    return np.ndarray(shape, dtype, memory, -_address(memory) % LINE)


@functools.cache
def keep_freed_memory() -> None:
    """Let glibc keep memory that is freed for what is asked for next, instead of returning it to
    the system and asking for pages again, each of which must be cleared. It does so from the moment
    on that a block was freed which is as large (mallopt(3), M_MMAP_THRESHOLD): up to 64 MB."""
    np.empty(_LARGEST, np.uint8)


def copied(x: np.ndarray) -> np.ndarray:
    """A copy of x; a large one begins with a cache line, if x is contiguous."""
    if x.nbytes < _LEAST or not x.flags.c_contiguous or x.dtype.hasobject:
        return x.copy("K")
    y = empty(x.shape, x.dtype)
    y[...] = x
    return y


def address_of(x: np.ndarray) -> int:
    """Where an array's data begin. A buffer's address takes a third of the time that
    `x.ctypes.data` does, but there is one only for arrays that are contiguous, can be written to
    and are not empty."""
    try:
        return _address(x)
    except (TypeError, ValueError):
        return x.ctypes.data


def _address(x: np.ndarray) -> int:
    return addressof(_buffer(x))  # type: ignore[arg-type]
