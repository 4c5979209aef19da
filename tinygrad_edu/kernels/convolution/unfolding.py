"""Convolution by matrix products: windows are unfolded into the columns of a matrix for BLAS.

The matrix of all images would be many times their size and live in memory; that of a few images, or
of some rows of a large one, lives in cache. So the work is done in chunks, and each chunk's matrix
overwrites the last one's. A chunk is unfolded axis by axis, the last first: what is unfolded
already lies in long runs, which are copied faster than the short rows of single windows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_edu.kernels.convolution.windows import Padded, Windows, chunks

_CHUNK_BYTES = 1 << 19
"""A chunk's matrix: half of a common L2 cache, which operand and result share."""

_COLUMNS = 256
"""A product should have this many columns even if its matrix grows larger, or writing its result
costs more than computing it."""

_DEPTH = 128
"""Products that BLAS adds up in one chain: above, sums of sums are taken."""


class Unfolding(Padded):
    """The memory in which images become a `matrix` (channels * kernel, windows), and the views that
    say what is copied where."""

    def __init__(self, windows: Windows, x: np.ndarray, images: int, rows: int) -> None:
        channels, *size = x.shape[1:]
        super().__init__(windows, images, rows, channels, tuple(size), x.dtype)
        self._copies: list[tuple[np.ndarray, np.ndarray]] = []
        source = self.padded
        for axis in reversed(range(len(size))):
            source = self._along(source, source.ndim - len(size) + axis, axis)
        shape = channels * math.prod(windows.kernel), images * math.prod(self.counts)
        self.matrix: np.ndarray = source.reshape(shape)

    def _along(self, source: np.ndarray, at: int, axis: int) -> np.ndarray:
        """Room for `source`, its axis `at` unfolded into two: the element of a window, which
        becomes the second axis, and, in its own place, the window."""
        step, shift = self.windows.stride[axis], self.windows.dilation[axis]
        channels, *others = source.shape
        others[at - 1] = self.counts[axis]
        apart, *strides = source.strides
        strides[at - 1] *= step
        shape = (channels, self.windows.kernel[axis], *others)
        view: np.ndarray = np.ndarray(
            shape, source.dtype, source, 0, (apart, shift * source.strides[at], *strides)
        )
        target = np.empty(shape, source.dtype)
        self._copies.append((target, view))
        return target

    def unfold(self, x: np.ndarray, row: int) -> np.ndarray:
        """`matrix`, filled from x (images, channels, *size); the first of its windows begin at
        this row of windows."""
        self.fill(x, row)
        for target, view in self._copies:
            np.copyto(target, view)
        return self.matrix


def _chunks(windows: Windows, x: np.ndarray) -> Iterator[tuple[slice, slice, Unfolding]]:
    rows, *rest = windows.fitting(x.shape[2:])
    columns = math.prod(rest)
    row = max(x.shape[1] * math.prod(windows.kernel) * columns * x.dtype.itemsize, 1)
    most = max(_CHUNK_BYTES // row, -(-_COLUMNS // columns), 1)
    return chunks(len(x), rows, most, lambda *shape: Unfolding(windows, x, *shape))


def multiply(
    y: np.ndarray, x: np.ndarray, filters: np.ndarray, windows: Windows, bias: np.ndarray | None
) -> None:
    """Write into y the products of filters (groups, out / groups, channels of a group * kernel) and
    the windows of x, plus the bias (out,)."""
    groups, outer, depth = filters.shape
    column: Any = 0 if bias is None else bias.reshape(-1, *[1] * (x.ndim - 1))
    product: np.ndarray = np.empty(0, y.dtype)
    for images, rows, memory in _chunks(windows, x):
        matrix = memory.unfold(x[images], rows.start).reshape(groups, depth, -1)
        if product.shape[2:] != matrix.shape[2:]:
            product = np.empty((groups, outer, matrix.shape[2]), y.dtype)
        np.matmul(filters, matrix, out=product)
        part = y[images, :, rows].swapaxes(0, 1)
        np.add(product.reshape(part.shape), column, out=part)


def multiply_outer(x: np.ndarray, y: np.ndarray, windows: Windows, groups: int) -> np.ndarray:
    """The transpose of `convolve` in w: for each filter the sum of all windows, each times the y it
    gave."""
    channels, outputs = x.shape[1], y.shape[1]
    inner, outer = channels // groups, outputs // groups
    wide = np.promote_types(x.dtype, np.float64)
    total = np.zeros((groups, inner * math.prod(windows.kernel), outer), wide)
    columns: np.ndarray = np.empty(0, x.dtype)
    for images, rows, memory in _chunks(windows, x):
        matrix = memory.unfold(x[images], rows.start)
        # BLAS is half as fast where both factors run along the summed axis: turn the smaller one.
        if columns.shape[1:2] != matrix.shape[1:]:
            columns = np.empty((groups, matrix.shape[1], outer), x.dtype)
        chosen = y[images, :, rows]
        chosen = chosen.reshape(len(chosen), groups, outer, -1)
        turned = columns.reshape(groups, len(chosen), -1, outer)
        np.copyto(turned, chosen.transpose(1, 0, 3, 2))
        total += _summed(matrix.reshape(groups, -1, matrix.shape[1]), columns)
    total = total.swapaxes(1, 2).reshape(outputs, inner, *windows.kernel)
    return total.astype(x.dtype, copy=False)


def _summed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The products of the matrices a (n, rows, depth) and b (n, depth, columns). BLAS adds along
    the depth one after another, so a long one is cut into blocks, whose sums are added pairwise:
    rounding errors grow with the root of a block's length times that of their number."""
    n, rows, depth = a.shape
    blocks = depth // _DEPTH
    if blocks < 2:
        product: np.ndarray = np.matmul(a, b)
        return product
    whole = blocks * _DEPTH
    left = a[:, :, :whole].reshape(n, rows, blocks, _DEPTH).swapaxes(1, 2)
    parts = np.matmul(left, b[:, :whole].reshape(n, blocks, _DEPTH, -1))
    if whole < depth:
        parts[:, 0] += np.matmul(a[:, :, whole:], b[:, whole:])
    while blocks > 1:
        half = blocks // 2
        parts[:, :half] += parts[:, blocks - half : blocks]
        blocks -= half
    total: np.ndarray = parts[:, 0]
    return total
