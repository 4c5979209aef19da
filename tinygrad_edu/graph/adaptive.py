"""Pooling to a size of the result: `adaptive_avg_pool` and `adaptive_max_pool` in one and two axes.

Window i of m over n elements goes from floor(i n / m) to ceil((i + 1) n / m), as in torch. Where m
divides n these are equal windows side by side, and the pooling ops take them; elsewhere windows
differ in size and overlap, and their elements are gathered.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_edu.graph.picking import along, index_select
from tinygrad_edu.graph.pointwise import where
from tinygrad_edu.graph.pooling import avg_pool1d, avg_pool2d, max_pool1d, max_pool2d
from tinygrad_edu.graph.reader import as_tensor
from tinygrad_edu.graph.reduction import argmax, sum
from tinygrad_edu.graph.spatial import check_rank
from tinygrad_edu.ops import dtypes

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor

OutputSize = int | Sequence[int | None] | None
"""One size for every axis, or one for each; None keeps the size of the input."""


def adaptive_avg_pool1d(input: Operand, output_size: OutputSize) -> Tensor:
    """As `adaptive_avg_pool2d`, over one axis."""
    return _avg("adaptive_avg_pool1d", avg_pool1d, input, output_size, 1)


def adaptive_avg_pool2d(input: Operand, output_size: OutputSize) -> Tensor:
    """The means of as many windows as the result has elements; see the head of this file. A size
    of 1 is the mean of the plane.

    Args:
        input: (n, channels, height, width), or without n.
        output_size: The height and width of the result, or one number for both; None keeps one.

    Raises:
        ArgumentError: Sizes below 1, or in another number. ShapeError: A wrong number of axes, or
            an empty plane. DTypeError: An input that is not float.
    """
    return _avg("adaptive_avg_pool2d", avg_pool2d, input, output_size, 2)


def adaptive_max_pool1d(
    input: Operand, output_size: OutputSize, return_indices: bool = False
) -> Any:
    """As `adaptive_max_pool2d`, over one axis."""
    return _max("adaptive_max_pool1d", max_pool1d, input, output_size, 1, return_indices)


def adaptive_max_pool2d(
    input: Operand, output_size: OutputSize, return_indices: bool = False
) -> Any:
    """The largest elements of as many windows as the result has elements, as
    `adaptive_avg_pool2d`; with `return_indices` also their positions in the plane. Of several equal
    ones the first is taken."""
    return _max("adaptive_max_pool2d", max_pool2d, input, output_size, 2, return_indices)


def _avg(name: str, pool: Any, input: Operand, output_size: OutputSize, rank: int) -> Tensor:
    x, sizes = _checked(name, input, output_size, rank)
    kernel = _equal_windows(x, sizes)
    if kernel is not None:
        means: Tensor = pool(x, kernel)
        return means
    places, inside = _windows(x.shape[-rank:], sizes)
    windows = _gathered(x, places, rank)
    counts = inside.sum(-1).astype(x.dtype)
    found: Tensor = sum(where(inside, windows, 0), -1) / counts
    return found.reshape((*x.shape[:-rank], *sizes))


def _max(
    name: str, pool: Any, input: Operand, output_size: OutputSize, rank: int, return_indices: bool
) -> Any:
    x, sizes = _checked(name, input, output_size, rank)
    kernel = _equal_windows(x, sizes)
    if kernel is not None:
        return pool(x, kernel, return_indices=return_indices)
    places, _ = _windows(x.shape[-rank:], sizes)
    windows = _gathered(x, places, rank)
    chosen = argmax(windows, -1, True)
    shape = (*x.shape[:-rank], *sizes)
    values = along(windows, windows.ndim - 1, chosen).reshape(shape)
    if not return_indices:
        return values
    table = as_tensor(np.broadcast_to(places, windows.shape))
    return values, along(table, windows.ndim - 1, chosen).reshape(shape)


def _checked(
    name: str, input: Operand, output_size: OutputSize, rank: int
) -> tuple[Tensor, tuple[int, ...]]:
    """The input and the size of the result along each spatial axis."""
    x = as_tensor(input)
    check_rank(name, x, rank)
    if not dtypes.is_float(x.dtype):
        raise DTypeError(f"{name}: needs floats, got {x.dtype}; convert with .float().")
    given = output_size if isinstance(output_size, Sequence) else (output_size,) * rank
    if len(given) != rank:
        raise ArgumentError(f"{name}: output_size is one number or {rank}, not {output_size!r}.")
    plane = x.shape[-rank:]
    sizes = tuple(
        n if size is None else operator.index(size) for size, n in zip(given, plane, strict=True)
    )
    if min(sizes) < 1:
        raise ArgumentError(f"{name}: output_size is at least 1, not {output_size!r}.")
    if not math.prod(plane):
        raise ShapeError(f"{name}: the plane of shape {x.shape} has no elements to pool.")
    return x, sizes


def _equal_windows(x: Tensor, sizes: tuple[int, ...]) -> tuple[int, ...] | None:
    """The size of the windows, if all have one."""
    plane = x.shape[x.ndim - len(sizes) :]
    if any(n % size for n, size in zip(plane, sizes, strict=True)):
        return None
    return tuple(n // size for n, size in zip(plane, sizes, strict=True))


def _windows(plane: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """For each window (a row) the positions of its elements in the flattened plane, and which of
    them belong to it: a shorter row is filled up with its first element."""
    places, inside = np.zeros((1, 1), np.int64), np.ones((1, 1), np.bool_)
    for n, size in zip(plane, sizes, strict=True):
        start = np.arange(size) * n // size
        end = -(-(np.arange(size) + 1) * n // size)
        row = start[:, None] + np.arange((end - start).max())
        within = row < end[:, None]
        row = np.where(within, row, start[:, None])
        places = (places[:, None, :, None] * n + row[None, :, None, :]).reshape(
            len(places) * size, -1
        )
        inside = (inside[:, None, :, None] & within[None, :, None, :]).reshape(places.shape)
    return places, inside


def _gathered(x: Tensor, places: np.ndarray, rank: int) -> Tensor:
    """The elements of each window along a last axis, one window after another along the one
    before it."""
    flat = x.reshape((*x.shape[:-rank], -1))
    picked = index_select(flat, flat.ndim - 1, places.reshape(-1))
    return picked.reshape((*flat.shape[:-1], *places.shape))
