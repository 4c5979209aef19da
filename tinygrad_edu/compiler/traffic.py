"""Which thread touches what, and when threads must wait for each other.

Every step walks some outermost loop: rows of a batch, rows of a weight. Each thread takes its part
of the rows, the same part wherever as many rows are walked, so what follows row by row needs
nothing from the other threads. What a thread reads of the others' work, or overwrites of what they
read, is found by comparing memory, and there they meet. Sums over rows are made of a partial sum of
each thread. Steps that cannot be shared are the first thread's.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from tinygrad_edu.compiler.arena import Places, padded
from tinygrad_edu.compiler.group import Group
from tinygrad_edu.compiler.lower import base
from tinygrad_edu.compiler.order import predecessors
from tinygrad_edu.compiler.steps import Product, Single, Step
from tinygrad_edu.compiler.term import Term
from tinygrad_edu.kernels.alignment import LINE

_BLOCK = 16
"""Rows are cut at multiples of so many: a cache line of single numbers."""

_WORTH_MEETING = 4096
"""Bytes that a step moves below which one thread does it alone, if others would have to wait."""

_FLOP_RATE, _BYTE_RATE, _STEP, _MEETING = 2e11, 6e10, 5e-8, 4e-7
"""What the estimate of a step's time reckons with: FLOP and bytes a second of a thread, seconds to
start a kernel, and to meet."""

_GAIN = 0.85
"""Share of one thread's time that threads together must stay under by that estimate."""

_FOR_BLAS = 1e9
"""FLOP of a product from which BLAS's own threads are faster: of a step with products of 512 x 2048
x 2048 they take 67 ms, and threads that share its rows 71."""

_LARGE = 1 << 23
"""Bytes of memory from which accesses are told apart by cache lines only."""

Bounds = list[int]
"""Where each thread's part of an outermost loop begins, and the end of the last."""

Range = tuple[int, int]
"""Start and end in memory, in units of a few bytes."""

Access = tuple[list[Range], list[Range]]
"""What one thread's part of a step reads and writes."""


def cut(rows: int, threads: int) -> Bounds:
    """Where each thread's rows begin, and the end."""
    unit = _BLOCK if rows >= threads * _BLOCK else 1
    inner = [round(rows * k / threads / unit) * unit for k in range(1, threads)]
    return [0, *inner, rows]


def bounds_of(step: Step, threads: int) -> Bounds | None:
    """How the outermost loop of a step is cut, or None if it cannot be shared."""
    if any(not t.size for t in (*step.reads, *step.outputs)):
        return None
    unit = 1
    if isinstance(step, Single):
        if step.shared is None:
            return None
        rows = step.shared.rows
    elif isinstance(step, Product):
        if step.batch > 1 and not all(step.paces):
            return None
        rows = step.batch if step.batch > 1 else step.sizes[0]
    else:
        if any(not _shareable(step, t) for t in step.outputs):
            return None
        rows, unit = _rows(step)
    bounds = cut(rows, threads)
    if any(a >= b for a, b in itertools.pairwise(bounds)):
        return None
    return [a * unit for a in bounds]


def sums(step: Step) -> list[Term]:
    """Outputs of a shared step of which each thread makes a partial sum."""
    if isinstance(step, Single):
        return step.outputs if step.shared is not None and not step.shared.pace else []
    return [t for t in step.outputs if not step.pace(t)] if isinstance(step, Group) else []


class Traffic:
    """Walks steps, each whole in the first thread or shared among `threads`, and lets threads meet
    where they must. What happens is told to `_do`, `_add` and `_met`, which others fill in.

    Args:
        threads: How many.
        where: The term in whose place a term is kept.
        at: The place of each such term, in bytes.
        size: Bytes of memory of them all.
    """

    def __init__(
        self, threads: int, where: Callable[[Term], Term], at: Mapping[Term, int], size: int
    ) -> None:
        self._threads, self._where, self._at = threads, where, at
        self._unit = 4 if size < _LARGE else LINE
        self._read, self._wrote = np.zeros((2, threads, -(-size // self._unit)), bool)
        self._touched: list[Range] = []  # since they last met
        self._partial: dict[Term, tuple[Term, bool]] = {}  # by place: the sum, if made since
        self._seconds = [0.0] * threads
        self.alone = self.together = 0.0

    # ------------------------------------------------------------------ what others fill in

    def _do(self, step: Step, bounds: Bounds | None) -> None:
        """The threads do their parts of a step, or the first does it whole."""

    def _add(self, t: Term) -> None:
        """The first thread adds the others' partial sums to its own."""

    def _met(self) -> None:
        """All threads wait for each other."""

    # ------------------------------------------------------------------ walking

    def gathered(self, slots: Iterable[Term]) -> None:
        """Inputs may be rows that the threads gather as a step begins, each its own."""
        for t in slots:
            if t.op is None and t.shape and t.size:
                bounds = cut(t.shape[0], self._threads)
                row = t.nbytes // t.shape[0]
                for k, (a, b) in enumerate(itertools.pairwise(bounds)):
                    self._note(self._wrote, k, self._range(t, a * row, (b - a) * row))

    def waits(self, step: Step) -> bool:
        """Whether threads would have to meet before this step."""
        parts = self._partials(step)
        if any(fresh for _, fresh in parts):
            return True
        bounds, blocked = self._choose(step)
        return blocked or bool(parts and bounds)

    def take(self, step: Step) -> None:
        """The next step."""
        self._add_up([place for place in self._partial if place in self._places(step)])
        bounds, blocked = self._choose(step)
        if blocked:
            self.meet()
        seconds = _seconds_of(step)
        self.alone += _STEP + seconds
        self._do(step, bounds)
        for k, access in enumerate(self._accesses(step, bounds)):
            self._took(k, access)
            share = (bounds[k + 1] - bounds[k]) / (bounds[-1] - bounds[0]) if bounds else 1.0
            self._seconds[k] += _STEP + share * seconds
        if bounds:
            self._partial |= {self._where(t): (t, True) for t in sums(step)}

    def meet(self) -> None:
        """All threads wait for each other."""
        self._met()
        for a, b in self._touched:
            self._read[:, a:b] = self._wrote[:, a:b] = False
        self._touched.clear()
        self._partial = {place: (t, False) for place, (t, _) in self._partial.items()}
        self.together += max(self._seconds) + _MEETING
        self._seconds = [0.0] * self._threads

    def finish(self) -> None:
        """Complete all sums, and meet for the last time."""
        self._add_up(list(self._partial))
        self.meet()

    # ------------------------------------------------------------------ who touches what

    def _choose(self, step: Step) -> tuple[Bounds | None, bool]:
        """How to cut a step, None for not at all; and whether threads must meet first."""
        bounds = bounds_of(step, self._threads)
        if bounds:
            accesses = self._accesses(step, bounds)
            if self._disjoint(accesses):
                blocked = self._blocked(accesses)
                if not blocked or _bytes(step) >= _WORTH_MEETING:
                    return bounds, blocked
        return None, self._blocked(self._accesses(step, None))

    def _places(self, step: Step) -> set[Term]:
        return {self._where(t) for t in (*step.reads, *step.outputs)}

    def _partials(self, step: Step) -> list[tuple[Term, bool]]:
        return [self._partial[place] for place in self._places(step) if place in self._partial]

    def _add_up(self, places: Sequence[Term]) -> None:
        for place in places:
            if self._partial[place][1]:
                self.meet()
            t, _ = self._partial.pop(place)
            whole = [self._range(t)]
            if self._blocked([(whole, whole)]):
                self.meet()
            self._add(t)
            self._took(0, (whole, whole))
            self._seconds[0] += _STEP

    def _accesses(self, step: Step, bounds: Bounds | None) -> list[Access]:
        """What each thread's part of a step touches; one item if the first does it whole."""
        if bounds is None:
            return [([self._range(t) for t in step.reads], [self._range(t) for t in step.outputs])]
        parts = enumerate(itertools.pairwise(bounds))
        return [self._access(step, k, a, b - a) for k, (a, b) in parts]

    def _access(self, step: Step, k: int, start: int, count: int) -> Access:
        def share(t: Term, pace: int) -> Range:
            return self._range(t, start * pace, count * pace) if pace else self._range(t)

        if isinstance(step, Product):
            a, b, out = step.paces
            rows = self._range(step.a) if step.ta and step.batch == 1 else share(step.a, a)
            reads = [rows, share(step.b, b), share(step.out, out)]
            reads += [self._range(x) for x in (step.beta, step.row) if x is not None]
            return reads, [share(step.out, out)]
        if isinstance(step, Single):
            assert step.shared is not None
            paces = zip(step.reads, step.shared.paces, strict=True)
            made = share(step.out, step.shared.pace)
            return [share(t, pace) for t, pace in paces], [] if k and sums(step) else [made]
        private = sums(step) if k else []  # partial sums of all but the first are elsewhere
        reads = [share(base(x), step.pace(x)) for x in step.operands]
        writes = [share(t, step.pace(t)) for t in step.outputs if t not in private]
        return reads, writes

    def _range(self, t: Term, start: int = 0, size: int | None = None) -> Range:
        at = self._at[self._where(t)] + start
        end = at + (t.nbytes if size is None else size)
        return at // self._unit, -(-end // self._unit)

    def _took(self, k: int, access: Access) -> None:
        for touched, ranges in zip((self._read, self._wrote), access, strict=True):
            for where in ranges:
                self._note(touched, k, where)

    def _note(self, touched: np.ndarray, k: int, where: Range) -> None:
        touched[k, where[0] : where[1]] = True
        self._touched.append(where)

    def _blocked(self, accesses: Sequence[Access]) -> bool:
        """Whether a part touches what another thread wrote since they last met, or writes what
        another read."""
        for k, (reads, writes) in enumerate(accesses):
            others = [q for q in range(self._threads) if q != k]
            if any(self._wrote[q, a:b].any() for q in others for a, b in (*reads, *writes)) or any(
                self._read[q, a:b].any() for q in others for a, b in writes
            ):
                return True
        return False

    def _disjoint(self, accesses: Sequence[Access]) -> bool:
        """Whether no part writes what another one touches."""
        for k, (_, writes) in enumerate(accesses):
            for other, (reads, written) in enumerate(accesses):
                if other != k and any(
                    a < d and c < b for a, b in writes for c, d in (*reads, *written)
                ):
                    return False
        return True


# ------------------------------------------------------------------------------ a good order


def rehearse(
    steps: Sequence[Step],
    pinned: Mapping[Term, Term],
    slots: Iterable[Term],
    threads: int,
    least: float,
) -> Rehearsal | None:
    """The order in which threads share the steps; None if they cannot, if one thread takes less
    than `least` seconds, if together they hardly take less, or if BLAS's threads do better. For
    `pinned`, see `order`."""
    slots = list(slots)
    if any(isinstance(step, Product) and _flop(step) >= _FOR_BLAS for step in steps):
        return None
    for step in steps:
        if isinstance(step, Single) and not _cannot_fail(step, slots):
            return None  # an error could stop one thread while the others wait for it
    before = predecessors(steps, pinned)
    found = Rehearsal(steps, before, threads, Places(steps, pinned), slots)
    return found if found.alone >= least and found.together < _GAIN * found.alone else None


def _cannot_fail(step: Single, slots: Sequence[Term]) -> bool:
    """Whether it runs without Python, and positions it looks at are inputs: looked at before."""
    return step.native and (not step.reports or step.reads[0] in slots)


class Rehearsal(Traffic):
    """A walk with a place of its own for every term, in an order in which threads rarely meet:
    whatever needs nothing from the other threads comes first.

    `steps` are in that order; `ends` tells before which of them the threads meet.

    Args:
        steps: In an order in which they could run.
        before: For each step, by `id`, those that must come before it.
        threads: How many.
        where: The term in whose place a term is kept.
        slots: Inputs and outputs.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        before: Mapping[int, set[int]],
        threads: int,
        where: Callable[[Term], Term],
        slots: Iterable[Term],
    ) -> None:
        at: dict[Term, int] = {}
        size = 0
        for t in (*slots, *(t for step in steps for t in (*step.reads, *step.outputs))):
            if where(t) not in at:
                at[where(t)] = size
                size += padded(t.nbytes)
        super().__init__(threads, where, at, size)
        self.steps: list[Step] = []
        self.ends: set[int] = set()
        self.gathered(slots)
        self._order(steps, before)
        self.finish()

    def _order(self, steps: Sequence[Step], before: Mapping[int, set[int]]) -> None:
        after: dict[int, list[int]] = {}
        for i, step in enumerate(steps):
            for b in before[id(step)]:
                after.setdefault(b, []).append(i)
        missing = [len(before[id(step)]) for step in steps]
        ready = [i for i, count in enumerate(missing) if not count]
        blocked: list[int] = []  # what waits does so until the threads have met
        while ready or blocked:
            if not ready:
                self.meet()
                ready, blocked = sorted(blocked), []
            elif self.waits(steps[ready[0]]):
                blocked.append(heapq.heappop(ready))
                continue
            i = heapq.heappop(ready)
            self.take(steps[i])
            for k in after.get(id(steps[i]), ()):
                missing[k] -= 1
                if not missing[k]:
                    heapq.heappush(ready, k)

    def _do(self, step: Step, bounds: Bounds | None) -> None:
        self.steps.append(step)

    def _met(self) -> None:
        self.ends.add(len(self.steps))


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


def _seconds_of(step: Step) -> float:
    """A rough estimate of a step's time in one thread."""
    if isinstance(step, Product):
        return step.batch * _flop(step) / _FLOP_RATE
    if isinstance(step, Single) and step.shared is not None:
        return step.shared.flop / _FLOP_RATE + _bytes(step) / _BYTE_RATE
    return _bytes(step) / _BYTE_RATE


def _flop(product: Product) -> float:
    """Of one product of the batch."""
    return 2.0 * math.prod(product.sizes)
