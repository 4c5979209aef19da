"""Kernels along one axis: running sums, positions of extremes, stable sorting.

An array is walked as `outer` x `count` x `inner` elements, of which the middle axis is the one in
question. Where `inner` is more than 1, several neighbours go along it at once, in vectors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.control import I64, function, loop
from tinygrad_edu.kernels.lanes import BOOL, STORED, constant, splat

ARGUMENTS = ("out", "x", "outer", "count", "inner")
"""Of all kernels here; a sort has besides the address of `sort_bytes(count)` bytes of memory."""

_WIDTH = 8
"""Neighbours that go along the axis together."""

Body = Callable[[Any, int], None]


def _lines(b: ir.IRBuilder, x: dict[str, Any], body: Body, widths: tuple[int, ...]) -> None:
    """body(first, width) for each line along the axis, or so many lines side by side; `first` is
    the number of the element where they start."""
    with loop(b, I64(0), x["outer"], 1) as o:
        row = b.mul(o, b.mul(x["count"], x["inner"]))
        start: Any = I64(0)
        for width in widths:
            stop = b.and_(x["inner"], I64(-width))
            with loop(b, start, stop, width) as i:
                body(b.add(row, i), width)
            start = stop


def _kind(element: ir.Type, width: int) -> ir.Type:
    return element if width == 1 else ir.VectorType(element, width)


def _slot(b: ir.IRBuilder, kind: ir.Type) -> Any:
    """Memory for a number that changes, at the function's beginning."""
    with b.goto_entry_block():
        return b.alloca(kind)


class _Array:
    """An argument that is the address of an array."""

    def __init__(self, b: ir.IRBuilder, address: Any, element: ir.Type, size: int) -> None:
        self.b, self.address, self.element, self.size = b, address, element, size

    def _place(self, i: Any, width: int) -> Any:
        place = self.b.add(self.address, self.b.mul(i, I64(self.size)))
        return self.b.inttoptr(place, _kind(self.element, width).as_pointer())

    def load(self, i: Any, width: int = 1) -> Any:
        """Elements from number i on."""
        value = self.b.load(self._place(i, width))
        value.align = self.size
        return value

    def store(self, value: Any, i: Any, width: int = 1) -> None:
        """Set them."""
        self.b.store(value, self._place(i, width), align=self.size)


def _arrays(
    name: str, dtype: np.dtype[Any], result: np.dtype[Any]
) -> tuple[ir.Module, ir.IRBuilder, Callable[[int], Any], dict[str, Any]]:
    module, b, argument = function(name)
    x: dict[str, Any] = {key: argument(q) for q, key in enumerate(ARGUMENTS)}
    x["out"] = _Array(b, x["out"], STORED[result], result.itemsize)
    x["x"] = _Array(b, x["x"], STORED[dtype], dtype.itemsize)
    return module, b, argument, x


# ------------------------------------------------------------------------------ running sums


def _running_sum(dtype: np.dtype[Any], reverse: bool, name: str) -> str:
    """A float32 total is kept in float64, so that its error does not grow with the count."""
    module, b, _, x = _arrays(name, dtype, dtype)
    wide = ir.DoubleType() if dtype.kind == "f" else STORED[dtype]
    add = b.fadd if dtype.kind == "f" else b.or_ if dtype == BOOL else b.add

    def line(first: Any, width: int) -> None:
        kind, total = _kind(wide, width), _slot(b, _kind(wide, width))
        b.store(constant(kind, 0), total)
        with loop(b, I64(0), x["count"], 1) as j:
            j = b.sub(b.sub(x["count"], I64(1)), j) if reverse else j
            at = b.add(first, b.mul(j, x["inner"]))
            value = x["x"].load(at, width)
            value = b.fpext(value, kind) if value.type != kind else value
            value = add(b.load(total), value)
            b.store(value, total)
            narrow = _kind(STORED[dtype], width)
            x["out"].store(b.fptrunc(value, narrow) if narrow != kind else value, at, width)

    _lines(b, x, line, (_WIDTH, 1))
    b.ret_void()
    return str(module)


def running_sum(dtype: np.dtype[Any], reverse: bool) -> int:
    """Address of the kernel that sums along an axis, from its end if `reverse`."""
    make = functools.partial(_running_sum, dtype, reverse)
    return llvm.address(f"running sum {dtype} {reverse}", make, optimise=True)


# ------------------------------------------------------------------------------ extremes

_LANES = 16
"""Elements of one line that are compared at once."""


def _extreme(dtype: np.dtype[Any], largest: bool, name: str) -> str:
    """The first of several equal ones; the first nan, if there is one."""
    module, b, _, x = _arrays(name, dtype, np.dtype(np.int64))
    before = functools.partial(_before, b, dtype, descending=largest, nan_first=True)

    def further(first: Any, at: Any, slots: tuple[Any, Any], width: int, positions: Any) -> None:
        """Let better elements replace the best ones and their positions."""
        best, found = slots
        value = x["x"].load(b.add(first, b.mul(at, x["inner"])), width)
        better = before(value, b.load(best))
        b.store(b.select(better, value, b.load(best)), best)
        b.store(b.select(better, positions, b.load(found)), found)

    def slots_of(width: int) -> tuple[Any, Any]:
        return _slot(b, _kind(STORED[dtype], width)), _slot(b, _kind(I64, width))

    def neighbours(first: Any, width: int) -> None:
        best, found = slots_of(width)
        b.store(x["x"].load(first, width), best)
        b.store(constant(_kind(I64, width), 0), found)
        start: Any = I64(1)
        if width == 1:
            start = _slot(b, I64)
            b.store(I64(1), start)
            apart = b.icmp_signed("==", x["inner"], I64(1))
            with b.if_then(b.and_(apart, b.icmp_signed(">=", x["count"], I64(_LANES)))):
                b.store(in_lanes(first, (best, found)), start)
            start = b.load(start)
        with loop(b, start, x["count"], 1) as j:
            further(first, j, (best, found), width, splat(b, j, width))
        outer = b.udiv(first, b.mul(x["count"], x["inner"]))
        place = b.add(b.mul(outer, x["inner"]), b.urem(first, x["inner"]))
        x["out"].store(b.load(found), place, width)

    def in_lanes(first: Any, one: tuple[Any, Any]) -> Any:
        """The best of whole registers of a line, each lane's at first; where the rest begins."""
        slots, stop = slots_of(_LANES), b.and_(x["count"], I64(-_LANES))
        count = ir.Constant(ir.VectorType(I64, _LANES), list(range(_LANES)))
        b.store(x["x"].load(first, _LANES), slots[0])
        b.store(count, slots[1])
        with loop(b, I64(_LANES), stop, _LANES) as j:
            further(first, j, slots, _LANES, b.add(splat(b, j, _LANES), count))
        lanes = [b.load(slot) for slot in slots]
        for lane in range(_LANES):
            value, at = (b.extract_element(x, ir.IntType(32)(lane)) for x in lanes)
            best, found = map(b.load, one)
            earlier = b.and_(b.not_(before(best, value)), b.icmp_signed("<", at, found))
            better = b.or_(before(value, best), earlier)
            b.store(b.select(better, value, best), one[0])
            b.store(b.select(better, at, found), one[1])
        return stop

    _lines(b, x, neighbours, (_WIDTH, 1))
    b.ret_void()
    return str(module)


def _before(
    b: ir.IRBuilder, dtype: np.dtype[Any], x: Any, y: Any, descending: bool, nan_first: bool
) -> Any:
    """Whether x comes strictly before y; nan comes first or last."""
    sign = ">" if descending else "<"
    if dtype.kind != "f":
        return (b.icmp_unsigned if dtype == BOOL else b.icmp_signed)(sign, x, y)
    one, other = (x, y) if nan_first else (y, x)
    nan = b.and_(b.fcmp_unordered("uno", one, one), b.fcmp_ordered("ord", other, other))
    return b.or_(b.fcmp_ordered(sign, x, y), nan)


def extreme(dtype: np.dtype[Any], largest: bool) -> int:
    """Address of the kernel that finds the position of the largest or smallest along an axis."""
    make = functools.partial(_extreme, dtype, largest)
    return llvm.address(f"position of extreme {dtype} {largest}", make, optimise=True)


# ------------------------------------------------------------------------------ sorting

_DIGIT = 8
"""Bits that one pass of a sort looks at."""

_BUCKETS = 1 << _DIGIT


def sort_bytes(count: int) -> int:
    """Memory that a sort of so many elements needs: for keys and positions, each twice, and for how
    many elements are in each bucket."""
    return 8 * (4 * count + _BUCKETS)


def _sort(dtype: np.dtype[Any], descending: bool, name: str) -> str:
    """Radix sort from the last digit on, each pass of which keeps the order of equal digits
    (Knuth, *Sorting and Searching*, 5.2.5). A digit that all elements share needs no pass."""
    module, b, argument, x = _arrays(name, dtype, np.dtype(np.int64))
    n, memory = x["count"], argument(len(ARGUMENTS))
    size = b.mul(n, I64(8))
    keys, others, buckets = (b.add(memory, b.mul(size, I64(part))) for part in (0, 2, 4))
    counts = _Array(b, buckets, I64, 8)
    source, target = _slot(b, I64), _slot(b, I64)  # positions are right behind the keys

    def array(slot: Any, part: int) -> _Array:
        return _Array(b, b.add(b.load(slot), b.mul(size, I64(part))), I64, 8)

    def digit(key: Any, shift: Any) -> Any:
        return b.and_(b.lshr(key, shift), I64(_BUCKETS - 1))

    def one_pass(shift: Any) -> None:
        old, old_positions = array(source, 0), array(source, 1)
        new, new_positions = array(target, 0), array(target, 1)
        with loop(b, I64(0), I64(_BUCKETS), 1) as q:
            counts.store(I64(0), q)
        with loop(b, I64(0), n, 1) as j:
            bucket = digit(old.load(j), shift)
            counts.store(b.add(counts.load(bucket), I64(1)), bucket)
        shared = b.icmp_signed("==", counts.load(digit(old.load(I64(0)), shift)), n)
        with b.if_then(b.not_(shared)):
            start = _slot(b, I64)
            b.store(I64(0), start)
            with loop(b, I64(0), I64(_BUCKETS), 1) as q:
                following = b.add(b.load(start), counts.load(q))
                counts.store(b.load(start), q)
                b.store(following, start)
            with loop(b, I64(0), n, 1) as j:
                key = old.load(j)
                bucket = digit(key, shift)
                place = counts.load(bucket)
                counts.store(b.add(place, I64(1)), bucket)
                new.store(key, place)
                new_positions.store(old_positions.load(j), place)
            b.store(old.address, target)
            b.store(new.address, source)

    def line(first: Any, width: int) -> None:
        with b.if_then(b.icmp_signed(">", n, I64(0))):
            b.store(keys, source)
            b.store(others, target)
            begin, numbers = array(source, 0), array(source, 1)
            with loop(b, I64(0), n, 1) as j:
                value = x["x"].load(b.add(first, b.mul(j, x["inner"])))
                begin.store(_key(b, dtype, value, descending), j)
                numbers.store(j, j)
            with loop(b, I64(0), I64(8 * dtype.itemsize), _DIGIT) as shift:
                one_pass(shift)
            found = array(source, 1)
            with loop(b, I64(0), n, 1) as j:
                x["out"].store(found.load(j), b.add(first, b.mul(j, x["inner"])))

    _lines(b, x, line, (1,))
    b.ret_void()
    return str(module)


def _key(b: ir.IRBuilder, dtype: np.dtype[Any], value: Any, descending: bool) -> Any:
    """An unsigned integer in the order of the numbers. The two zeros are equal, so are all nans,
    which are the largest; otherwise the bits of positive floats are in their order already, and
    those of negative ones in the reverse."""
    bits = 8 * dtype.itemsize
    whole = ir.IntType(bits)
    sign = whole(1 << (bits - 1))
    if dtype.kind == "f":
        value = b.fadd(value, constant(value.type, 0.0))  # -0 + 0 = 0
        nan = b.fcmp_unordered("uno", value, value)
        value = b.select(nan, constant(value.type, float("nan")), value)
        value = b.bitcast(value, whole)
        value = b.xor(value, b.or_(b.ashr(value, whole(bits - 1)), sign))
    elif dtype != BOOL:
        value = b.xor(value, sign)
    value = b.xor(value, whole(-1)) if descending else value
    return value if bits == 64 else b.zext(value, I64)


def sort(dtype: np.dtype[Any], descending: bool) -> int:
    """Address of the kernel that finds the positions that sort along an axis, stably. nan counts as
    the largest."""
    make = functools.partial(_sort, dtype, descending)
    return llvm.address(f"sort {dtype} {descending}", make, optimise=True)
