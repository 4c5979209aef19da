"""Sums over windows, and the transpose: each element of a window receives what the window has.

Both go along the rows of a plane. Tap after tap, a row of windows is added to a row of results, or
a row of elements to it; a table names the rows that meet.

This module is loaded with LLVM, on first use.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.control import I64, function, loop
from tinygrad_edu.kernels.convolution.windows import (
    Sizes,
    Windows,
    inside,
    rows_of_windows,
    table_of,
)
from tinygrad_edu.kernels.lanes import TYPES

ARGUMENTS = ("out", "x", "planes", "source", "result", "rows", "table", "entry", "width", "lines",
             "taps")  # fmt: skip
"""Of a kernel: the result and the source of some planes, of which each has so many elements in the
source and in the result; the rows of the result, their table with so many numbers an entry, the
elements of a row; and the taps, each by its first window, the one behind its last, and its place
beside a window's first element."""


@dataclass(frozen=True)
class _Kernel:
    """Adds up windows that are `stride` elements apart, or else `spreads` what they have."""

    dtype: np.dtype[Any]
    stride: int
    spreads: bool

    @property
    def address(self) -> int:
        """Where the kernel is."""
        return llvm.address(f"sums over windows {self}", self._text, optimise=True)

    def _text(self, name: str) -> str:
        module, b, argument = function(name)
        x = {key: argument(q) for q, key in enumerate(ARGUMENTS)}
        element, itemsize = TYPES[self.dtype], I64(self.dtype.itemsize)

        def place(start: Any, index: Any) -> Any:
            address = b.add(start, b.mul(index, itemsize))
            return b.inttoptr(address, element.as_pointer())

        def number(start: Any, index: Any) -> Any:
            return b.load(b.inttoptr(b.add(start, b.mul(index, I64(8))), I64.as_pointer()))

        with (
            loop(b, I64(0), x["planes"], 1) as plane,
            loop(b, I64(0), x["rows"], 1) as row,
        ):
            first = b.add(b.mul(plane, x["result"]), b.mul(row, x["width"]))
            out = b.add(x["out"], b.mul(first, itemsize))
            with loop(b, I64(0), x["width"], 1) as i:
                b.store(element(0), place(out, i))
            entry = b.add(x["table"], b.mul(b.mul(row, x["entry"]), I64(8)))
            with (
                loop(b, I64(1), b.add(number(entry, I64(0)), I64(1)), 1) as i,
                loop(b, I64(0), x["taps"], 1) as tap,
            ):
                begin = b.add(b.mul(plane, x["source"]), number(entry, i))
                source = b.add(x["x"], b.mul(begin, itemsize))
                line = b.add(x["lines"], b.mul(tap, I64(3 * 8)))
                low, high, shift = (number(line, I64(q)) for q in range(3))
                with loop(b, low, high, 1) as window:
                    at = b.add(b.mul(window, I64(self.stride)), shift)
                    to, of = (at, window) if self.spreads else (window, at)
                    total = place(out, to)
                    b.store(b.fadd(b.load(total), b.load(place(source, of))), total)
        b.ret_void()
        return str(module)


@dataclass(frozen=True, eq=False)
class Job:
    """The kernel for arrays of a shape: its address, how many planes there are and how many
    elements one has in the source and in the result, and tables, which must be kept."""

    kernel: int
    planes: int
    source: int
    result: int
    width: int
    table: np.ndarray
    lines: np.ndarray

    def arguments(self, out: Any, x: Any, planes: int) -> tuple[Any, ...]:
        """As the kernel wants them, for so many planes."""
        (rows, entry), taps = self.table.shape, len(self.lines)
        tables = [self.table.ctypes.data, entry, self.width, self.lines.ctypes.data, taps]
        return (out, x, planes, self.source, self.result, rows, *tables)


@functools.lru_cache(maxsize=1024)
def job(shape: Sizes, windows: Windows, dtype: np.dtype[Any], spreads: bool) -> Job:
    """How to add up the windows of float arrays of a shape, or to make arrays of this shape of what
    windows have."""
    rank = len(windows.kernel)
    size = shape[len(shape) - rank :]
    counts = windows.fitting(size)
    rows = rows_of_windows(size, windows)
    if spreads:
        rows = _transposed(rows, size, counts[-1])
    stride, (before, _) = windows.stride[-1], windows.padding[-1]
    shifts = [windows.dilation[-1] * tap - before for tap in range(windows.kernel[-1])]
    lines = [(*inside(size[-1], counts[-1], stride, shift), shift) for shift in shifts]
    planes = math.prod(shape[: len(shape) - rank])
    plane, pooled = math.prod(size), math.prod(counts)
    source, result, width = (pooled, plane, size[-1]) if spreads else (plane, pooled, counts[-1])
    kernel = _Kernel(dtype, stride, spreads).address
    table = table_of(rows), np.array(lines, np.int64)
    return Job(kernel, planes, source, result, width, *table)


def _transposed(rows: list[list[int]], size: Sizes, count: int) -> list[list[int]]:
    """For each row of elements where the rows of windows begin, of `count` each, that reach it."""
    found: list[list[int]] = [[] for _ in range(math.prod(size[:-1]))]
    for number, starts in enumerate(rows):
        for start in starts:
            found[start // size[-1]].append(number * count)
    return found
