"""A traced function of Values, run on many samples at a time.

What depends on no sample is computed once, in double precision (`replay.Run`). What does is
computed in lanes (`kernels/lane_machine.py`), between the part that goes into it and the part that
reads sums over the samples.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from tinygrad_edu.compiler import vector_reader
from tinygrad_edu.compiler.fuse_sums import fuse_sums
from tinygrad_edu.compiler.recorded import Array, Program
from tinygrad_edu.compiler.replay import Run, Trace, as_slice, reached, spread
from tinygrad_edu.compiler.vector_reader import arity
from tinygrad_edu.errors import TraceError
from tinygrad_edu.graph.tape import OPS
from tinygrad_edu.graph.value import Value
from tinygrad_edu.kernels import lane_machine
from tinygrad_edu.kernels.lane_machine import (
    DOT_MIXED,
    DOT_ROWS,
    DOT_SHARED,
    SHARE_BYTES,
    WIDTH,
    Field,
)
from tinygrad_edu.kernels.replay import COPY, DOT, MEAN, SUM

DOTS = (DOT_SHARED, DOT_MIXED, DOT_ROWS)

BLOCKS_OF_A_SUM = 64
"""Blocks whose shares in a gradient are added up in the lanes' precision, before these sums are
added in double precision."""

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
            code = lane_machine.COPY if op is None else code
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


@functools.cache
def _machine(codes: frozenset[int], dtype: str) -> lane_machine.Machine:
    """The machine for some ops of the table."""
    cases = []
    for code in sorted(codes):
        op = OPS[code]
        assert op is not None
        partials = [*op.partials, *[None] * (arity(op) - len(op.partials))]
        pulls = tuple(
            None if partial is None else functools.partial(vector_reader.pull, op, i)
            for i, partial in enumerate(partials)
        )
        value = functools.partial(vector_reader.value, op)
        cases.append(lane_machine.Case(code, value, pulls))
    return lane_machine.Machine(cases, dtype)


class Memory:
    """The machine's memory for some number of samples."""

    def __init__(self, samples: int, code: LaneCode, sums: int, dtype: str) -> None:
        width = WIDTH[dtype]
        self.samples, self.blocks = samples, -(-samples // width)
        self.rows = rows = len(code.row)
        self.value = _aligned((self.blocks, rows, width), dtype)
        self.mask = _aligned((self.blocks, width), dtype)
        self.mask.reshape(-1)[:samples] = 1.0
        self.cotangent = _aligned((rows, width), dtype)
        self.share = _aligned((max(len(code.shared), 1), SHARE_BYTES), "uint8")
        self.sum = _aligned((max(sums, 1), width), "float64")

    def fill(self, first: int, x: Array) -> None:
        """Set rows, from the first on, to an array's columns; lanes without a sample repeat the
        last one."""
        width, (_, count) = self.value.shape[2], x.shape
        whole, last = self.samples // width, first + count
        packed = x[: whole * width].reshape(whole, width, count)
        self.value[:whole, first:last] = packed.transpose(0, 2, 1)
        if whole < self.blocks:
            rest = self.samples - whole * width
            self.value[whole, first:last, :rest] = x[whole * width :].T
            self.value[whole, first:last, rest:] = x[-1, :, None]

    def read(self, row: int) -> Array:
        """A row's numbers, one for each sample."""
        return self.value[:, row].reshape(-1)[: self.samples].copy()


def _aligned(shape: tuple[int, ...], dtype: str) -> Array:
    """Zeros at an address that vector instructions like."""
    count, size = int(np.prod(shape)), np.dtype(dtype).itemsize
    raw = np.zeros(count * size + 64, np.uint8)
    offset = -raw.ctypes.data % 64
    return raw[offset : offset + count * size].view(dtype).reshape(shape)


class LaneRun:
    """A trace's program with samples in lanes: forward and backward."""

    def __init__(self, trace: Trace, inputs: Sequence[Value], dtype: str) -> None:
        self.dtype, rows = dtype, _leaf_rows(trace.program)
        used = [rows[x] for x in inputs if x in rows]
        self.inputs = [x for x in inputs if x in rows]
        moved, part = in_parts(trace.program, used)
        self.program = program = fuse_sums(moved, part)
        self.run = Run(program)
        self.lane = np.zeros(program.sources + len(program.op), np.uint8)
        self.lane[used] = 1
        spread(program, self.lane, MEAN, SUM)
        n, lanes = len(program.op), np.flatnonzero(self.lane[program.sources :])
        sums = np.flatnonzero((program.op == MEAN) | (program.op == SUM))
        self._before = int(min([*lanes[:1], *sums[:1], program.split]))
        self._lanes_end = self._before + len(lanes)
        self._sums_end = self._lanes_end + len(sums)
        self._end = n
        self.code = LaneCode(program, slice(self._before, self._lanes_end), self.lane, used)
        self._means = (program.op[sums] == MEAN).tolist()
        self._sum_rows = (program.sources + sums).tolist()
        self._summed = np.array([self.code.row[int(row)] for row in program.left[sums]], np.int32)
        self._shared_rows = as_slice(np.array(list(self.code.shared), np.int64))
        self._shared_count = count = len(self.code.shared)
        spreads = self.code.spread
        self._spread_row = np.array([self.code.row[row] for row in spreads], np.int32)
        self._spread_from = np.array(list(spreads.values()), np.int32)
        self._shared, self._gradient = np.zeros(count + 1, dtype), np.zeros(count + 1)
        self._sums, self._seeds = np.zeros(len(sums) + 1), np.zeros(len(sums) + 1, dtype)
        codes = {int(op) for op in self.code.op} - {*DOTS, lane_machine.COPY}
        self._machine = _machine(frozenset(codes), dtype)
        self._reached: dict[int, tuple[Array, int]] = {}
        self._seed_row = np.zeros(1, np.int32)
        self._memory: Memory | None = None
        self._table = np.zeros(len(Field), np.int64)
        self._address, self._op = self._table.ctypes.data, self.code.op.ctypes.data
        self._many, self._one = self._summed.ctypes.data, self._seed_row.ctypes.data

    # -------------------------------------------------------------------------- forward

    def memory(self, samples: int) -> Memory:
        """The memory for so many samples, the table pointing to it."""
        if self._memory is None or self._memory.samples != samples:
            memory = self._memory = Memory(samples, self.code, len(self._sum_rows), self.dtype)
            code, table = self.code, self._table
            left, right, third = code.columns
            factor, other = code.terms
            arrays: dict[Field, Array] = {
                **{Field.OP: code.op, Field.LEFT: left, Field.RIGHT: right, Field.THIRD: third},
                **{Field.FACTOR: factor, Field.OTHER: other, Field.SHARED: self._shared},
                **{Field.SPREAD_ROW: self._spread_row, Field.SPREAD_FROM: self._spread_from},
                **{Field.VALUE: memory.value, Field.MASK: memory.mask, Field.SUM: memory.sum},
                **{Field.SUM_ROW: self._summed, Field.COTANGENT: memory.cotangent},
                **{Field.SHARE: memory.share, Field.GRADIENT: self._gradient},
                **{Field.TOTAL: self._sums, Field.SEED: self._seeds},
            }
            for field, array in arrays.items():
                table[field] = array.ctypes.data
            table[Field.COUNT], table[Field.SOURCES] = len(code.op), code.sources
            table[Field.SPREADS], table[Field.SUMS] = len(self._spread_row), len(self._summed)
            table[Field.ROWS], table[Field.SHARED_COUNT] = memory.rows, self._shared_count
            table[Field.BLOCK_BYTES] = memory.value.strides[0]
        return self._memory

    def read(self, row: int) -> Array:
        """The numbers of a row of the program."""
        assert self._memory is not None
        return self._memory.read(self.code.row[row])

    def forward(self, arrays: Sequence[Array], samples: int) -> None:
        """Everything before `backward`, for the inputs' numbers: the columns of the arrays."""
        run, memory, first = self.run, self.memory(samples), 0
        for x in arrays:
            memory.fill(first, x)
            first += x.shape[1]
        run.forward(0, self._before)
        self._shared[: self._shared_count] = run.value[self._shared_rows]
        self._table[Field.FIRST_BLOCK], self._table[Field.LAST_BLOCK] = 0, memory.blocks
        self._machine.forward(self._address)
        for k, row in enumerate(self._sum_rows):
            run.value[row] = self._sums[k] / samples if self._means[k] else self._sums[k]
        run.forward(self._sums_end, self.program.split)

    # -------------------------------------------------------------------------- backward

    def backward(self, root: int) -> None:
        """The derivatives by shared numbers, in `run.cotangent`, of the number in a row; of its
        sum over the samples if it has many."""
        run, memory = self.run, self._memory
        assert memory is not None
        run.cotangent[:] = 0.0
        if self.lane[root]:
            self._seeds[0], self._seed_row[0] = 1.0, self.code.row[root]
            self._table[Field.SEED_ROW] = self._one
            self._table[Field.SEEDS] = 1
        else:
            run.cotangent[root] = 1.0
            run.pull(root, self._sums_end, self.program.split)
            for k, row in enumerate(self._sum_rows):
                found = run.cotangent[row]
                self._seeds[k] = found / memory.samples if self._means[k] else found
            self._table[Field.SEED_ROW] = self._many
            self._table[Field.SEEDS] = len(self._summed)
        self._pull_lanes(root, memory)
        run.pull(root, 0, self._before)

    def _pull_lanes(self, root: int, memory: Memory) -> None:
        if root not in self._reached:
            part = slice(self._before, self._lanes_end)
            op = np.where(reached(self.program, [root])[part], self.code.op, 0)
            op = op.astype(np.uint8)
            self._reached[root] = op, op.ctypes.data
        table, machine = self._table, self._machine
        table[Field.OP] = self._reached[root][1]
        for first in range(0, memory.blocks, BLOCKS_OF_A_SUM):
            table[Field.FIRST_BLOCK] = first
            table[Field.LAST_BLOCK] = min(first + BLOCKS_OF_A_SUM, memory.blocks)
            machine.backward(self._address)
            self.run.cotangent[self._shared_rows] += self._gradient[: self._shared_count]
        table[Field.OP] = self._op


def _leaf_rows(program: Program) -> dict[Value, int]:
    first = program.first("leaves")
    return {leaf: first + i for i, leaf in enumerate(program.leaves)}
