"""The positions that sort along one axis, stably."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.control import I64, loop
from tinygrad_edu.kernels.lanes import BOOL, constant
from tinygrad_edu.kernels.lines import ARGUMENTS, Array, arrays, lines, slot

_DIGIT = 8
"""Bits that one pass of a sort looks at."""

_BUCKETS = 1 << _DIGIT


def sort(dtype: np.dtype[Any], descending: bool) -> int:
    """Address of the kernel that finds the positions that sort along an axis, stably. nan counts as
    the largest. Behind the arguments of all such kernels it takes the address of memory, of which
    it needs `sort_bytes(count)`."""
    return llvm.address(
        f"sort {dtype} {descending}",
        lambda name: _RadixSort(dtype, descending, name).text,
        optimise=True,
    )


def sort_bytes(count: int) -> int:
    """Memory that a sort of so many elements needs: for keys and positions, each twice, and for how
    many elements are in each bucket."""
    return 8 * (4 * count + _BUCKETS)


class _RadixSort:
    """Writes a radix sort from the last digit on, each pass of which keeps the order of equal
    digits (Knuth, *Sorting and Searching*, 5.2.5). A digit that all elements share needs no pass.
    """

    def __init__(self, dtype: np.dtype[Any], descending: bool, name: str) -> None:
        self.dtype, self.descending = dtype, descending
        module, self.b, argument, self.x = arrays(name, dtype, np.dtype(np.int64))
        b, self.count, memory = self.b, self.x["count"], argument(len(ARGUMENTS))
        self.size = b.mul(self.count, I64(8))
        keys, others, buckets = (b.add(memory, b.mul(self.size, I64(q))) for q in (0, 2, 4))
        self.keys, self.others = keys, others
        self.buckets = Array(b, buckets, I64, 8)
        self.source, self.target = slot(b, I64), slot(b, I64)
        lines(b, self.x, self._line, (1,))
        b.ret_void()
        self.text = str(module)

    def _line(self, first: Any, width: int) -> None:
        """Sort a line: its keys with their positions, digit by digit."""
        b, x = self.b, self.x
        with b.if_then(b.icmp_signed(">", self.count, I64(0))):
            b.store(self.keys, self.source)
            b.store(self.others, self.target)
            keys, positions = self._pair(self.source)
            with loop(b, I64(0), self.count, 1) as j:
                value = x["x"].load(b.add(first, b.mul(j, x["inner"])))
                keys.store(_key(b, self.dtype, value, self.descending), j)
                positions.store(j, j)
            with loop(b, I64(0), I64(8 * self.dtype.itemsize), _DIGIT) as shift:
                self._pass(shift)
            _, positions = self._pair(self.source)
            with loop(b, I64(0), self.count, 1) as j:
                x["out"].store(positions.load(j), b.add(first, b.mul(j, x["inner"])))

    def _pass(self, shift: Any) -> None:
        """Count a digit, and unless all share it distribute keys and positions by it."""
        b, buckets = self.b, self.buckets
        keys, _ = self._pair(self.source)
        with loop(b, I64(0), I64(_BUCKETS), 1) as q:
            buckets.store(I64(0), q)
        with loop(b, I64(0), self.count, 1) as j:
            bucket = self._digit(keys.load(j), shift)
            buckets.store(b.add(buckets.load(bucket), I64(1)), bucket)
        in_one = buckets.load(self._digit(keys.load(I64(0)), shift))
        with b.if_then(b.not_(b.icmp_signed("==", in_one, self.count))):
            self._distribute(shift)

    def _distribute(self, shift: Any) -> None:
        """Counts become the places where buckets begin, then elements go to their bucket's place,
        and what they came from is the memory for the next pass."""
        b, buckets = self.b, self.buckets
        (keys, positions), (new_keys, new_positions) = map(self._pair, (self.source, self.target))
        start = slot(b, I64)
        b.store(I64(0), start)
        with loop(b, I64(0), I64(_BUCKETS), 1) as q:
            following = b.add(b.load(start), buckets.load(q))
            buckets.store(b.load(start), q)
            b.store(following, start)
        with loop(b, I64(0), self.count, 1) as j:
            key = keys.load(j)
            bucket = self._digit(key, shift)
            place = buckets.load(bucket)
            buckets.store(b.add(place, I64(1)), bucket)
            new_keys.store(key, place)
            new_positions.store(positions.load(j), place)
        b.store(keys.address, self.target)
        b.store(new_keys.address, self.source)

    def _pair(self, place: Any) -> tuple[Array, Array]:
        """Keys, and their positions right behind them."""
        keys = self.b.load(place)
        return Array(self.b, keys, I64, 8), Array(self.b, self.b.add(keys, self.size), I64, 8)

    def _digit(self, key: Any, shift: Any) -> Any:
        return self.b.and_(self.b.lshr(key, shift), I64(_BUCKETS - 1))


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
