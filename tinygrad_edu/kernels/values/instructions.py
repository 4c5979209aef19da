"""A flat program of the scalar engine, and the passes over its structure.

A program is arrays with one entry for each instruction: its op's code and the rows of its operands.
Row r < sources holds a number given from outside, row sources + i the result of instruction i, so
operands always come first. Operand row 0 is a number nobody uses.

The passes are plain Python. They run as such on small programs, for which loading Numba would take
longer, and compiled by it on large ones.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
from typing import Any

import numpy as np

from tinygrad_edu.kernels import cache

Array = np.ndarray[Any, np.dtype[Any]]

DOT, COPY, SUM, MEAN = 255, 254, 253, 252
"""Codes of instructions that no op of the table has. DOT is start + the sum of the products of its
terms, from left to right; COPY passes a number on and no derivative; SUM and MEAN of a single
sample are the number itself."""


def mark(op: Array, left: Array, right: Array, third: Array, marked: Array) -> None:
    """Mark whatever a marked record of the tape depends on. Codes 0 and 1 have no operands."""
    for i in range(op.size - 1, -1, -1):
        if marked[i] and op[i] > 1:
            marked[left[i]] = marked[right[i]] = marked[third[i]] = 1


def count(operands: Array, uses: Array) -> None:
    """Add 1 to the uses of each operand."""
    for row in operands:
        uses[row] += 1


def _gather(
    op: Array, left: Array, right: Array, third: Array, sources: int, row: Array,
    factor: Array, other: Array, rest: Array, before: Array,
) -> int:  # fmt: skip
    """Move what remains to the front, chains of products as DOTs."""
    n, kept, terms = op.size, 0, 0
    factors, others = factor.copy(), other.copy()
    for i in range(n):
        if row[sources + i] < 0:
            continue
        row[sources + i] = sources + kept
        if rest[i] >= 0:
            first, length, chain = i, 1, before[i]
            while chain >= 0:
                first, length, chain = chain, length + 1, before[chain]
            at, chain = terms + length, i
            while chain >= 0:
                at -= 1
                factor[at], other[at] = row[factors[chain]], row[others[chain]]
                chain = before[chain]
            op[kept], left[kept] = DOT, row[rest[first]]
            right[kept], third[kept] = terms, terms + length
            terms += length
        else:
            op[kept], left[kept] = op[i], row[left[i]]
            right[kept], third[kept] = row[right[i]], row[third[i]]
        kept += 1
    return kept


def fuse(
    op: Array, left: Array, right: Array, third: Array, phase: Array, uses: Array,
    sources: int, add: int, mul: int, row: Array, factor: Array, other: Array,
) -> int:  # fmt: skip
    """Make DOTs, in place: move the instructions that remain to the front, and return how many
    these are. `row` becomes each old row's new one, -1 for those that are gone."""
    n, no_row = op.size, np.int32(-1)
    rest, before = np.full(n, no_row), np.full(n, no_row)
    for i in range(n):
        row[sources + i] = 0
    for i in range(n):
        if op[i] != add:
            continue
        for product, partial in ((right[i], left[i]), (left[i], right[i])):
            at, chain = product - sources, partial - sources
            if at < 0 or op[at] != mul or uses[product] != 1 or phase[at] != phase[i]:
                continue
            factor[i], other[i], rest[i] = left[at], right[at], partial
            row[product] = -1
            joins = chain >= 0 and rest[chain] >= 0 and uses[partial] == 1
            if joins and phase[chain] == phase[i]:
                before[i] = chain
                row[partial] = -1
            break
    return _gather(op, left, right, third, sources, row, factor, other, rest, before)


def spread(
    op: Array, left: Array, right: Array, third: Array, factor: Array, other: Array,
    flag: Array, sources: int, first_barrier: int, last_barrier: int,
) -> None:  # fmt: skip
    """Flag each result that has a flagged operand, unless its op's code is a barrier."""
    for i in range(op.size):
        if first_barrier <= op[i] <= last_barrier:
            continue
        found = flag[left[i]]
        if op[i] == DOT:
            for k in range(right[i], third[i]):
                found |= flag[factor[k]] | flag[other[k]]
        else:
            found |= flag[right[i]] | flag[third[i]]
        flag[sources + i] = found


def reach(
    op: Array, left: Array, right: Array, third: Array, factor: Array, other: Array,
    marked: Array, sources: int,
) -> None:  # fmt: skip
    """Mark whatever a marked row depends on."""
    for i in range(op.size - 1, -1, -1):
        if not marked[sources + i]:
            continue
        marked[left[i]] = 1
        if op[i] == DOT:
            for k in range(right[i], third[i]):
                marked[factor[k]] = marked[other[k]] = 1
        else:
            marked[right[i]] = marked[third[i]] = 1


# ------------------------------------------------------------------------------ compiled

LARGE = 30_000
"""Instructions from which the passes are compiled: in Python they take a microsecond for each."""

_ROWS = "int32[::1], int32[::1], int32[::1]"
_PROGRAM = f"uint8[::1], {_ROWS}, int32[::1], int32[::1]"
_SIGNATURES: dict[Any, str] = {
    mark: "void(uint8[::1], uint32[::1], uint32[::1], uint32[::1], uint8[::1])",
    count: "void(int32[::1], int64[::1])",
    _gather: f"int64(uint8[::1], {_ROWS}, int64, {_ROWS}, int32[::1], int32[::1])",
    fuse: f"int64(uint8[::1], {_ROWS}, int64[::1], int64[::1], int64, int64, int64, {_ROWS})",
    spread: f"void({_PROGRAM}, uint8[::1], int64, int64, int64)",
    reach: f"void({_PROGRAM}, uint8[::1], int64)",
}


def passes(instructions: int) -> Any:
    """`mark`, `count`, `fuse`, `spread` and `reach`, as is best for so many instructions."""
    return compiled() if instructions >= LARGE else sys.modules[__name__]


@functools.cache
def compiled() -> types.ModuleType:
    """The passes, compiled or loaded."""
    functions = (
        f'@njit("{signature}", **OPTIONS)\n{inspect.getsource(function)}'
        for function, signature in _SIGNATURES.items()
    )
    names = f"import numpy as np\n\nArray, DOT = None, {DOT}\n"
    return cache.load("\n\n".join((names, *functions)), "replay")
