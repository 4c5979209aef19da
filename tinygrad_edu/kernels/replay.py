"""The compiled passes over a flat program of the scalar engine: mark, fuse, forward, reverse.

A program is arrays with one entry for each instruction: its op's code and the rows of its operands.
Row r < sources holds a number given from outside, row sources + i the result of instruction i, so
operands always come first. Operand row 0 is a number nobody uses.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Sequence
from dataclasses import dataclass

from tinygrad_edu.kernels import cache

DOT, COPY, SUM, MEAN = 255, 254, 253, 252
"""Codes of instructions that no op of the table has. DOT is start + the sum of the products of its
terms, from left to right; COPY passes a number on and no derivative; SUM and MEAN of a single
sample are the number itself."""


@dataclass(frozen=True)
class Case:
    """An op: its code, the expression of its value, and of each operand's share in its cotangent
    (see `kernels.scalar.Case`)."""

    name: str
    code: int
    value: str
    pulls: tuple[str | None, ...]


@functools.cache
def load(cases: tuple[Case, ...], primitives: str) -> types.ModuleType:
    """The kernels for these ops: `mark`, `fuse`, `forward`, `reverse`, compiled or loaded."""
    forward = [line for case in cases for line in _forward(case)]
    reverse = [line for case in cases for line in _reverse(case)]
    text = (
        f"import numpy as np\n\nDOT, COPY, SUM, MEAN = {DOT}, {COPY}, {SUM}, {MEAN}\n"
        'primitive = njit(error_model="numpy")\n\n'
        + primitives
        + _STRUCTURE
        + _FORWARD
        + _indent(forward)
        + "        value[sources + i] = y\n"
        + _REVERSE
        + _indent(reverse)
    )
    return cache.load(text, "replay")


def _forward(case: Case) -> list[str]:
    return [f"elif code == {case.code}:  # {case.name}", f"    y = {case.value}"]


def _reverse(case: Case) -> list[str]:
    lines = [f"elif code == {case.code}:  # {case.name}"]
    for i, pull in enumerate(case.pulls):
        if pull is not None:
            lines += [f"    if wanted[p{i}]:", f"        cotangent[p{i}] += {pull}"]
    return lines


def _indent(lines: Sequence[str]) -> str:
    return "".join(f"        {line}\n" for line in lines)


_STRUCTURE = """

# No fused multiply-add: a replay must give the same bits as the operations one by one.
STRICT = {**OPTIONS, "fastmath": False}


@njit("void(uint8[::1], uint32[::1], uint32[::1], uint32[::1], uint8[::1])", **STRICT)
def mark(op, left, right, third, marked):
    # Whatever a marked record depends on is marked. Codes 0 and 1 have no operands.
    for i in range(op.size - 1, -1, -1):
        if marked[i] and op[i] > 1:
            marked[left[i]] = marked[right[i]] = marked[third[i]] = 1


@njit("void(int32[::1], int64[::1])", **STRICT)
def count(operands, uses):
    for row in operands:
        uses[row] += 1


@njit(
    "int64(uint8[::1], int32[::1], int32[::1], int32[::1], int64, int32[::1], int32[::1],"
    "int32[::1], int32[::1], int32[::1])",
    **STRICT,
)
def _gather(op, left, right, third, sources, row, factor, other, rest, before):
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


@njit(
    "int64(uint8[::1], int32[::1], int32[::1], int32[::1], int64[::1], int64[::1], int64, int64,"
    "int64, int32[::1], int32[::1], int32[::1])",
    **STRICT,
)
def fuse(op, left, right, third, phase, uses, sources, add, mul, row, factor, other):
    # In place: makes DOTs, moves the instructions that remain to the front and returns how many
    # these are. `row` becomes each old row's new one, -1 for those that are gone.
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
            if chain >= 0 and rest[chain] >= 0 and uses[partial] == 1 and phase[chain] == phase[i]:
                before[i] = chain
                row[partial] = -1
            break
    return _gather(op, left, right, third, sources, row, factor, other, rest, before)


@njit(
    "void(uint8[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], uint8[::1],"
    "int64, int64, int64)",
    **STRICT,
)
def spread(op, left, right, third, factor, other, flag, sources, first_barrier, last_barrier):
    # A result has the flag if an operand has it, unless the op's code is a barrier.
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


@njit(
    "void(uint8[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], uint8[::1],"
    "int64)",
    **STRICT,
)
def reach(op, left, right, third, factor, other, marked, sources):
    # Whatever a marked row depends on is marked.
    for i in range(op.size - 1, -1, -1):
        if not marked[sources + i]:
            continue
        marked[left[i]] = 1
        if op[i] == DOT:
            for k in range(right[i], third[i]):
                marked[factor[k]] = marked[other[k]] = 1
        else:
            marked[right[i]] = marked[third[i]] = 1
"""

_FORWARD = """

@njit(
    "void(uint8[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], float64[::1],"
    "int64, int64, int64)",
    **STRICT,
)
def forward(op, left, right, third, factor, other, value, sources, start, stop):
    for i in range(start, stop):
        code = op[i]
        if code == DOT:
            y = value[left[i]]
            for k in range(right[i], third[i]):
                y += value[factor[k]] * value[other[k]]
            value[sources + i] = y
            continue
        x0, x1, x2 = value[left[i]], value[right[i]], value[third[i]]
        y = x0
        if code >= MEAN:
            pass
"""

_REVERSE = """

@njit(
    "void(uint8[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], float64[::1],"
    "float64[::1], uint8[::1], uint8[::1], int64, int64, int64)",
    **STRICT,
)
def reverse(
    op, left, right, third, factor, other, value, cotangent, wanted, reached, sources, start, stop
):
    for i in range(stop - 1, start - 1, -1):
        if not reached[i]:
            continue
        code, g = op[i], cotangent[sources + i]
        p0 = left[i]
        if code == DOT:
            for k in range(third[i] - 1, right[i] - 1, -1):
                a, b = factor[k], other[k]
                cotangent[a] += g * value[b]
                cotangent[b] += g * value[a]
            cotangent[p0] += g
            continue
        p1, p2 = right[i], third[i]
        x0, x1, x2, y = value[p0], value[p1], value[p2], value[sources + i]
        if code == SUM or code == MEAN:
            cotangent[p0] += g
        elif code == COPY:
            pass
"""
