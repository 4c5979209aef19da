"""Kernels that read or write where arrays of positions say.

`checked` looks at positions: it writes them counted from the front and reports those that do not
exist, since a kernel cannot raise. The others take positions that it has let pass.

A walk goes over the space of what is read or written in row-major order, so that sums come out as
NumPy's, bit for bit. Positions are loaded at the innermost axis along which one of them varies;
what lies behind is moved without looking again.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.control import I64, function, loop
from tinygrad_edu.kernels.lanes import BOOL, STORED
from tinygrad_edu.kernels.native import copy_bytes

INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)


# ------------------------------------------------------------------------------ looking

CHECK_ARGUMENTS = ("index", "out", "count", "size", "first", "ignores", "ignored", "report", "code")
"""Positions from `first` (0, or -size) to size - 1 are right, and so is `ignored`, which becomes 0,
if it `ignores` one. Else it writes to `report`: `code`, the lowest and the highest of them."""


def _checked(dtype: np.dtype[Any], name: str) -> str:
    module, b, argument = function(name)
    x = {key: argument(q) for q, key in enumerate(CHECK_ARGUMENTS)}
    index = b.inttoptr(x["index"], STORED[dtype].as_pointer())
    out = b.inttoptr(x["out"], I64.as_pointer())
    lowest, highest = b.alloca(I64), b.alloca(I64)
    b.store(x["size"], lowest)
    b.store(I64(-1), highest)
    with loop(b, I64(0), x["count"], 1) as i:
        value = b.load(b.gep(index, [i]))
        value = b.sext(value, I64) if dtype == INT32 else value
        same = b.and_(b.trunc(x["ignores"], ir.IntType(1)), _compare(b, "==", value, x["ignored"]))
        low, high = (b.load(p) for p in (lowest, highest))
        less = b.and_(_compare(b, "<", value, low), b.not_(same))
        more = b.and_(_compare(b, ">", value, high), b.not_(same))
        b.store(b.select(less, value, low), lowest)
        b.store(b.select(more, value, high), highest)
        value = b.select(_compare(b, "<", value, I64(0)), b.add(value, x["size"]), value)
        inside = b.icmp_unsigned("<", value, x["size"])
        # What does not exist becomes 0, too: kernels that still run then read what there is.
        kept = b.and_(inside, b.not_(same))
        b.store(b.select(kept, value, I64(0)), b.gep(out, [i]))
    low, high = (b.load(p) for p in (lowest, highest))
    wrong = b.or_(_compare(b, "<", low, x["first"]), _compare(b, ">=", high, x["size"]))
    with b.if_then(wrong):
        report = b.inttoptr(x["report"], I64.as_pointer())
        for q, number in enumerate((x["code"], low, high)):
            b.store(number, b.gep(report, [I64(q)]))
    b.ret_void()
    return str(module)


def _compare(b: ir.IRBuilder, sign: str, x: Any, y: Any) -> Any:
    return b.icmp_signed(sign, x, y)


def checked(dtype: np.dtype[Any]) -> int:
    """Address of the kernel that looks at positions of this dtype, int32 or int64."""
    make = functools.partial(_checked, dtype)
    return llvm.address(f"checked positions {dtype}", make, optimise=True)


# ------------------------------------------------------------------------------ walking


@dataclass(frozen=True)
class Walk:
    """A kernel over a space. `varies[d]` says, for each array of positions, whether it varies along
    axis d; there are so many `arrays`, and `dtype` is that of the elements. With `runs` what
    is read along the last axis lies without gaps.

    What it does at each element, whose number in the space is n:
        read: out[n] = memory[place]
        add: memory[place] += x[n]
        mark: memory[place] = n
        compare: out[n] = whether memory[place] == n

    Its arguments: the array in the order of the space (mark has no use for it), memory, an offset
    into it; for each array of positions its address and the distance in memory of one position from
    the next; for each axis its extent, the distance in memory of one element from the next, and for
    each array of positions that varies along it the distance of these. All distances are in bytes.
    """

    what: str
    dtype: np.dtype[Any]
    varies: tuple[tuple[bool, ...], ...]
    arrays: int
    runs: bool = False

    @property
    def address(self) -> int:
        """Where the kernel is."""
        return llvm.address(f"walk {self}", self._emit, optimise=True)

    def _emit(self, name: str) -> str:
        return _Writer(self, name).text


class _Writer:
    def __init__(self, walk: Walk, name: str) -> None:
        self.walk = walk
        module, self.b, argument = function(name)
        rest = map(argument, itertools.count())
        self.space = next(rest)
        memory = self.b.add(next(rest), next(rest))
        pairs = [(next(rest), next(rest)) for _ in range(walk.arrays)]
        self.distances = [distance for _, distance in pairs]
        self.axes = [
            (next(rest), next(rest), [next(rest) if varies else None for varies in row])
            for row in walk.varies
        ]
        along = [d for d, row in enumerate(walk.varies) if any(row)]
        self.looks = max(along, default=-1) + 1
        """The first axis from which on no positions vary."""
        self.number = self.b.alloca(I64)
        self.b.store(I64(0), self.number)
        self._from(0, memory, [start for start, _ in pairs])
        self.b.ret_void()
        self.text = str(module)

    def _from(self, depth: int, memory: Any, positions: list[Any]) -> None:
        """The walk from axis `depth` on, with the addresses that the axes before it lead to."""
        b = self.b
        if depth == self.looks:
            for place, distance in zip(positions, self.distances, strict=True):
                position = b.load(b.inttoptr(place, I64.as_pointer()))
                memory = b.add(memory, b.mul(position, distance))
            positions = []
        if depth == len(self.axes):
            self._element(memory)
            return
        extent, step, steps = self.axes[depth]
        if self.walk.runs and depth == len(self.axes) - 1:
            n, size = b.load(self.number), I64(self.walk.dtype.itemsize)
            target = b.add(self.space, b.mul(n, size))
            copy_bytes(b, memory, target, b.mul(extent, size))
            b.store(b.add(n, extent), self.number)
            return
        with loop(b, I64(0), extent, 1) as i:
            moved = [
                place if own is None else b.add(place, b.mul(i, own))
                for place, own in zip(positions, steps, strict=False)
            ]
            self._from(depth + 1, b.add(memory, b.mul(i, step)), moved)

    def _element(self, memory: Any) -> None:
        b, what = self.b, self.walk.what
        n = b.load(self.number)
        b.store(b.add(n, I64(1)), self.number)
        if what in ("mark", "compare"):
            place = b.inttoptr(memory, I64.as_pointer())
            if what == "mark":
                b.store(n, place)
                return
            same = b.icmp_signed("==", b.load(place), n)
            b.store(b.zext(same, STORED[BOOL]), self._of_space(STORED[BOOL], n))
            return
        kind = STORED[self.walk.dtype]
        place, element = b.inttoptr(memory, kind.as_pointer()), self._of_space(kind, n)
        if what == "read":
            b.store(b.load(place), element)
        else:
            b.store(self._sum(b.load(place), b.load(element)), place)

    def _of_space(self, kind: ir.Type, n: Any) -> Any:
        return self.b.gep(self.b.inttoptr(self.space, kind.as_pointer()), [n])

    def _sum(self, x: Any, y: Any) -> Any:
        if self.walk.dtype.kind == "f":
            return self.b.fadd(x, y)
        return (self.b.or_ if self.walk.dtype == BOOL else self.b.add)(x, y)
