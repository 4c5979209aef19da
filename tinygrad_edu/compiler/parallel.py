"""A plan's steps shared among threads: the streams they walk, each its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_edu.compiler.arena import Layout, allocate, padded
from tinygrad_edu.compiler.code import Code, Part, Writer
from tinygrad_edu.compiler.steps import Product, Single, Step
from tinygrad_edu.compiler.term import Term
from tinygrad_edu.compiler.traffic import Bounds, Traffic, sums
from tinygrad_edu.kernels import crew, team
from tinygrad_edu.kernels.alignment import LINE


@dataclass
class Shares:
    """The streams of all threads; `folded` is the same work in the order of one thread, so that it
    gives the same numbers. `seconds` is an estimate for one thread."""

    codes: list[Code]
    folded: Code
    counters: np.ndarray
    seconds: float
    kept: list[np.ndarray] = field(default_factory=list)


def share(
    steps: Sequence[Step], writer: Writer, layout: Layout, slots: Sequence[Term], threads: int
) -> Shares:
    """Write the streams of `threads` threads. `slots` are inputs and outputs of a call."""
    walk = _Sharing(writer, layout, steps, slots, threads)
    for step in steps:
        walk.take(step)
    walk.finish()
    return Shares(walk.codes, walk.folded, walk.counters, walk.alone, walk.kept)


class _Sharing(Traffic):
    """The walk that writes."""

    def __init__(
        self,
        writer: Writer,
        layout: Layout,
        steps: Sequence[Step],
        slots: Iterable[Term],
        threads: int,
    ) -> None:
        at, end = dict(layout.at), layout.bytes
        for t in dict.fromkeys(slots):
            at[t] = end
            end += padded(t.nbytes)
        super().__init__(threads, layout.where, at, end)
        self._writer = writer
        self.codes = [Code() for _ in range(threads)]
        self.folded = Code()
        self.kept: list[np.ndarray] = []
        self.counters = allocate(threads * crew.LINE)
        self._segment: list[list[Code]] = [[] for _ in range(threads)]
        self._sums: dict[Term, list[int]] = {}
        self._work = self._work_memory(steps)
        self.gathered(slots)

    def _do(self, step: Step, bounds: Bounds | None) -> None:
        if bounds is None:
            self._write(0, step, None)
            return
        private = [self._private(step, k) for k in range(self._threads)]
        for k, (a, b) in enumerate(itertools.pairwise(bounds)):
            self._write(k, step, Part(a, b - a, private[k]))
        for t in sums(step):
            self._sums[t] = [own[t] for own in private[1:]]

    def _write(self, k: int, step: Step, part: Part | None) -> None:
        code = Code()
        self._writer.write(step, code, part)
        self._segment[k].append(code)

    def _add(self, t: Term) -> None:
        code = Code()
        for part in self._sums.pop(t):
            self._writer.instruct(code, team.accumulate(t.dtype), [t, part, t.size])
        self._segment[0].append(code)

    def _met(self) -> None:
        first = int(self.counters.ctypes.data)
        kernel = team.barrier()
        for k, code in enumerate(self.codes):
            for piece in self._segment[k]:
                _join(code, piece)
                _join(self.folded, piece)
            self._segment[k].clear()
            own = first + k * crew.LINE
            code.words += [kernel, 4, own, first, self._threads, team.give_way()]

    # ------------------------------------------------------------------ a thread's own memory

    def _work_memory(self, steps: Sequence[Step]) -> list[int]:
        """For each thread but the first, where products transpose their second operand."""
        size = max((s.work_bytes for s in steps if isinstance(s, Product)), default=0)
        return [self._memory(size) if size else 0 for _ in range(1, self._threads)]

    def _private(self, step: Step, k: int) -> dict[Any, int]:
        """Memory of its own for thread k; the first has what one thread would have."""
        if k == 0:
            return {}
        if isinstance(step, Product):
            return {"work": self._work[k - 1]}
        found: dict[Any, int] = {t: self._memory(t.nbytes + LINE) for t in sums(step)}
        if isinstance(step, Single):
            return found
        for i in step.kernel.scratch:
            found[i] = self._memory(step.extents[-1] * 8 + LINE)
        return found

    def _memory(self, size: int) -> int:
        self.kept.append(allocate(padded(size)))
        return int(self.kept[-1].ctypes.data)


def _join(code: Code, piece: Code) -> None:
    code.moving += [(len(code.words) + p, slot, offset) for p, slot, offset in piece.moving]
    code.words += piece.words
