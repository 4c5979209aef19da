"""The largest element of each window, where it stands, or the sum, in one pass over memory.

Windows lie over the last axes of an array: planes. A vector holds neighbouring results of a row;
the row is made from some rows of its plane, which a table names, for with padding they differ from
row to row. What a vector reads beyond the ends of these is masked, so no memory is padded.

This module is loaded with LLVM, on first use.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels import door, llvm
from tinygrad_edu.kernels.control import I32, I64, function, loop
from tinygrad_edu.kernels.convolution.windows import Sizes, Windows, rows_of_windows, table_of
from tinygrad_edu.kernels.lanes import TYPES, constant, splat

LARGEST, POSITIONS, SUM = "largest", "positions", "sum"
"""What a kernel finds: the largest element of each window, its position, the sum of all."""

REALS = (np.dtype(np.float32), np.dtype(np.float64))

ARGUMENTS = ("out", "x", "first", "planes", "plane", "rows", "table", "entry", "count", "size")
"""Of a kernel: the result and the source of some planes, the number of the first; elements of a
source plane; how many rows of results a plane has, the table with so many numbers an entry, the
results in a row, and the elements of a source row."""

_MOST_TAPS = 32
"""Elements of a window along the last axis above which kernels would be long."""

_SHUFFLED = 2
"""Steps from one window to the next up to which vectors are loaded whole and shuffled; beyond,
elements are gathered."""


@dataclass(frozen=True)
class Pooling:
    """A kernel for windows of `taps` elements along the last axis, so many steps apart, the first
    of them `before` elements before the row; it `finds` LARGEST, POSITIONS or SUM."""

    dtype: np.dtype[Any]
    finds: str
    taps: int
    stride: int
    before: int
    dilation: int

    @property
    def address(self) -> int:
        """Where the kernel is."""
        return llvm.address(f"{self}", lambda name: _Writer(self, name).text, optimise=True)


class _Writer:
    """Writes a kernel."""

    def __init__(self, pooling: Pooling, name: str) -> None:
        self.pooling, self.itemsize = pooling, pooling.dtype.itemsize
        self.lanes = llvm.host().vector_bytes // self.itemsize
        self.real = ir.VectorType(TYPES[pooling.dtype], self.lanes)
        self.integer = ir.VectorType(ir.IntType(8 * self.itemsize), self.lanes)
        self.steps = ir.Constant(self.integer, [pooling.stride * q for q in range(self.lanes)])
        self.neutral = constant(self.real, 0.0 if pooling.finds == SUM else -math.inf)
        module, self.b, argument = function(name)
        self.x = {key: argument(q) for q, key in enumerate(ARGUMENTS)}
        with self.b.goto_entry_block():
            self.best, self.found = self.b.alloca(self.real), self.b.alloca(self.integer)
        with (
            loop(self.b, I64(0), self.x["planes"], 1) as plane,
            loop(self.b, I64(0), self.x["rows"], 1) as row,
            loop(self.b, I64(0), self.x["count"], self.lanes) as column,
        ):
            self._vector(plane, row, column)
        self.b.ret_void()
        self.text = str(module)

    # ------------------------------------------------------------------ one vector of results

    def _vector(self, plane: Any, row: Any, column: Any) -> None:
        b, x = self.b, self.x
        words = b.mul(b.mul(row, x["entry"]), I64(8))
        entry = b.inttoptr(b.add(x["table"], words), I64.as_pointer())
        source = b.mul(plane, x["plane"])
        b.store(self.neutral, self.best)
        first = b.load(b.gep(entry, [I64(1)]))
        b.store(b.add(self._splat(first), self._first_tap(column)), self.found)
        with loop(b, I64(0), b.load(b.gep(entry, [I64(0)])), 1) as i:
            start = b.load(b.gep(entry, [b.add(i, I64(1))]))
            for tap in range(self.pooling.taps):
                shift = self.pooling.dilation * tap - self.pooling.before
                at = b.add(b.mul(column, I64(self.pooling.stride)), I64(shift))
                self._compare(self._row(b.add(source, start), at), b.add(start, at))
        number = b.add(b.mul(b.add(b.mul(plane, x["rows"]), row), x["count"]), column)
        inside = self._below(self._lane_numbers(column, 1), x["count"])
        if self.pooling.finds == POSITIONS:
            wide = ir.VectorType(I64, self.lanes)
            found = b.load(self.found)
            found = b.sext(found, wide) if found.type != wide else found
            origin = b.mul(b.add(x["first"], plane), x["plane"])
            self._store(b.add(found, splat(b, origin, self.lanes)), number, 8, inside)
        else:
            self._store(b.load(self.best), number, self.itemsize, inside)

    def _compare(self, value: Any, position: Any) -> None:
        """Let larger elements replace the best ones: the first of equals, and the last nan. Or add
        them."""
        b = self.b
        best = b.load(self.best)
        if self.pooling.finds == SUM:
            b.store(b.fadd(best, value), self.best)
            return
        larger = b.fcmp_ordered(">", value, best)
        wins = b.or_(larger, b.fcmp_unordered("uno", value, value))
        b.store(b.select(wins, value, best), self.best)
        if self.pooling.finds == POSITIONS:
            positions = b.add(self._splat(position), self.steps)
            b.store(b.select(wins, positions, b.load(self.found)), self.found)

    def _first_tap(self, column: Any) -> Any:
        """Where in the row the first element of each window is that is not before the row: the
        winner if all are -inf."""
        b, dilation = self.b, self.pooling.dilation
        place = b.sub(
            self._lane_numbers(b.mul(column, I64(self.pooling.stride)), self.pooling.stride),
            constant(self.integer, self.pooling.before),
        )
        if not self.pooling.before:
            return place
        missing = b.sub(constant(self.integer, dilation - 1), place)
        taps = b.sdiv(missing, constant(self.integer, dilation))
        negative = b.icmp_signed("<", place, constant(self.integer, 0))
        inside = b.add(place, b.mul(taps, constant(self.integer, dilation)))
        return b.select(negative, inside, place)

    # ------------------------------------------------------------------ memory

    def _row(self, start: Any, at: Any) -> Any:
        """The elements number `at`, and every `stride`-th from it, of a row that begins at element
        `start`; what changes nothing where the row has none."""
        b, stride = self.b, self.pooling.stride
        row = b.add(self.x["x"], b.mul(start, I64(self.itemsize)))
        if stride > _SHUFFLED:
            return self._gathered(row, at)
        parts = []
        for part in range(stride):
            here = b.add(at, I64(part * self.lanes))
            inside = self._below(self._lane_numbers(here, 1), self.x["size"])
            place = b.add(row, b.mul(here, I64(self.itemsize)))
            align = I32(self.itemsize)
            pointer = b.inttoptr(place, self.real.as_pointer())
            parts.append(self._intrinsic("load", self.real, pointer, align, inside, self.neutral))
        if stride == 1:
            return parts[0]
        chosen = ir.Constant(ir.VectorType(I32, self.lanes), [2 * q for q in range(self.lanes)])
        return b.shuffle_vector(*parts, chosen)

    def _gathered(self, row: Any, at: Any) -> Any:
        b, total = self.b, self.neutral
        inside = self._below(self._lane_numbers(at, self.pooling.stride), self.x["size"])
        for lane in range(self.lanes):
            here = b.add(at, I64(lane * self.pooling.stride))
            # Where there is nothing the row's first element is read, and not used.
            here = b.select(b.extract_element(inside, I32(lane)), here, I64(0))
            place = b.add(row, b.mul(here, I64(self.itemsize)))
            value = b.load(b.inttoptr(place, self.real.element.as_pointer()))
            total = b.insert_element(total, value, I32(lane))
        return b.select(inside, total, self.neutral)

    def _store(self, value: Any, number: Any, size: int, inside: Any) -> None:
        b = self.b
        place = b.add(self.x["out"], b.mul(number, I64(size)))
        pointer = b.inttoptr(place, value.type.as_pointer())
        self._intrinsic("store", ir.VoidType(), value, pointer, I32(size), inside)

    def _intrinsic(self, what: str, result: ir.Type, *operands: Any) -> Any:
        vector = result if what == "load" else operands[0].type
        name = f"llvm.masked.{what}.v{self.lanes}{_code(vector.element)}.p0"
        kind = ir.FunctionType(result, [x.type for x in operands])
        known = self.b.module.globals.get(name)
        return self.b.call(known or ir.Function(self.b.module, kind, name), operands)

    # ------------------------------------------------------------------ integers in lanes

    def _splat(self, number: Any) -> Any:
        narrow = self.integer.element
        number = self.b.trunc(number, narrow) if narrow != I64 else number
        return splat(self.b, number, self.lanes)

    def _lane_numbers(self, start: Any, step: int) -> Any:
        numbers = ir.Constant(self.integer, [step * q for q in range(self.lanes)])
        return self.b.add(self._splat(start), numbers)

    def _below(self, numbers: Any, limit: Any) -> Any:
        """Whether numbers are from 0 to limit - 1."""
        return self.b.icmp_unsigned("<", numbers, self._splat(limit))


def _code(element: ir.Type) -> str:
    """As LLVM names it in the name of an intrinsic."""
    known = {ir.FloatType(): "f32", ir.DoubleType(): "f64", I32: "i32", I64: "i64"}
    return known[element]


# ------------------------------------------------------------------------------ a pooling of arrays


def suits(shape: Sizes, windows: Windows, dtype: np.dtype[Any]) -> bool:
    """Whether there is a kernel: for floats, planes whose elements an int32 can count, and rows of
    results that use a quarter of a vector at least, or NumPy is as fast."""
    size = shape[len(shape) - len(windows.kernel) :]
    if dtype not in REALS or not math.prod(shape) > 0 or math.prod(size) >= 1 << 30:
        return False
    lanes = llvm.host().vector_bytes // dtype.itemsize
    return 4 * windows.fitting(size)[-1] >= lanes and windows.kernel[-1] <= _MOST_TAPS


@dataclass(frozen=True, eq=False)
class Job:
    """The kernel for arrays of a shape: its address, how many planes there are and how many
    elements one has in the source and in the result, and the `table`, which must be kept."""

    kernel: int
    planes: int
    plane: int
    results: int
    rows: int
    table: np.ndarray
    count: int
    size: int

    def arguments(self, out: Any, x: Any, table: Any, first: int, planes: int) -> list[Any]:
        """As the kernel wants them, for some planes from the `first` on."""
        entry = self.table.shape[1]
        numbers = [self.plane, self.rows, table, entry, self.count, self.size]
        return [out, x, first, planes, *numbers]


@functools.lru_cache(maxsize=1024)
def job(shape: Sizes, windows: Windows, dtype: np.dtype[Any], finds: str) -> Job:
    """How to pool arrays of a shape that `suits`."""
    rank = len(windows.kernel)
    size = shape[len(shape) - rank :]
    counts = windows.fitting(size)
    table = table_of(rows_of_windows(size, windows))
    taps, stride, dilation = windows.kernel[-1], windows.stride[-1], windows.dilation[-1]
    before, _ = windows.padding[-1]
    kernel = Pooling(dtype, finds, taps, stride, before, dilation).address
    planes = math.prod(shape[: len(shape) - rank])
    rows = math.prod(counts[:-1])
    return Job(kernel, planes, math.prod(size), math.prod(counts), rows, table, counts[-1],
               size[-1])  # fmt: skip


@functools.lru_cache(maxsize=1024)
def _ticket(found: Job) -> np.ndarray:
    """What the door needs to run a job on all planes of an array."""
    words = found.arguments(0, 0, 0, 0, found.planes)
    places = [(0, 2), (1, 0), (ARGUMENTS.index("table"), 1)]
    call = door.Call(found.kernel, words, places)
    return door.ticket([call], found.planes * found.plane)


def pool(x: np.ndarray, windows: Windows, positions: bool) -> np.ndarray | None:
    """The largest element of each window, or its position in x; None if there is no kernel."""
    if not suits(x.shape, windows, x.dtype) or not door.exists():
        return None
    found = job(x.shape, windows, x.dtype, POSITIONS if positions else LARGEST)
    rank = len(windows.kernel)
    counts = windows.fitting(x.shape[x.ndim - rank :])
    out = np.empty((*x.shape[: x.ndim - rank], *counts), np.int64 if positions else x.dtype)
    return door.enter()(_ticket(found), np.ascontiguousarray(x), found.table, out)
