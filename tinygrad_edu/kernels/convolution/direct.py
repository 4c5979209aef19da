"""Convolution without unfolding: LLVM kernels that read each element of a window where it lies.

Seen as one long row, a padded image holds the elements number k of all windows one after another,
from an offset on that depends on k alone. So what a matrix of windows would copy is there already,
and the kernels are matrix products that find row k of their second factor at `offsets[k]`.

A kernel keeps a block of results in vector registers while it walks along k. It is emitted for one
height of block, compiled once on a machine and kept (`kernels.llvm`). Where an image's line ends
the row runs on into the next line: the columns that result belong to no window and are dropped.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.kernels.convolution.windows import Padded, Windows, chunks

_REALS = (np.dtype(np.float32), np.dtype(np.float64))


class _Machine(NamedTuple):
    """What kernels are emitted for."""

    vector_bytes: int
    blocks: dict[int, int]
    """The widths, in vectors, of blocks by their height: enough sums to keep the multipliers busy,
    no more than stay in registers beside the factors."""


@functools.cache
def _machine() -> _Machine:
    from tinygrad_edu.kernels import llvm

    features = llvm.host().features.split(",")
    if "+avx" in features and "+avx512f" not in features:  # 16 registers, elsewhere 32
        return _Machine(32, {4: 3, 2: 6, 1: 6})
    return _Machine(64 if "+avx512f" in features else 16, {8: 3, 4: 6, 2: 6, 1: 6})


def _lanes(dtype: np.dtype[Any]) -> int:
    """How many numbers a vector holds."""
    return _machine().vector_bytes // dtype.itemsize


def _row_step(dtype: np.dtype[Any]) -> int:
    """Rows of results are a multiple of this long."""
    return max(_machine().blocks.values()) * _lanes(dtype)


# ------------------------------------------------------------------------------ emitting


class _Writer:
    """Writes a kernel whose arguments are all 64-bit integers: numbers or addresses."""

    def __init__(self, name: str, arguments: Sequence[str], dtype: np.dtype[Any]) -> None:
        from llvmlite import ir

        self.ir = ir
        self.integer = ir.IntType(64)
        self.size = dtype.itemsize
        self.lanes = _lanes(dtype)
        self.real = ir.FloatType() if self.size == 4 else ir.DoubleType()
        self.vector = ir.VectorType(self.real, self.lanes)
        self.module = ir.Module(name)
        kind = ir.FunctionType(ir.VoidType(), [self.integer] * len(arguments))
        self.function = ir.Function(self.module, kind, name)
        self.arguments = dict(zip(arguments, self.function.args, strict=True))
        self.builder = ir.IRBuilder(self.function.append_basic_block())

    def number(self, value: int) -> Any:
        return self.ir.Constant(self.integer, value)

    def at(self, address: Any, steps: Any, size: int) -> Any:
        """The address `steps` (an int or a value) elements of this size on."""
        more = self.number(steps * size) if isinstance(steps, int) else self.builder.mul(
            steps, self.number(size)
        )  # fmt: skip
        return self.builder.add(address, more)

    def load(self, kind: Any, address: Any) -> Any:
        pointer = self.builder.inttoptr(address, kind.as_pointer())
        return self.builder.load(pointer, align=min(self.size, 8))

    def store(self, value: Any, address: Any) -> None:
        pointer = self.builder.inttoptr(address, value.type.as_pointer())
        self.builder.store(value, pointer, align=self.size)

    def splat(self, scalar: Any, kind: Any) -> Any:
        """A vector of this kind, all of it the scalar."""
        blank = self.ir.Constant(kind, self.ir.Undefined)
        first = self.builder.insert_element(blank, scalar, self.ir.Constant(self.ir.IntType(32), 0))
        zeros = self.ir.Constant(self.ir.VectorType(self.ir.IntType(32), kind.count), None)
        return self.builder.shuffle_vector(first, blank, zeros)

    def intrinsic(self, name: str, result: Any, *operands: Any) -> Any:
        kind = self.ir.FunctionType(result, [operand.type for operand in operands])
        known = self.module.globals.get(name)
        return self.builder.call(known or self.ir.Function(self.module, kind, name), operands)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        return self.intrinsic(f"llvm.fma.v{self.lanes}f{8 * self.size}", self.vector, a, b, c)

    def loop(self, count: Any, states: Sequence[Any], body: Callable[..., Sequence[Any]]) -> Any:
        """``for i in range(count): states = body(i, *states)``; the final states."""
        builder, before = self.builder, self.builder.block
        head, inside, after = (self.function.append_basic_block() for _ in range(3))
        builder.branch(head)
        builder.position_at_end(head)
        i = builder.phi(self.integer)
        current = [builder.phi(state.type) for state in states]
        builder.cbranch(builder.icmp_signed("<", i, count), inside, after)
        builder.position_at_end(inside)
        changed = body(i, *current)
        one_more = builder.add(i, self.number(1))
        phis = zip((i, *current), (self.number(0), *states), (one_more, *changed), strict=True)
        for phi, start, new in phis:
            phi.add_incoming(start, before)
            phi.add_incoming(new, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        return current

    def text(self) -> str:
        """The kernel as LLVM assembly."""
        self.builder.ret_void()
        return str(self.module)


_ARGUMENTS = ("out", "distance", "a", "b", "offsets", "depth", "columns", "bias")


@functools.cache
def _kernel(height: int, dtype: np.dtype[Any]) -> Callable[..., None]:
    """The kernel ``(out, distance, a, b, offsets, depth, columns, bias)`` for so many rows i:

        out[i, p] = bias[i] + sum over k < depth of a[k, i] b[offsets[k] + p], p < columns.

    a is packed; rows of out are `distance` apart and, as those of b, readable up to the next
    multiple of `row_step` columns."""
    from tinygrad_edu.kernels import llvm

    signature = f"{_source()} {height} {dtype} {_machine()}"
    found = llvm.address(signature, functools.partial(_write, height, dtype))
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(_ARGUMENTS))(found)


@functools.cache
def _source() -> str:
    """A hash of this file: what kernels depend on besides height, dtype and processor."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _write(height: int, dtype: np.dtype[Any], name: str) -> str:
    w = _Writer(name, _ARGUMENTS, dtype)
    out, distance, a, b, offsets, depth, columns, bias = w.arguments.values()
    width = _machine().blocks[height]
    vector_bytes = w.size * w.lanes
    cells = list(itertools.product(range(height), range(width)))
    span = w.number(width * w.lanes)

    def block(p: Any) -> Sequence[Any]:
        start = w.at(b, p, width * vector_bytes)
        biases = [w.splat(w.load(w.real, w.at(bias, i, w.size)), w.vector) for i in range(height)]

        def step(k: Any, *sums: Any) -> Sequence[Any]:
            row = w.builder.add(start, w.load(w.integer, w.at(offsets, k, 8)))
            right = [w.load(w.vector, w.at(row, j, vector_bytes)) for j in range(width)]
            own = w.at(a, k, height * w.size)
            left = [w.splat(w.load(w.real, w.at(own, i, w.size)), w.vector) for i in range(height)]
            return [
                w.multiply_add(left[i], right[j], total)
                for (i, j), total in zip(cells, sums, strict=True)
            ]

        sums = w.loop(depth, [biases[i] for i, _ in cells], step)
        for (i, j), total in zip(cells, sums, strict=True):
            row = w.builder.add(out, w.builder.mul(distance, w.number(i)))
            w.store(total, w.at(w.at(row, p, width * vector_bytes), j, vector_bytes))
        return ()

    blocks = w.builder.sdiv(w.builder.add(columns, w.builder.sub(span, w.number(1))), span)
    w.loop(blocks, (), block)
    return w.text()


# ------------------------------------------------------------------------------ running

_CHUNK_BYTES = 1 << 19
"""Input and result of a chunk: half of a common L2 cache."""

_MOST_WASTE = 2.0
"""Above so many columns computed for one that is kept, unfolding is faster."""


def _quotients(windows: Windows, size: tuple[int, ...]) -> tuple[int, ...]:
    """The lengths of the axes if each is dealt out to as many rows as its stride."""
    sizes = zip(windows.padded(size), windows.stride, strict=True)
    return tuple(-(-n // step) for n, step in sizes)


def suits(windows: Windows, x: np.ndarray) -> bool:
    """Whether there are kernels for x, and its windows leave few columns unused."""
    size = x.shape[2:]
    columns, kept = math.prod(_quotients(windows, size)), math.prod(windows.fitting(size))
    return x.dtype in _REALS and columns <= _MOST_WASTE * kept


class _Rows(Padded):
    """Images with every `stride`-th element of an axis side by side, so that windows next to each
    other begin at elements next to each other: (channels, *stride, images, *quotient)."""

    def __init__(
        self, windows: Windows, x: np.ndarray, outputs: int, images: int, rows: int
    ) -> None:
        channels, *size = x.shape[1:]
        stride, rank, step = windows.stride, len(size), _row_step(x.dtype)
        reach = math.prod(windows.padded(tuple(size)))  # further than any offset within an image
        slack = reach + step
        super().__init__(windows, images, rows, channels, tuple(size), x.dtype, stride, slack)
        whole = self.padded.shape[2:]
        lengths = tuple(n // s for n, s in zip(whole, stride, strict=True))
        self._dealt: np.ndarray | None = None
        if max(stride) > 1:
            pairs = [n for pair in zip(lengths, stride, strict=True) for n in pair]
            split = self.padded.reshape(channels, images, *pairs)
            axes = (0, *range(3, 3 + 2 * rank, 2), 1, *range(2, 2 + 2 * rank, 2))
            self._source = split.transpose(axes)
            self.memory = np.zeros(self.padded.size + slack, x.dtype)
            self._dealt = self.memory[: self.padded.size].reshape(self._source.shape)
        self.distance = math.prod(stride) * images * math.prod(lengths) * x.itemsize
        self.offsets = self._offsets(images * math.prod(lengths), lengths) * x.itemsize
        every = images * math.prod(lengths)
        unused = math.prod(lengths) - 1 - int(
            np.ravel_multi_index([n - 1 for n in self.counts], lengths)
        )  # fmt: skip
        self.columns = every - unused
        self.out = np.empty((outputs, -(-every // step) * step), x.dtype)
        kept = (slice(None), slice(None), *(slice(n) for n in self.counts))
        self.results = self.out[:, :every].reshape(outputs, images, *lengths)[kept]

    def _offsets(self, phase: int, lengths: tuple[int, ...]) -> np.ndarray:
        """How far from the first element of a window each of its elements is, in one channel."""
        total: np.ndarray = np.zeros((), np.int64)
        phases: np.ndarray = np.zeros((), np.int64)
        rows = zip(self.windows.kernel, self.windows.stride, self.windows.dilation, lengths,
                   strict=True)  # fmt: skip
        for kernel, step, dilation, length in rows:
            place = dilation * np.arange(kernel)
            total = (total * length)[..., None] + place // step
            phases = (phases * step)[..., None] + place % step
        return np.asarray(total + phase * phases).reshape(-1)

    def offsets_of(self, channels: int) -> np.ndarray:
        """The same for all channels of a group."""
        starts = self.distance * np.arange(channels)
        return np.asarray(np.add.outer(starts, self.offsets)).reshape(-1)

    def deal(self, x: np.ndarray, row: int) -> None:
        """Fill the memory from x (images, channels, *size), from this row of windows on."""
        self.fill(x, row)
        if self._dealt is not None:
            np.copyto(self._dealt, self._source)


class _Block(NamedTuple):
    """Some rows of a group's filters, packed, and the kernel for as many."""

    group: int
    row: int
    kernel: Callable[..., None]
    factors: np.ndarray


def _blocks(filters: np.ndarray) -> list[_Block]:
    groups, outer, _ = filters.shape
    found = []
    for group in range(groups):
        row = 0
        while row < outer:
            height = next(h for h in _machine().blocks if h <= outer - row)
            factors = np.ascontiguousarray(filters[group, row : row + height].T)
            kernel = _kernel(height, filters.dtype)
            found.append(_Block(group, group * outer + row, kernel, factors))
            row += height
    return found


def multiply(
    y: np.ndarray, x: np.ndarray, filters: np.ndarray, windows: Windows, bias: np.ndarray | None
) -> None:
    """As `unfolding.multiply`."""
    outputs, inner, itemsize = y.shape[1], x.shape[1] // len(filters), x.itemsize
    blocks = _blocks(filters)
    biases = np.zeros(outputs, x.dtype) if bias is None else np.ascontiguousarray(bias)
    rows, *_ = windows.fitting(x.shape[2:])
    row_bytes = (x.shape[1] + outputs) * math.prod(_quotients(windows, x.shape[2:])[1:]) * itemsize
    most = max(_CHUNK_BYTES // (row_bytes * windows.stride[0]), 1)
    calls: list[tuple[Callable[..., None], tuple[int, ...]]] = []
    last: _Rows | None = None
    for images, part, memory in chunks(
        len(x), rows, most, lambda *shape: _Rows(windows, x, outputs, *shape)
    ):
        if memory is not last:
            last, offsets = memory, memory.offsets_of(inner)
            calls = [(block.kernel, _arguments(block, memory, inner, offsets, biases))
                     for block in blocks]  # fmt: skip
        memory.deal(x[images], part.start)
        for kernel, arguments in calls:
            kernel(*arguments)
        np.copyto(y[images, :, part].swapaxes(0, 1), memory.results)


def _arguments(
    block: _Block, memory: _Rows, inner: int, offsets: np.ndarray, biases: np.ndarray
) -> tuple[int, ...]:
    """What the block's kernel is called with."""
    apart = memory.out.strides[0]
    return (
        memory.out.ctypes.data + block.row * apart,
        apart,
        block.factors.ctypes.data,
        memory.memory.ctypes.data + block.group * inner * memory.distance,
        offsets.ctypes.data,
        len(offsets),
        memory.columns,
        biases.ctypes.data + block.row * biases.itemsize,
    )
