"""A plan's steps shared among threads.

Every step walks some outermost loop: rows of a batch, rows of a weight. Each thread takes its part
of the rows, the same part wherever as many rows are walked, so what follows row by row needs
nothing from the other threads. What a thread reads of the others' work, or overwrites of what they
read, is found by comparing memory, and a barrier is put between. Sums over rows are made of a
partial sum of each thread. Steps that cannot be shared are the first thread's.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_edu.compiler.arena import LINE, Layout, allocate, padded
from tinygrad_edu.compiler.code import Code, Part, Writer
from tinygrad_edu.compiler.group import Group
from tinygrad_edu.compiler.lower import base
from tinygrad_edu.compiler.steps import Product, Single, Step
from tinygrad_edu.compiler.term import Term
from tinygrad_edu.kernels import team

_BLOCK = 16
"""Rows are cut at multiples of so many: a cache line of single numbers."""

_WORTH_CUTTING = 8192
"""Bytes that a step moves below which one thread does it alone."""

_FLOP_RATE, _BYTE_RATE, _STEP, _BARRIER = 2e11, 6e10, 5e-8, 4e-7
"""What the estimate of a step's time reckons with: FLOP and bytes a second of a thread, seconds to
start a kernel, and to wait at a barrier."""

_GAIN = 0.85
"""Share of one thread's time that threads together must stay under by that estimate."""

_LARGE = 1 << 23
"""Bytes of memory from which accesses are told apart by cache lines only."""

Range = tuple[int, int]
"""Start and end in the memory of a call, in units of a few bytes."""


@dataclass
class Shares:
    """The streams of all threads; `folded` is the same work in the order of one thread, so that it
    gives the same numbers. `seconds` are the estimates for one thread and for all."""

    codes: list[Code]
    folded: Code
    counters: np.ndarray
    seconds: tuple[float, float]
    kept: list[np.ndarray] = field(default_factory=list)

    @property
    def worth(self) -> bool:
        """Whether they are estimated to be faster than one thread."""
        alone, together = self.seconds
        return together < _GAIN * alone


def cut(rows: int, threads: int) -> list[int]:
    """Where each thread's rows begin, and the end."""
    unit = _BLOCK if rows >= threads * _BLOCK else 1
    inner = [round(rows * k / threads / unit) * unit for k in range(1, threads)]
    return [0, *inner, rows]


class Sharing:
    """Writes the streams of `threads` threads."""

    def __init__(
        self,
        writer: Writer,
        layout: Layout,
        steps: Sequence[Step],
        slots: Sequence[Term],
        threads: int,
    ) -> None:
        self._writer, self._layout, self._threads = writer, layout, threads
        self.codes = [Code() for _ in range(threads)]
        self.folded = Code()
        self.kept: list[np.ndarray] = []
        self._segment: list[list[Code]] = [[] for _ in range(threads)]
        self._counters = allocate(threads * team.LINE)
        self._at: dict[Term, int] = {}
        end = layout.bytes
        for t in dict.fromkeys(slots):
            self._at[t] = end
            end += padded(t.nbytes)
        self._unit = 4 if end < _LARGE else LINE
        self._read, self._wrote = np.zeros((2, threads, -(-end // self._unit)), bool)
        self._touched: list[Range] = []  # since the last barrier
        self._pending: dict[Term, tuple[Term, list[int]]] = {}
        self._segment_seconds = [0.0] * threads
        self._together = self._alone = 0.0
        self._work = self._work_memory(steps)
        self._gathered(slots)
        for step in steps:
            self._step(step)
        self._add_up(list(self._pending))
        self._meet()

    def _work_memory(self, steps: Sequence[Step]) -> list[int]:
        """For each thread but the first, where products transpose their second operand."""
        products = [s for s in steps if isinstance(s, Product) and s.tb]
        size = max((s.sizes[1] * s.sizes[2] * s.out.dtype.itemsize for s in products), default=0)
        return [self._memory(size) if size else 0 for _ in range(1, self._threads)]

    def _gathered(self, slots: Sequence[Term]) -> None:
        """Inputs may be rows that the threads gather as a step begins, each its own."""
        for t in slots:
            if t.op is None and t.shape and t.size:
                bounds = cut(t.shape[0], self._threads)
                row = t.nbytes // t.shape[0]
                for k, (a, b) in enumerate(itertools.pairwise(bounds)):
                    self._note(self._wrote, k, self._range(t, a * row, (b - a) * row))

    @property
    def shares(self) -> Shares:
        """What was written."""
        return Shares(
            self.codes, self.folded, self._counters, (self._alone, self._together), self.kept
        )

    # ------------------------------------------------------------------ one step

    def _step(self, step: Step) -> None:
        touched = {self._layout.where(t) for t in (*step.reads, *step.outputs)}
        self._add_up([place for place in self._pending if place in touched])
        seconds = _seconds(step)
        self._alone += seconds
        parts = self._parts(step)
        if parts is not None and self._disjoint(accesses := [self._ranges(step, p) for p in parts]):
            self._wait_for(accesses)
            for k, part in enumerate(parts):
                self._append(k, step, part, seconds * part.count / sum(p.count for p in parts))
            for t in step.outputs:
                if t in parts[-1].private:
                    found = [part.private[t] for part in parts[1:]]
                    self._pending[self._layout.where(t)] = (t, found)
            return
        whole = self._ranges(step, None)
        self._wait_for([whole])
        self._append(0, step, None, seconds)

    def _append(self, k: int, step: Step, part: Part | None, seconds: float) -> None:
        code = Code()
        self._writer.write(step, code, part)
        self._segment[k].append(code)
        self._segment_seconds[k] += seconds

    def _parts(self, step: Step) -> list[Part] | None:
        """The threads' parts of a step, or None if it is not to be shared."""
        if isinstance(step, Single) or _bytes(step) < _WORTH_CUTTING:
            return None
        if isinstance(step, Product):
            rows = step.batch if step.batch > 1 else step.sizes[0]
            if step.batch > 1 and not all(step.paces):
                return None
            unit = 1
        else:
            if any(not _shareable(step, t) for t in step.outputs):
                return None
            rows, unit = _rows(step)
        bounds = cut(rows, self._threads)
        if any(a >= b for a, b in itertools.pairwise(bounds)):
            return None
        return [
            Part(a * unit, (b - a) * unit, self._private(step, k))
            for k, (a, b) in enumerate(itertools.pairwise(bounds))
        ]

    def _private(self, step: Group | Product, k: int) -> dict[Any, int]:
        """Memory of its own for thread k; the first has what one thread would have."""
        if k == 0:
            return {}
        if isinstance(step, Product):
            return {"work": self._work[k - 1]}
        found: dict[Any, int] = {}
        for t in step.outputs:
            if not step.pace(t):
                found[t] = self._memory(t.nbytes + LINE)
        for i in step.kernel.scratch:
            found[i] = self._memory(step.extents[-1] * 8 + LINE)
        return found

    def _memory(self, size: int) -> int:
        self.kept.append(allocate(padded(size)))
        return int(self.kept[-1].ctypes.data)

    # ------------------------------------------------------------------ who touches what

    def _range(self, t: Term, start: int = 0, size: int | None = None) -> Range:
        place = self._layout.where(t)
        at = self._at[place] if place in self._at else self._layout.at[place]
        at += start
        end = at + (t.nbytes if size is None else size)
        return at // self._unit, -(-end // self._unit)

    def _note(self, touched: np.ndarray, k: int, where: Range) -> None:
        touched[k, where[0] : where[1]] = True
        self._touched.append(where)

    def _ranges(self, step: Step, part: Part | None) -> tuple[list[Range], list[Range]]:
        """What a part of a step reads and writes."""
        if part is None or isinstance(step, Single):
            return [self._range(t) for t in step.reads], [self._range(t) for t in step.outputs]

        def share(t: Term, pace: int) -> Range:
            if not pace:
                return self._range(t)
            return self._range(t, part.start * pace, part.count * pace)

        if isinstance(step, Product):
            a, b, out = step.paces
            rows = self._range(step.a) if step.ta and step.batch == 1 else share(step.a, a)
            reads = [rows, share(step.b, b), share(step.out, out)]
            if step.beta is not None:
                reads.append(self._range(step.beta))
            return reads, [share(step.out, out)]
        reads = [share(base(x), step.pace(x)) for x in step.operands]
        writes = [share(t, step.pace(t)) for t in step.outputs if t not in part.private]
        return reads, writes

    def _disjoint(self, accesses: Sequence[tuple[list[Range], list[Range]]]) -> bool:
        """Whether no part writes what another one touches."""
        for k, (_, writes) in enumerate(accesses):
            for other, (reads, written) in enumerate(accesses):
                if other != k and any(
                    a < d and c < b for a, b in writes for c, d in (*reads, *written)
                ):
                    return False
        return True

    def _wait_for(self, accesses: Sequence[tuple[list[Range], list[Range]]]) -> None:
        """Put a barrier here if a part touches what another thread wrote since the last one, or
        writes what another read."""
        for k, (reads, writes) in enumerate(accesses):
            others = [q for q in range(self._threads) if q != k]
            if any(self._wrote[q, a:b].any() for q in others for a, b in (*reads, *writes)) or any(
                self._read[q, a:b].any() for q in others for a, b in writes
            ):
                self._meet()
                break
        for k, (reads, writes) in enumerate(accesses):
            for where in reads:
                self._note(self._read, k, where)
            for where in writes:
                self._note(self._wrote, k, where)

    def _meet(self) -> None:
        """End a segment: all threads wait for each other."""
        first = int(self._counters.ctypes.data)
        kernel = team.barrier()
        for k, code in enumerate(self.codes):
            for piece in self._segment[k]:
                _join(code, piece)
                _join(self.folded, piece)
            self._segment[k].clear()
            own = first + k * team.LINE
            code.words += [kernel, 4, own, first, self._threads, team.give_way()]
        for a, b in self._touched:
            self._read[:, a:b] = self._wrote[:, a:b] = False
        self._touched.clear()
        self._together += max(self._segment_seconds) + _BARRIER
        self._segment_seconds = [0.0] * self._threads

    def _add_up(self, places: Sequence[Term]) -> None:
        """Sums over all rows, of the threads' partial sums."""
        for place in places:
            t, parts = self._pending.pop(place)
            if any(self._segment[1:]):  # partial sums may be of this segment
                self._meet()
            self._wait_for([([self._range(t)], [self._range(t)])])
            code = Code()
            for part in parts:
                self._writer.instruct(code, team.accumulate(t.dtype), [t, part, t.size])
            self._segment[0].append(code)
            self._segment_seconds[0] += _STEP


def _join(code: Code, piece: Code) -> None:
    code.moving += [(len(code.words) + p, slot, offset) for p, slot, offset in piece.moving]
    code.words += piece.words


# ------------------------------------------------------------------------------ steps


def _rows(group: Group) -> tuple[int, int]:
    """How many rows a group walks, and how much of its outermost loop one row is."""
    extent = group.extents[0]
    if len(group.axes) > 1:
        return extent, 1
    rows = next((n for n in group.space if n != 1), 1)
    return rows, extent // rows


def _shareable(group: Group, t: Term) -> bool:
    """Whether threads may each make a part of an output: rows of it, or a sum over some rows."""
    kernel, i = group.kernel, group.position[t]
    if kernel.in_memory(i) or kernel.total(i):
        value = kernel.values[i]
        return value.kind == "sum" and t.dtype.kind == "f" and not any(value.varies[:-1])
    return bool(group.pace(t))


def _bytes(step: Step) -> int:
    return sum(t.nbytes for t in dict.fromkeys((*step.reads, *step.outputs)))


def _seconds(step: Step) -> float:
    """A rough estimate of a step's time in one thread."""
    if isinstance(step, Product):
        m, n, k = step.sizes
        return _STEP + 2.0 * m * n * k * step.batch / _FLOP_RATE
    return _STEP + _bytes(step) / _BYTE_RATE
