"""Kernels along one axis: running sums, and the positions of extremes."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.control import I32, I64, loop
from tinygrad_edu.kernels.lanes import BOOL, STORED, constant, splat
from tinygrad_edu.kernels.lines import WIDTH, arrays, lines, slot, vector_of

# ------------------------------------------------------------------------------ running sums


def _running_sum(dtype: np.dtype[Any], reverse: bool, name: str) -> str:
    """A float32 total is kept in float64, so that its error does not grow with the count."""
    module, b, _, x = arrays(name, dtype, dtype)
    wide = ir.DoubleType() if dtype.kind == "f" else STORED[dtype]
    add = b.fadd if dtype.kind == "f" else b.or_ if dtype == BOOL else b.add

    def line(first: Any, width: int) -> None:
        kind, total = vector_of(wide, width), slot(b, vector_of(wide, width))
        b.store(constant(kind, 0), total)
        with loop(b, I64(0), x["count"], 1) as j:
            j = b.sub(b.sub(x["count"], I64(1)), j) if reverse else j
            at = b.add(first, b.mul(j, x["inner"]))
            value = x["x"].load(at, width)
            value = b.fpext(value, kind) if value.type != kind else value
            value = add(b.load(total), value)
            b.store(value, total)
            narrow = vector_of(STORED[dtype], width)
            x["out"].store(b.fptrunc(value, narrow) if narrow != kind else value, at, width)

    lines(b, x, line, (WIDTH, 1))
    b.ret_void()
    return str(module)


def running_sum(dtype: np.dtype[Any], reverse: bool) -> int:
    """Address of the kernel that sums along an axis, from its end if `reverse`."""
    make = functools.partial(_running_sum, dtype, reverse)
    return llvm.address(f"running sum {dtype} {reverse}", make, optimise=True)


# ------------------------------------------------------------------------------ extremes

_LANES = 16
"""Elements of one line that are compared at once."""


class _Extreme:
    """Writes the kernel that finds the first of equal extremes; the first nan, if there is one."""

    def __init__(self, dtype: np.dtype[Any], largest: bool, name: str) -> None:
        self.dtype, self.largest = dtype, largest
        module, self.b, _, self.x = arrays(name, dtype, np.dtype(np.int64))
        lines(self.b, self.x, self._line, (WIDTH, 1))
        self.b.ret_void()
        self.text = str(module)

    def _line(self, first: Any, width: int) -> None:
        """So many lines side by side; of one whose elements are neighbours, many at a time."""
        b, x = self.b, self.x
        best, found = self._slots(width)
        b.store(x["x"].load(first, width), best)
        b.store(constant(vector_of(I64, width), 0), found)
        start: Any = I64(1)
        if width == 1:
            start = slot(b, I64)
            b.store(I64(1), start)
            apart = b.icmp_signed("==", x["inner"], I64(1))
            with b.if_then(b.and_(apart, b.icmp_signed(">=", x["count"], I64(_LANES)))):
                b.store(self._in_lanes(first, (best, found)), start)
            start = b.load(start)
        with loop(b, start, x["count"], 1) as j:
            self._further(first, j, (best, found), width, splat(b, j, width))
        outer = b.udiv(first, b.mul(x["count"], x["inner"]))
        place = b.add(b.mul(outer, x["inner"]), b.urem(first, x["inner"]))
        x["out"].store(b.load(found), place, width)

    def _in_lanes(self, first: Any, one: tuple[Any, Any]) -> Any:
        """The best of whole registers of a line, each lane's at first; where the rest begins."""
        b, x = self.b, self.x
        slots, stop = self._slots(_LANES), b.and_(x["count"], I64(-_LANES))
        count = ir.Constant(ir.VectorType(I64, _LANES), list(range(_LANES)))
        b.store(x["x"].load(first, _LANES), slots[0])
        b.store(count, slots[1])
        with loop(b, I64(_LANES), stop, _LANES) as j:
            self._further(first, j, slots, _LANES, b.add(splat(b, j, _LANES), count))
        lanes = [b.load(each) for each in slots]
        for lane in range(_LANES):
            value, at = (b.extract_element(each, I32(lane)) for each in lanes)
            best, found = map(b.load, one)
            earlier = b.and_(b.not_(self._before(best, value)), b.icmp_signed("<", at, found))
            better = b.or_(self._before(value, best), earlier)
            b.store(b.select(better, value, best), one[0])
            b.store(b.select(better, at, found), one[1])
        return stop

    def _slots(self, width: int) -> tuple[Any, Any]:
        """Memory for the best elements and their positions."""
        kinds = vector_of(STORED[self.dtype], width), vector_of(I64, width)
        return slot(self.b, kinds[0]), slot(self.b, kinds[1])

    def _further(
        self, first: Any, at: Any, slots: tuple[Any, Any], width: int, positions: Any
    ) -> None:
        """Let better elements replace the best ones and their positions."""
        b, (best, found) = self.b, slots
        value = self.x["x"].load(b.add(first, b.mul(at, self.x["inner"])), width)
        better = self._before(value, b.load(best))
        b.store(b.select(better, value, b.load(best)), best)
        b.store(b.select(better, positions, b.load(found)), found)

    def _before(self, x: Any, y: Any) -> Any:
        """Whether x is strictly better than y."""
        b, sign = self.b, ">" if self.largest else "<"
        if self.dtype.kind != "f":
            compare = b.icmp_unsigned if self.dtype == BOOL else b.icmp_signed
            return compare(sign, x, y)
        nan = b.and_(b.fcmp_unordered("uno", x, x), b.fcmp_ordered("ord", y, y))
        return b.or_(b.fcmp_ordered(sign, x, y), nan)


def extreme(dtype: np.dtype[Any], largest: bool) -> int:
    """Address of the kernel that finds the position of the largest or smallest along an axis."""
    return llvm.address(
        f"position of extreme {dtype} {largest}",
        lambda name: _Extreme(dtype, largest, name).text,
        optimise=True,
    )
