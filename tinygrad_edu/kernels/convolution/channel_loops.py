"""The loops of a convolution whose channels lie in the lanes of vectors, emitted for LLVM.

Four kernels, each for a number of images and, in each image, a table of jobs: pairs of offsets, in
bytes, of what is read and of what is written (or of the other factor that is read).

- `Copy` moves rows of numbers, into the middle of a padded image.
- `Turn` transposes matrices: channels of pixels become pixels of channels, or back.
- `Products` gives the channels of a tile of neighbouring pixels: a tile is kept in vector registers
  while the kernel walks along the elements of a window.
- `Outer` sums products over pixels: a tile of window elements times channels, in registers too.

A factor is one number for all lanes or, if the kernel is `lanewise`, a vector of channels.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.control import I32, I64, function, loop
from tinygrad_edu.kernels.lanes import splat


@dataclass(frozen=True)
class Copy:
    """out[i] = source[i] for `bytes` bytes."""

    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Turn:
    """out[j, i] = source[i, j] in blocks of size x size, the last of a row or column moved back to
    where it fits: size, a power of two, is at most the matrix's."""

    dtype: np.dtype[Any]
    size: int


@dataclass(frozen=True)
class Products:
    """out[t, v] = bias[v] + sum over k of source[k, t] factors[k, v], for `pixels` t that are
    `step` bytes apart in source, and `vectors` v. Pairs in the table `steps` say where source[k]
    and factors[k] are."""

    dtype: np.dtype[Any]
    pixels: int
    vectors: int
    step: int
    lanewise: bool


@dataclass(frozen=True)
class Outer:
    """out[r, v] += sum over pixels p of source[r, p] other[p, v], for so many `rows` r and
    `vectors` v. The table `starts` says where source[r] is."""

    dtype: np.dtype[Any]
    rows: int
    vectors: int
    step: int
    lanewise: bool


Kernel = Copy | Turn | Products | Outer

_SHARED = ("out", "source", "images", "source_image", "jobs", "count")
_OWN: dict[type, tuple[str, ...]] = {
    Copy: ("out_image", "bytes"),
    Turn: ("out_image", "rows", "columns", "out_row", "source_row"),
    Products: ("out_image", "out_step", "factors", "bias", "steps", "depth"),
    Outer: ("out_row", "other", "other_image", "other_step", "width", "starts"),
}
_ADDRESSES = {"out", "source", "factors", "bias", "other", "jobs", "steps", "starts"}


def arguments(kernel: Kernel) -> list[str]:
    """The names of a kernel's arguments; an address is followed by the bytes to add to it."""
    names = (*_SHARED, *_OWN[type(kernel)])
    return [part for n in names for part in ((n, f"{n}_at") if n in _ADDRESSES else (n,))]


@functools.cache
def address(kernel: Kernel) -> int:
    """Where the kernel's machine code is."""
    writer = _WRITERS[type(kernel)]
    return llvm.address(f"channels {kernel!r}", lambda name: writer(_Writer(name, kernel)))


# ------------------------------------------------------------------------------ writing


class _Writer:
    """A kernel begun: its arguments, and what all kernels need."""

    def __init__(self, name: str, kernel: Any) -> None:
        self.kernel = kernel
        self.module, self.b, argument = function(name)
        self.size = kernel.dtype.itemsize
        self.real = ir.FloatType() if self.size == 4 else ir.DoubleType()
        values = {n: argument(i) for i, n in enumerate(arguments(kernel))}
        self.arguments = {
            n: self.b.add(x, values[f"{n}_at"]) if n in _ADDRESSES else x
            for n, x in values.items()
        }  # fmt: skip
        lanes = llvm.host().vector_bytes // self.size
        self.vector = ir.VectorType(self.real, lanes)

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def after(self, address: Any, count: Any, size: Any) -> Any:
        """The address `count` times `size` bytes on."""
        size = I64(size) if isinstance(size, int) else size
        return self.b.add(address, self.b.mul(count, size))

    def pointer(self, address: Any, kind: ir.Type) -> Any:
        return self.b.inttoptr(address, kind.as_pointer())

    def load(self, kind: ir.Type, address: Any, offset: int = 0) -> Any:
        place = self.b.add(address, I64(offset)) if offset else address
        return self.b.load(self.pointer(place, kind), align=8 if kind == I64 else self.size)

    def store(self, value: Any, address: Any, offset: int = 0) -> None:
        place = self.b.add(address, I64(offset)) if offset else address
        self.b.store(value, self.pointer(place, value.type), align=self.size)

    def pair(self, table: Any, i: Any) -> tuple[Any, Any]:
        """Entry i of a table of pairs."""
        place = self.after(table, i, 16)
        return self.load(I64, place), self.load(I64, place, 8)

    def intrinsic(self, name: str, result: ir.Type, *xs: Any) -> Any:
        kind = ir.FunctionType(result, [x.type for x in xs])
        known = self.module.globals.get(name)
        return self.b.call(known or ir.Function(self.module, kind, name), xs)

    def registers(self, count: int) -> list[Any]:
        """Places for vectors that LLVM keeps in registers."""
        with self.b.goto_entry_block():
            return [self.b.alloca(self.vector) for _ in range(count)]

    def factor(self, address: Any, offset: int) -> Any:
        """A number for all lanes, or a vector of numbers."""
        if self.kernel.lanewise:
            return self.load(self.vector, address, offset)
        return splat(self.b, self.load(self.real, address, offset), self.vector.count)

    def multiply_add(self, place: Any, x: Any, y: Any) -> None:
        """Add x y to the vector kept at `place`."""
        name = f"llvm.fma.v{self.vector.count}f{8 * self.size}"
        self.b.store(self.intrinsic(name, self.vector, x, y, self.b.load(place)), place)

    @property
    def vector_bytes(self) -> int:
        width: int = self.size * self.vector.count
        return width

    @contextmanager
    def jobs(self, other: str = "out") -> Iterator[tuple[Any, Any]]:
        """For every image and job: its place in the source, and that in the other array."""
        with loop(self.b, I64(0), self["images"], 1) as image:
            places = [self.after(self[n], image, self[f"{n}_image"]) for n in ("source", other)]
            with loop(self.b, I64(0), self["count"], 1) as job:
                first, second = self.pair(self["jobs"], job)
                yield self.b.add(places[0], first), self.b.add(places[1], second)

    def text(self) -> str:
        self.b.ret_void()
        return str(self.module)


# ------------------------------------------------------------------------------ the four


def _copy(w: _Writer) -> str:
    with w.jobs() as (source, out):
        byte = ir.IntType(8)
        to, start = w.pointer(out, byte), w.pointer(source, byte)
        volatile = ir.Constant(ir.IntType(1), 0)
        w.intrinsic("llvm.memcpy.p0.p0.i64", ir.VoidType(), to, start, w["bytes"], volatile)
    return w.text()


def _turn(w: _Writer) -> str:
    b, size = w.b, w.kernel.size
    kind = w.real if size == 1 else ir.VectorType(w.real, size)

    def blocks(length: Any) -> tuple[Any, Any]:
        """A loop over where blocks start, and where the last one must."""
        return loop(b, I64(0), length, size), b.sub(length, I64(size))

    def within(start: Any, last: Any) -> Any:
        return b.select(b.icmp_signed("<", start, last), start, last)

    with w.jobs() as (source, out):
        rows, last_row = blocks(w["rows"])
        with rows as i:
            row = within(i, last_row)
            above = w.after(source, row, w["source_row"])
            beside = w.after(out, row, w.size)
            columns, last_column = blocks(w["columns"])
            with columns as j:
                column = within(j, last_column)
                place = w.after(above, column, w.size)
                block = []
                for _ in range(size):
                    block.append(w.load(kind, place))
                    place = b.add(place, w["source_row"])
                place = w.after(beside, column, w["out_row"])
                for vector in _transposed(b, block):
                    w.store(vector, place)
                    place = b.add(place, w["out_row"])
    return w.text()


def _transposed(b: ir.IRBuilder, block: list[Any]) -> list[Any]:
    """A square of vectors with rows and columns exchanged: halves of the square's corners, quarters
    of those, and so on, down to single numbers."""
    size = len(block)
    block, half = list(block), size // 2
    while half:
        for i in range(size):
            if i & half:
                continue
            low, high = block[i], block[i + half]
            places = [k if not k & half else size + k - half for k in range(size)]
            block[i] = _chosen(b, low, high, places)
            places = [k + half if not k & half else size + k for k in range(size)]
            block[i + half] = _chosen(b, low, high, places)
        half //= 2
    return block


def _chosen(b: ir.IRBuilder, x: Any, y: Any, places: list[int]) -> Any:
    return b.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(places)), places))


def _products(w: _Writer) -> str:
    kernel = w.kernel
    cells = list(itertools.product(range(kernel.pixels), range(kernel.vectors)))
    sums = dict(zip(cells, w.registers(len(cells)), strict=True))
    biases = [w.load(w.vector, w["bias"], v * w.vector_bytes) for v in range(kernel.vectors)]
    with w.jobs() as (source, out):
        for (_, v), place in sums.items():
            w.b.store(biases[v], place)
        with loop(w.b, I64(0), w["depth"], 1) as k:
            read, factor = w.pair(w["steps"], k)
            left, right = w.b.add(source, read), w.b.add(w["factors"], factor)
            factors = [w.load(w.vector, right, v * w.vector_bytes) for v in range(kernel.vectors)]
            for t in range(kernel.pixels):
                x = w.factor(left, t * kernel.step)
                for v in range(kernel.vectors):
                    w.multiply_add(sums[t, v], x, factors[v])
        for t in range(kernel.pixels):
            for v in range(kernel.vectors):
                w.store(w.b.load(sums[t, v]), out, v * w.vector_bytes)
            out = w.b.add(out, w["out_step"])
    return w.text()


def _outer(w: _Writer) -> str:
    kernel, b = w.kernel, w.b
    cells = list(itertools.product(range(kernel.rows), range(kernel.vectors)))
    sums = dict(zip(cells, w.registers(len(cells)), strict=True))
    for place in sums.values():
        b.store(ir.Constant(w.vector, None), place)
    starts = [w.load(I64, w["starts"], 8 * r) for r in range(kernel.rows)]
    with w.jobs("other") as (source, other), loop(b, I64(0), w["width"], 1) as p:
        right = w.after(other, p, w["other_step"])
        factors = [w.load(w.vector, right, v * w.vector_bytes) for v in range(kernel.vectors)]
        left = w.after(source, p, kernel.step)
        for r in range(kernel.rows):
            x = w.factor(b.add(left, starts[r]), 0)
            for v in range(kernel.vectors):
                w.multiply_add(sums[r, v], x, factors[v])
    for r in range(kernel.rows):
        row = w.after(w["out"], I64(r), w["out_row"])
        for v in range(kernel.vectors):
            old = w.load(w.vector, row, v * w.vector_bytes)
            w.store(b.fadd(old, b.load(sums[r, v])), row, v * w.vector_bytes)
    return w.text()


_WRITERS: dict[type, Callable[[_Writer], str]] = {
    Copy: _copy,
    Turn: _turn,
    Products: _products,
    Outer: _outer,
}
