"""A traced function of Values, run on many samples at a time.

What depends on no sample is computed once, in double precision. What does is computed in lanes
(`kernels/values/lane_machine.py`), between the part that goes into it and the part that reads sums
over the samples.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_edu.compiler.values.fuse_sums import fuse_sums
from tinygrad_edu.compiler.values.recorded import Array, Program
from tinygrad_edu.compiler.values.replay import Run, Trace, spread
from tinygrad_edu.compiler.values.vector_reader import arity, kernel
from tinygrad_edu.errors import TraceError
from tinygrad_edu.graph.tape import OPS
from tinygrad_edu.graph.value import Value
from tinygrad_edu.kernels.values import lane_machine
from tinygrad_edu.kernels.values.driver import KINDS, Field
from tinygrad_edu.kernels.values.instructions import COPY, DOT, MEAN, SUM
from tinygrad_edu.kernels.values.interpreter import Case, Table, address_of
from tinygrad_edu.kernels.values.lane_machine import (
    DOT_MIXED,
    DOT_ROWS,
    DOT_SHARED,
)
from tinygrad_edu.kernels.values.lane_machine import Field as Lanes

DOTS = (DOT_SHARED, DOT_MIXED, DOT_ROWS)

BEFORE, LANES, SUMS, AFTER, LAST = range(5)
"""Parts of a program, in the order in which they run; LAST comes after `backward`."""


def in_parts(program: Program, inputs: Sequence[int]) -> tuple[Program, Array]:
    """The program with its instructions in the order of parts, and each one's part. `inputs` are
    the rows that differ from sample to sample.

    Raises `TraceError` if something of the samples' depends on a sum over them, or comes after
    `backward`.
    """
    n, sources = len(program.op), program.sources
    lane, after = np.zeros((2, sources + n), np.uint8)
    lane[list(inputs)] = 1
    spread(program, lane, MEAN, SUM)
    sums = (program.op == MEAN) | (program.op == SUM)
    after[sources:][sums] = 1
    spread(program, after, MEAN, SUM)
    lane_of, after_of = lane[sources:].astype(bool), after[sources:].astype(bool)
    if np.any(sums & ~lane[program.left].astype(bool)):
        raise TraceError("compile: sum or mean over samples of what is the same for all of them.")
    if np.any(lane_of & (after_of | (np.arange(n) >= program.split))):
        raise TraceError(
            "compile: something was computed for each sample of a sum over the samples, or after "
            "backward; that needs a second compiled function."
        )
    part = np.where(after_of, AFTER, BEFORE)
    part[lane_of], part[sums] = LANES, SUMS
    part[program.split :] = LAST
    order = np.argsort(part, kind="stable")
    row = np.arange(sources + n, dtype=np.int32)
    row[sources + order] = sources + np.arange(n)
    left, right, third = (row[column[order]] for column in program.operands())
    rows = {x: int(row[at]) for x, at in program.rows.items()}
    moved = Program(
        program.constants,
        program.leaves,
        program.grads,
        program.cotangents,
        program.op[order],
        left,
        right,
        third,
        program.split,
        rows,
    )
    return moved, part[order]


class LaneCode:
    """The lanes' part of a program for the machine: its instructions on rows of samples, numbered
    anew, and the shared numbers that they use."""

    def __init__(self, program: Program, part: slice, lane: Array, inputs: Sequence[int]) -> None:
        self._program, self._lane = program, lane
        instructions = range(part.start, part.stop)
        used: set[int] = set()
        rows: dict[int, None] = {}
        kinds = [self._kind(i, used, rows) for i in instructions]
        first, last = min(used, default=0), max(used, default=-1)
        dense = last - first < 2 * len(used)  # then rows between are copied, too, which is quicker
        shared = range(first, last + 1) if dense else sorted(used)
        self.shared = {row: k for k, row in enumerate(shared)}
        self.spread = {row: self.shared[row] for row in rows}
        self.row = {row: i for i, row in enumerate(inputs)}
        for row in self.spread:
            self.row[row] = len(self.row)
        self.sources = len(self.row)
        for i in instructions:
            self.row[program.sources + i] = len(self.row)
        self.op = np.array(kinds, np.uint8)
        self._terms: list[tuple[int, int]] = []
        columns = [self._columns(i, kind) for i, kind in zip(instructions, kinds, strict=True)]
        self.columns = np.array(columns, np.int32).reshape(-1, 3).T.copy()
        self.terms = np.array(self._terms, np.int32).reshape(-1, 2).T.copy()

    def pulls(self, op: Array) -> tuple[Array, Array, Array]:
        """The products that the cotangent of each instruction's result is a sum of, the last one
        first, where only the instructions are done that have a code in `op`: where they begin, and
        of each the shared factor and the row of the other, a cotangent."""
        count, (_, first, last) = len(op), self.columns
        sums = np.flatnonzero((op == DOT_SHARED) | (op == DOT_MIXED))[::-1]
        terms = [np.arange(first[i], last[i]) for i in sums]
        at = np.concatenate([np.zeros(0, np.int64), *terms])
        given = np.repeat(self.sources + sums, last[sums] - first[sums]).astype(np.int32)
        factor, into = self.terms[0][at], self.terms[1][at] - self.sources
        order = np.argsort(into, kind="stable")
        order = order[np.count_nonzero(into < 0) :]  # nobody asks for those of the samples
        begin = np.searchsorted(into[order], np.arange(count + 1)).astype(np.int32)
        return begin, factor[order], given[order]

    def _pairs(self, i: int) -> list[tuple[int, int]]:
        """The terms of a DOT, the shared number first."""
        p = self._program
        span = slice(p.right[i], p.third[i])
        pairs = zip(p.factor[span].tolist(), p.other[span].tolist(), strict=True)
        return [(b, a) if self._lane[a] and not self._lane[b] else (a, b) for a, b in pairs]

    def _kind(self, i: int, used: set[int], rows: dict[int, None]) -> int:
        """The machine's code; adds the shared numbers that it uses, and which of them as rows."""
        p, code = self._program, int(self._program.op[i])
        if code != DOT:
            op = None if code == COPY else OPS[code]
            columns = p.operands()[: 1 if op is None else arity(op)]
            whole = [int(column[i]) for column in columns]
        else:
            pairs, start = self._pairs(i), int(p.left[i])
            if all(not self._lane[a] and self._lane[b] for a, b in pairs):
                used.update(a for a, _ in pairs)
                if self._lane[start]:
                    return DOT_MIXED
                used.add(start)
                return DOT_SHARED
            code, whole = DOT_ROWS, [start, *(row for pair in pairs for row in pair)]
        needed = [row for row in whole if not self._lane[row]]
        used.update(needed)
        rows.update(dict.fromkeys(needed))
        return code

    def _columns(self, i: int, kind: int) -> tuple[int, int, int]:
        p = self._program
        if kind not in DOTS:
            left, right, third = (self.row.get(int(column[i]), 0) for column in p.operands())
            return left, right, third
        first = len(self._terms)
        for a, b in self._pairs(i):
            self._terms.append((self.row[a] if kind == DOT_ROWS else self.shared[a], self.row[b]))
        start = int(p.left[i])
        return (
            self.shared[start] if kind == DOT_SHARED else self.row[start],
            first,
            len(self._terms),
        )


def _kernels(codes: frozenset[int], dtype: str, width: int) -> tuple[int, int]:
    """The passes on rows of so many samples, for some ops of the tape."""
    forward, backward = (
        functools.partial(_emitted, emit, dtype, width)
        for emit in (lane_machine.forward, lane_machine.backward)
    )
    return (
        kernel(f"lanes forward {dtype} {width}", forward, codes),
        kernel(f"lanes backward {dtype} {width}", backward, codes),
    )


def _emitted(emit: Any, dtype: str, width: int, cases: Sequence[Case], name: str) -> str:
    text: str = emit(cases, dtype, width, name)
    return text


class Memory:
    """The machine's memory for some number of samples."""

    def __init__(self, count: int, code: LaneCode, sums: int, dtype: str) -> None:
        self.count, self.width = count, lane_machine.width(count, dtype)
        width, rows, blocks = self.width, len(code.row), -(-count // self.width)
        self.value = _aligned((blocks, rows, width), dtype)
        self.mask = _aligned((blocks, width), dtype)
        self.mask.reshape(-1)[:count] = 1.0
        self.cotangent = _aligned((rows, width), dtype)
        self.sum = _aligned((max(sums, 1), width), "float64")

    def read(self, row: int) -> Array:
        """A row's numbers, one for each sample."""
        return self.value[:, row].reshape(-1)[: self.count].copy()


def _aligned(shape: tuple[int, ...], dtype: str) -> Array:
    """Zeros at an address that vector instructions like."""
    count, size = int(np.prod(shape)), np.dtype(dtype).itemsize
    raw = np.zeros(count * size + 64, np.uint8)
    offset = -raw.ctypes.data % 64
    return raw[offset : offset + count * size].view(dtype).reshape(shape)


class LaneRun(Run):
    """A trace's program with samples in lanes."""

    def __init__(self, trace: Trace, inputs: Sequence[Value], dtype: str) -> None:
        self.dtype, rows = dtype, _leaf_rows(trace.program)
        used = {i: rows[x] for i, x in enumerate(inputs) if x in rows}
        moved, part = in_parts(trace.program, list(used.values()))
        program = fuse_sums(moved, part)
        super().__init__(program, dtype)
        self.lane = np.zeros(program.sources + len(program.op), np.uint8)
        self.lane[list(used.values())] = 1
        spread(program, self.lane, MEAN, SUM)
        lanes = np.flatnonzero(self.lane[program.sources :])
        sums = np.flatnonzero((program.op == MEAN) | (program.op == SUM))
        self._before = int(min([*lanes[:1], *sums[:1], program.split]))
        self._end = self._before + len(lanes)
        part_of_lanes = slice(self._before, self._end)
        self.code = LaneCode(program, part_of_lanes, self.lane, list(used.values()))
        self._means = program.op[sums] == MEAN
        self._shared = np.zeros(len(self.code.shared) + 1, dtype)
        self._gradient = np.zeros(len(self.code.shared) + 1)
        self._total, self._seed = np.zeros(len(sums) + 1), np.zeros(len(sums) + 1, dtype)
        self._divisor = np.ones(len(sums))
        self._summed = np.array([self.code.row[int(row)] for row in program.left[sums]], np.int32)
        self._in_lanes: dict[int, tuple[Array, ...]] = {}
        self._memory_of: Memory | None = None
        self._lanes_table = self._table_of_lanes()
        self._used = list(used)
        self._describe((program.sources + sums).astype(np.int32))

    def _table_of_lanes(self) -> Table:
        code, table, field = self.code, Table(Lanes), Lanes
        arrays = (code.op, *code.columns, *code.terms)
        entries = (field.OP, field.LEFT, field.RIGHT, field.THIRD, field.FACTOR, field.OTHER)
        for entry, array in zip(entries, arrays, strict=True):
            table[entry] = array
        table[field.COUNT], table[field.SOURCES] = len(code.op), code.sources
        table[field.SPREAD_ROW] = np.array([code.row[row] for row in code.spread], np.int32)
        table[field.SPREAD_FROM] = np.array(list(code.spread.values()), np.int32)
        table[field.SPREADS] = len(code.spread)
        table[field.SUM_ROW], table[field.SUMS] = self._summed, len(self._summed)
        table[field.SEED_ROW], table[field.SEEDS] = self._summed, len(self._summed)
        table[field.ROWS], table[field.SHARED_COUNT] = len(code.row), len(code.shared)
        table[field.SHARED], table[field.GRADIENT] = self._shared, self._gradient
        table[field.TOTAL], table[field.SEED] = self._total, self._seed
        return table

    def _describe(self, sums: Array) -> None:
        """Tell the driver about the lanes."""
        table = self.table
        table[Field.LANES] = self._lanes_table
        table[Field.BEFORE], table[Field.AFTER] = self._before, self._end + len(sums)
        table[Field.INPUTS] = len(self._used)
        table[Field.SHARED], table[Field.SHARED_COUNT] = self._shared, len(self.code.shared)
        table[Field.SHARED_FROM] = np.array(list(self.code.shared), np.int32)
        table[Field.SUM_ROW], table[Field.SUMS], table[Field.TOTAL] = sums, len(sums), self._total
        table[Field.DIVISOR], table[Field.SEED] = self._divisor, self._seed
        table[Field.GRADIENT] = self._gradient

    def samples(self, arrays: Sequence[Array]) -> Array:
        """Have the driver read these arrays, whose dtypes are among its `KINDS`, and whose numbers
        lie without gaps; where it looks for their addresses."""
        columns = [math.prod(x.shape[1:]) for x in arrays]
        origin = [(i, k) for i, count in enumerate(columns) for k in range(count)]
        rows = np.array([origin[i] for i in self._used], np.int32).reshape(-1, 2)
        kinds = [KINDS.index(x.dtype) for x in arrays]
        addresses, table = np.array([address_of(x) for x in arrays], np.int64), self.table
        table[Field.SAMPLE], table[Field.INPUT_FROM] = addresses, rows[:, 0].copy()
        table[Field.COLUMN] = rows[:, 1].copy()
        table[Field.COLUMNS] = np.array(columns, np.int32)[rows[:, 0]]
        table[Field.KIND] = np.array(kinds, np.int32)[rows[:, 0]]
        self._allocate(len(arrays[0]))
        return addresses

    def _allocate(self, count: int) -> None:
        """Memory for so many samples."""
        if self._memory_of is None or self._memory_of.count != count:
            memory = self._memory_of = Memory(count, self.code, len(self._summed), self.dtype)
            table, lanes = self.table, self._lanes_table
            self._divisor[self._means] = count
            codes = frozenset(int(op) for op in self.code.op if op not in (*DOTS, COPY))
            kernels = _kernels(codes, self.dtype, memory.width)
            table[Field.LANES_FORWARD], table[Field.LANES_BACKWARD] = kernels
            table[Field.SAMPLES], table[Field.BLOCKS] = count, len(memory.value)
            table[Field.WIDTH] = memory.width
            lanes[Lanes.VALUE], lanes[Lanes.BLOCK_BYTES] = memory.value, memory.value.strides[0]
            lanes[Lanes.MASK], lanes[Lanes.SUM] = memory.mask, memory.sum
            lanes[Lanes.COTANGENT] = memory.cotangent

    @property
    def width(self) -> int:
        """How many samples are computed at a time."""
        return 1 if self._memory_of is None else self._memory_of.width

    def read(self, row: int) -> Array:
        """The numbers of a row of the program, one for each sample."""
        assert self._memory_of is not None
        return self._memory_of.read(self.code.row[row])

    def differentiate(self, root: int) -> None:
        """Say of which row `drive` shall find the derivatives: of the sum over the samples, if it
        has a number for each."""
        super().differentiate(root)
        if root not in self._in_lanes:
            part = slice(self._before, self._end)
            op = np.where(self._reached[root][part] > 0, self.code.op, 0)
            self._in_lanes[root] = op.astype(np.uint8), *self.code.pulls(op)
        lanes, inside = self._lanes_table, bool(self.lane[root])
        entries = (Lanes.REACHED, Lanes.PULL, Lanes.PULL_FACTOR, Lanes.PULL_FROM)
        for entry, array in zip(entries, self._in_lanes[root], strict=True):
            lanes[entry] = array
        self.table[Field.IN_LANES] = inside
        rows = np.array([self.code.row[root]], np.int32) if inside else self._summed
        lanes[Lanes.SEED_ROW], lanes[Lanes.SEEDS] = rows, len(rows)
        if inside:
            self._seed[0] = 1.0


def _leaf_rows(program: Program) -> dict[Value, int]:
    first = program.first("leaves")
    return {leaf: first + i for i, leaf in enumerate(program.leaves)}
