"""Programs of a convolution's kernels: the calls that convolve operands of certain shapes.

A program is made once for a shape. Its calls are grouped in stages, each of which Python enters
once, with all arrays; tables say where in them the kernels read and write.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.kernels import door, llvm
from tinygrad_edu.kernels.convolution import channel_loops
from tinygrad_edu.kernels.convolution.channel_loops import Kernel, Turn

Array = Any

# ------------------------------------------------------------------------------ shapes of tiles


class _Machine(NamedTuple):
    lanes: int
    registers: int


@functools.cache
def machine(dtype: np.dtype[Any]) -> _Machine:
    host = llvm.host()
    few = "+avx" in host.features.split(",") and not host.masks
    return _Machine(host.vector_bytes // dtype.itemsize, 16 if few else 32)


def tile(length: int, vectors: int, registers: int) -> tuple[int, int]:
    """How many of `length` rows and of `vectors` columns make a tile: sums and one row of factors
    stay in registers. A step takes as long as its multiplications or its loads, or, if these are
    few, as one must wait for the last; all take two in a cycle."""

    def cycles(width: int) -> float:
        height = _height(length, width, registers)
        each = max(height * width, height + width, 8)
        return each * -(-length // height) * -(-vectors // width)

    width = min(range(1, min(vectors, 6) + 1), key=cycles)
    return _height(length, width, registers), width


def _height(length: int, width: int, registers: int) -> int:
    most = max((registers - 1 - width) // width, 1)
    return -(-length // -(-length // most))


def panels(vectors: int, width: int) -> Iterator[tuple[int, int]]:
    """The first vector and the number of vectors of each panel of columns."""
    for start in range(0, vectors, width):
        yield start, min(width, vectors - start)


def starts(count: int, tile: int) -> list[int]:
    """Where tiles start: the last one so that it ends with the row."""
    return [min(start, count - tile) for start in range(0, count, tile)]


class Channels(NamedTuple):
    """Groups of result channels, which are the lanes, and the source channels of each; `lanewise`
    if each lane has a source channel of its own."""

    groups: int
    numbers: int
    lanes: int
    lanewise: bool
    dtype: np.dtype[Any]

    @property
    def vectors(self) -> int:
        return -(-self.lanes // machine(self.dtype).lanes)

    @property
    def row(self) -> int:
        """Bytes of a pixel's lanes, whole vectors."""
        return self.vectors * machine(self.dtype).lanes * self.dtype.itemsize

    @property
    def element(self) -> int:
        """Bytes of a pixel in the source."""
        return self.row if self.lanewise else self.dtype.itemsize

    @property
    def channels(self) -> int:
        """Planes of the source that are apart from each other in memory."""
        return 1 if self.lanewise else self.groups * self.numbers

    def tile(self, length: int) -> tuple[int, int]:
        """A tile of `length` pixels or rows, as `tile`."""
        registers = machine(self.dtype).registers
        return tile(length, 1 if self.lanewise else self.vectors, registers)


def channels_of(outer: int, inner: int, groups: int, dtype: np.dtype[Any]) -> Channels:
    """For so many result and source channels in a group."""
    if outer == inner == 1:
        return Channels(1, 1, groups, True, dtype)
    return Channels(groups, inner, outer, False, dtype)


# ------------------------------------------------------------------------------ a program

SOURCE, OTHER, BIAS, TABLES, PADDED, FACTORS, SUMS, RESULT = range(8)
"""The arrays of a program, in the order in which it is called with them."""


class Program:
    """Kernel calls for operands of certain shapes, in stages, and the memory between them."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.calls: list[list[door.Call]] = []
        self._tickets: list[np.ndarray] = []
        self.scratch = dict.fromkeys((PADDED, FACTORS, SUMS), 0)
        self._tables: list[np.ndarray] = []
        self._length = 0
        self.images: dict[int, int] = {}
        """Bytes from an image to the next of the arrays that hold images."""
        self._placed: dict[bytes, tuple[int, int]] = {}

    def stage(self) -> None:
        """What is called from here on is run together."""
        self.calls.append([])

    def table(self, numbers: np.ndarray) -> tuple[int, int]:
        """A place for numbers that kernels read: an array and the bytes before them."""
        key = numbers.tobytes()
        if key not in self._placed:
            self._placed[key] = (TABLES, 8 * self._length)
            self._tables.append(numbers)
            self._length += len(numbers)
        return self._placed[key]

    def need(self, array: int, bytes: int) -> None:
        """This array of the program's own has at least so many bytes."""
        self.scratch[array] = max(self.scratch[array], bytes)

    def call(self, kernel: Kernel, **values: Any) -> None:
        """One call of a kernel; an address is an array and bytes to add."""
        words, places = [], []
        for name in channel_loops.arguments(kernel):
            whole = name.removesuffix("_at")
            if whole != name:
                words.append(values[whole][1])
            elif isinstance(values[name], tuple):
                places.append((len(words), values[name][0]))
                words.append(0)
            else:
                words.append(int(values[name]))
        self.calls[-1].append(door.Call(channel_loops.address(kernel), words, places))

    def turn(self, rows: int, columns: int, jobs: np.ndarray, **values: Any) -> None:
        """Transpose matrices of this many rows and columns."""
        size = 1 << (min(rows, columns, machine(self.dtype).lanes).bit_length() - 1)
        values = {"images": 1, "out_image": 0, "source_image": 0} | values
        self.call(Turn(self.dtype, size), rows=rows, columns=columns, count=len(jobs) // 2,
                  jobs=self.table(jobs), **values)  # fmt: skip

    def finish(self, elements: int) -> None:
        """Everything is called: keep it as it is entered. A stage works on so many elements."""
        self._tickets = [door.ticket(calls, elements) for calls in self.calls]
        self._enter = door.enter()
        self.numbers = np.concatenate([*self._tables, np.zeros(1, np.int64)])

    def memory(self) -> list[Array]:
        """The program's own arrays, for one run."""
        return [np.zeros(n // self.dtype.itemsize, self.dtype) for n in self.scratch.values()]

    def run(
        self, stage: int, source: Array, other: Array, bias: Array, own: Sequence[Array],
        result: Array,
    ) -> None:  # fmt: skip
        """Run a stage on contiguous arrays."""
        self._enter(self._tickets[stage], source, other, bias, self.numbers, *own, result)
