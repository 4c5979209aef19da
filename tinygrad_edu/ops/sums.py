"""Sums over axes of an array, and of the product of two, without a temporary array.

A long sum is taken in blocks that BLAS adds up in its vector registers, and the blocks' sums are
added by `structural.add_up`: pairwise or in float64. So the error does not grow with the number of
elements (more than its logarithm), as there.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_edu.ops.dtypes import float32, float64
from tinygrad_edu.ops.structural import add_up, reduced

Array = Any
Axes = tuple[int, ...]

_ALONG = 1024
"""Numbers that lie one after another, in one block: BLAS keeps 16 partial sums of them or more."""

_ACROSS = 128
"""Numbers that lie apart, in one block: they are added one after another, as NumPy's blocks are."""


def total(a: Array, axes: Axes) -> Array:
    """The sum of a over `axes`, which stay as axes of size 1."""
    return _reduce(a, None, axes)


def inner(a: Array, b: Array, axes: Axes) -> Array:
    """The sum of a * b over `axes`, which stay as axes of size 1; a and b are of one shape."""
    return _reduce(a, b, axes)


def _reduce(a: Array, b: Array | None, axes: Axes) -> Array:
    plain = a.flags.c_contiguous and (b is None or b.flags.c_contiguous)
    if not (plain and a.size and a.dtype in (float32, float64)):
        return add_up(a if b is None else a * b, axes, True)
    plan = _plan(a.shape, axes)
    if plan is None:
        return add_up(a if b is None else a * b, axes, True)
    kernel, block, length, matrix, partial, rest = plan
    sums = _in_blocks(kernel, block, length, matrix, a, b).reshape(partial)
    return add_up(sums, rest, True) if rest else sums


@functools.lru_cache(maxsize=1024)
def _plan(shape: tuple[int, ...], axes: Axes) -> Any:
    """How to read an array of this shape as a matrix of which rows or columns are summed: the
    kernel, its block, how many numbers are summed, the matrix's shape, that of the sums, and the
    axes to sum them over after that. None if the axes are neither first nor last ones."""
    first = len(shape)
    while first and first - 1 in axes:
        first -= 1
    trailing = tuple(range(first, len(shape)))
    if trailing:
        length = math.prod(shape[first:])
        rest = tuple(axis for axis in axes if axis < first)
        return _rows, _ALONG, length, (-1, length), reduced(shape, trailing, True), rest
    if axes and axes == tuple(range(len(axes))):
        length = math.prod(shape[: len(axes)])
        return _columns, _ACROSS, length, (length, -1), reduced(shape, axes, True), ()
    return None


def _in_blocks(
    kernel: Callable[..., Array],
    block: int,
    length: int,
    shape: tuple[int, int],
    a: Array,
    b: Array | None,
) -> Array:
    """The kernel's sums of the matrices a, or a * b, of this shape, which adds `length` numbers
    each: those of whole blocks, and those of the rest."""
    a = a.reshape(shape)
    b = b if b is None else b.reshape(shape)
    if length <= block:
        return kernel(a, b, length)[0]
    whole = length - length % block
    parts = [kernel(a, b, block, 0, whole)]
    if whole < length:
        parts.append(kernel(a, b, length - whole, whole))
    return add_up(np.concatenate(parts), (0,), False)


def _rows(a: Array, b: Array | None, block: int, start: int = 0, end: int | None = None) -> Array:
    """Of each row the sums of blocks from start to end: an array (blocks, rows)."""
    a = a[:, start:end].reshape(len(a), -1, block)
    if b is None:
        return np.matmul(a, _ones(block, a.dtype)).T
    return np.vecdot(a, b[:, start:end].reshape(a.shape)).T


def _columns(
    a: Array, b: Array | None, block: int, start: int = 0, end: int | None = None
) -> Array:
    """Of each column the sums of blocks from start to end: an array (blocks, columns)."""
    a = a[start:end].reshape(-1, block, a.shape[1])
    if b is None:
        return np.matmul(_ones(block, a.dtype), a)
    return np.einsum("bij,bij->bj", a, b[start:end].reshape(a.shape))


@functools.cache
def _ones(length: int, dtype: np.dtype[Any]) -> Array:
    return np.ones(length, dtype)
