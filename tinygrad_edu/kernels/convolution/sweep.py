"""Which numbers a convolution or its transpose reads for which result, and where they lie.

Both are one kind of sum, a `Sweep`: along every axis result number first + step q reads its source
at source_step q + shift[k], for each element k of the kernel that it meets at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.kernels.convolution.windows import Sizes, Windows

# ------------------------------------------------------------------------------ what reads what


class Line(NamedTuple):
    """Along one axis, the results that the same elements of the kernel meet."""

    first: int
    step: int
    results: int
    source_step: int
    taps: tuple[int, ...]
    shifts: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, int]:
        """The first and last place that is read."""
        last = self.source_step * (self.results - 1)
        return min(self.shifts, default=0), max(self.shifts, default=-last) + last


def _forward(windows: Windows, axis: int, count: int) -> list[Line]:
    """Window q reads stride q + dilation k - before."""
    kernel, dilation = range(windows.kernel[axis]), windows.dilation[axis]
    before, _ = windows.padding[axis]
    shifts = tuple(dilation * k - before for k in kernel)
    return [Line(0, 1, count, windows.stride[axis], tuple(kernel), shifts)]


def _backward(windows: Windows, axis: int, size: int) -> list[Line]:
    """Window o, element k lie at x = stride o + dilation k - before. So where x is r modulo the
    stride, only those k count for which r + before - dilation k is 0 modulo it; they read o at
    q + that / stride, q being x // stride."""
    step, dilation = windows.stride[axis], windows.dilation[axis]
    before, _ = windows.padding[axis]
    found = []
    for first in range(min(step, size)):
        shifts = {k: first + before - dilation * k for k in range(windows.kernel[axis])}
        taps = tuple(k for k, shift in shifts.items() if shift % step == 0)
        count = len(range(first, size, step))
        found.append(Line(first, step, count, 1, taps, tuple(shifts[k] // step for k in taps)))
    return found


class Sweep(NamedTuple):
    """All axes' lines; every choice of one for each axis is a phase."""

    source: Sizes
    result: Sizes
    axes: tuple[tuple[Line, ...], ...]

    @property
    def padding(self) -> tuple[tuple[int, int], ...]:
        """Zeros needed before and after the source."""
        sides = []
        for size, lines in zip(self.source, self.axes, strict=True):
            reaches = [line.reach for line in lines]
            low, high = min(first for first, _ in reaches), max(last for _, last in reaches)
            sides.append((max(-low, 0), max(high - size + 1, 0)))
        return tuple(sides)

    def phases(self) -> Iterator[tuple[Line, ...]]:
        """Every choice of a line for each axis."""
        return product(*self.axes)


def forward_sweep(windows: Windows, size: Sizes) -> Sweep:
    """What `convolve` reads."""
    counts = windows.fitting(size)
    return Sweep(size, counts, tuple(tuple(_forward(windows, i, n)) for i, n in enumerate(counts)))


def transposed_sweep(windows: Windows, size: Sizes, counts: Sizes) -> Sweep:
    """What `convolve_input` reads."""
    return Sweep(counts, size, tuple(tuple(_backward(windows, i, n)) for i, n in enumerate(size)))


# ------------------------------------------------------------------------------ places in memory


def _pitches(sizes: Sizes, element: int) -> list[int]:
    """The bytes from one element of each axis to the next."""
    return [element * math.prod(sizes[i + 1 :]) for i in range(len(sizes))]


def sums(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Every sum of one number of each part, the last changing fastest."""
    total: np.ndarray = np.zeros(1, np.int64)
    for part in parts:
        total = np.add.outer(total, part).reshape(-1)
    return total


def pairs(first: Any, second: Any) -> np.ndarray:
    return np.stack(np.broadcast_arrays(first, second), -1).astype(np.int64).reshape(-1)


class Grid(NamedTuple):
    """Pixels in memory: how many along each axis, with padding before, and bytes of each."""

    sizes: Sizes
    before: Sizes
    element: int

    @property
    def bytes(self) -> int:
        return self.element * math.prod(self.sizes)

    def places(self, axis: int, numbers: Any) -> np.ndarray:
        """Where these pixels of an axis are."""
        pitch = _pitches(self.sizes, self.element)[axis]
        return (np.asarray(numbers, np.int64) + self.before[axis]) * pitch

    def steps(self, numbers: Sequence[Sequence[int]]) -> np.ndarray:
        """How far it is to pixels that differ by one of these numbers in each axis."""
        pitches = _pitches(self.sizes, self.element)
        return sums([np.array(n, np.int64) * p for n, p in zip(numbers, pitches, strict=True)])


def padded(sweep: Sweep, element: int) -> Grid:
    """The sweep's source with its padding, in elements of so many bytes."""
    sides = sweep.padding
    sizes = tuple(n + sum(side) for n, side in zip(sweep.source, sides, strict=True))
    return Grid(sizes, tuple(before for before, _ in sides), element)


def plain(sizes: Sizes, element: int) -> Grid:
    """Pixels without padding."""
    return Grid(sizes, (0,) * len(sizes), element)


def job_table(
    source: Grid, result: Grid, lines: Sequence[Line], starts: Sequence[int]
) -> np.ndarray:
    """Jobs: where tiles that start at these numbers of the last axis read and write."""
    *others, last = lines
    reads, writes = [], []
    for axis, line in enumerate((*others, last)):
        q = np.arange(line.results) if axis < len(others) else np.array(starts)
        reads.append(source.places(axis, line.source_step * q))
        writes.append(result.places(axis, line.first + line.step * q))
    return pairs(sums(reads), sums(writes))
