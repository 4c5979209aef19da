"""Where the windows of a convolution or a pooling lie, and the padded memory they are read from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np

Sizes = tuple[int, ...]
Sides = tuple[tuple[int, int], ...]


class Windows(NamedTuple):
    """Where windows lie: for every spatial axis the length of a window, the step from one to the
    next, the zeros (before, after) around the input (or what is cut off, if negative), and the step
    between a window's elements."""

    kernel: Sizes
    stride: Sizes
    padding: Sides
    dilation: Sizes

    def padded(self, size: Sizes) -> Sizes:
        """The input's size with its padding."""
        return tuple(n + sum(sides) for n, sides in zip(size, self.padding, strict=True))

    @property
    def extent(self) -> Sizes:
        """From a window's first element to its last."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def fitting(self, size: Sizes) -> Sizes:
        """How many windows there are; less than 1 where not one fits."""
        rows = zip(self.padded(size), self.extent, self.stride, strict=True)
        return tuple((n - extent) // step + 1 for n, extent, step in rows)


def inside(size: int, count: int, step: int, shift: int) -> tuple[int, int]:
    """The windows whose element `shift` beside their first is not padding: the first of `count`
    along an axis, and the one behind the last (which may be before the first)."""
    return max(-(shift // step), 0), min((size - 1 - shift) // step + 1, count)


def rows_of_windows(size: Sizes, windows: Windows) -> list[list[int]]:
    """For each row of windows of a plane where the rows of elements begin that they reach."""
    places: list[list[list[int]]] = []
    outer = zip(
        size[:-1], windows.fitting(size)[:-1], *(part[:-1] for part in windows), strict=True
    )
    for axis, (n, count, kernel, step, (before, _), dilation) in enumerate(outer):
        apart = math.prod(size[axis + 1 :])
        taps = [range(o * step - before, o * step - before + dilation * kernel, dilation)
                for o in range(count)]  # fmt: skip
        places.append([[apart * at for at in line if 0 <= at < n] for line in taps])
    return [[sum(found) for found in itertools.product(*row)] for row in itertools.product(*places)]


def table_of(rows: list[list[int]]) -> np.ndarray:
    """A row of numbers for each list: how many it has, and these."""
    table = np.zeros((len(rows), 1 + max(map(len, rows))), np.int64)
    for line, starts in zip(table, rows, strict=True):
        line[0] = len(starts)
        line[1 : 1 + len(starts)] = starts
    return table


class Padded:
    """Memory for `images` images with their padding or, of one, for what `rows` rows of windows
    need (the last axes as long as `sizes` says, at least; room for `slack` more numbers behind)."""

    def __init__(
        self,
        windows: Windows,
        images: int,
        rows: int,
        channels: int,
        size: Sizes,
        dtype: np.dtype[Any],
        round_up: Sizes | None = None,
        slack: int = 0,
    ) -> None:
        self.windows = windows
        self.counts = (rows, *windows.fitting(size)[1:])
        needed = windows.stride[0] * (rows - 1) + windows.extent[0]
        sizes = (needed, *windows.padded(size)[1:])
        if round_up is not None:
            sizes = tuple(-(-n // step) * step for n, step in zip(sizes, round_up, strict=True))
        shape = (channels, images, *sizes)
        self.memory = np.zeros(math.prod(shape) + slack, dtype)
        self.padded = self.memory[: math.prod(shape)].reshape(shape)
        self._from: list[Any] = []  # what is copied along all spatial axes but the first
        self._to: list[Any] = []
        for n, (before, after) in zip(size[1:], windows.padding[1:], strict=True):
            start, end = max(-before, 0), max(n + min(after, 0), 0)
            self._from.append(slice(start, end))
            self._to.append(slice(start + before, max(end + before, 0)))

    def fill(self, x: np.ndarray, row: int = 0) -> None:
        """Copy x (images, channels, *size), from where this row of windows begins."""
        start = row * self.windows.stride[0] - self.windows.padding[0][0]
        first, last = max(start, 0), min(start + self.padded.shape[2], x.shape[2])
        above, below = first - start, max(last, first) - start
        self.padded[:, :, :above] = 0
        self.padded[:, :, below:] = 0
        if first < last:
            chosen: Any = (slice(None), slice(None), slice(first, last), *self._from)
            part = x[chosen]
            _copy(self.padded[(..., slice(above, below), *self._to)], part.swapaxes(0, 1))


def _copy(target: np.ndarray, source: np.ndarray) -> None:
    """As ``np.copyto``. Rows whose numbers lie one after another are copied whole, which takes half
    the time where they are short."""
    size = source.itemsize
    if source.size and source.strides[-1] == target.strides[-1] == size:
        row = np.dtype((np.void, size * source.shape[-1]))
        target, source = target.view(row), source.view(row)
    np.copyto(target, source)


Memory = TypeVar("Memory")


def chunks(
    count: int, rows: int, most: int, make: Callable[[int, int], Memory]
) -> Iterator[tuple[slice, slice, Memory]]:
    """What is worked on together, at `most` so many rows of windows: which of `count` images, which
    of their `rows`, and the memory for it, made once for each size, of which there are few."""
    images, part = max(most // rows, 1), min(most, rows)
    images = -(-count // max(-(-count // images), 1)) or 1  # nearly the same in all chunks
    memory: dict[tuple[int, int], Memory] = {}
    for n in range(0, count, images):
        for row in range(0, rows, part):
            shape = min(images, count - n), min(part, rows - row)
            if shape not in memory:
                memory[shape] = make(*shape)
            yield slice(n, n + shape[0]), slice(row, row + shape[1]), memory[shape]
