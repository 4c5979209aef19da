"""One piece of memory for everything: where each value lies, and until when."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tinygrad_edu.compiler.group import Group
from tinygrad_edu.compiler.lower import base
from tinygrad_edu.compiler.order import overwrites
from tinygrad_edu.compiler.steps import Product, Step
from tinygrad_edu.compiler.term import Term
from tinygrad_edu.kernels.alignment import LINE, address_of


def padded(size: int) -> int:
    """The size rounded up to whole lines: everything starts at one, and kernels rely on that."""
    return max((size + LINE - 1) // LINE * LINE, LINE)


class Places:
    """In whose place each term is kept: a new value in its state's, the initial content of a
    product in the product's."""

    def __init__(self, steps: Sequence[Step], pinned: Mapping[Term, Term]) -> None:
        self._pinned = pinned
        self._joined = {
            base(s.init): s.out
            for s in steps
            if isinstance(s, Product) and s.init is not None and s.beta is None
        }

    def __call__(self, t: Term) -> Term:
        t = base(t)
        t = self._joined.get(t, t)
        return self._pinned.get(t, t)


class Layout:
    """Offsets in bytes of all terms that have memory.

    States and constants keep their places; what steps compute shares the rest: a place is free
    again after its last reader, and a kernel may overwrite an operand that dies in it. `moving`
    terms live outside (inputs and outputs of a call). Where threads share the steps, `ends` are
    those before which they meet, and a place is free again only then.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        states: Iterable[Term],
        constants: Iterable[Term],
        pinned: Mapping[Term, Term],
        moving: set[Term],
        ends: set[int] | None = None,
    ) -> None:
        self.where = Places(steps, pinned)
        self.at: dict[Term, int] = {}
        self.scratch: dict[tuple[int, int], int] = {}
        self.bytes = 0
        self._free: list[tuple[int, int]] = []
        self._later: list[tuple[int, int]] = []
        self._at_ends = ends is not None
        self._moving = moving
        for t in (*states, *constants):
            self.at[t] = self.bytes
            self.bytes += padded(t.nbytes)
        self._permanent = set(self.at) | moving
        self._overrun = {t for s in steps if isinstance(s, Group) for t in _overrunning(s)}
        last = self._last_uses(steps)
        for k, step in enumerate(steps):
            if ends and k in ends:
                self._release()
            self._place(step, k, last)
        self.work = self.bytes
        self.bytes += padded(
            max((s.work_bytes for s in steps if isinstance(s, Product)), default=0)
        )

    def offset(self, t: Term) -> int:
        """Bytes from the start of the arena."""
        return self.at[self.where(t)]

    def _room(self, t: Term) -> int:
        return padded(t.nbytes + (LINE if t in self._overrun else 0))

    def _last_uses(self, steps: Sequence[Step]) -> dict[Term, int]:
        last: dict[Term, int] = {}
        for k, step in enumerate(steps):
            for t in (*step.reads, *step.outputs):
                last[self.where(t)] = k
        return last

    def _place(self, step: Step, k: int, last: dict[Term, int]) -> None:
        for t in step.outputs:
            place = self.where(t)
            if place in self.at or place in self._moving:
                continue
            dying = self._overwritten(step, t, k, last) if isinstance(step, Group) else None
            if dying is not None:
                self.at[place] = self.at[dying]
                last[dying] = -1  # its memory lives on under another name
            else:
                self.at[place] = self._take(self._room(place))
        if isinstance(step, Group):
            size = padded(step.extents[-1] * 8)
            for i in step.kernel.scratch:
                self.scratch[id(step), i] = self._take(size)
            for i in step.kernel.scratch:
                self._give(size, self.scratch[id(step), i])
        for place in dict.fromkeys(self.where(t) for t in (*step.reads, *step.outputs)):
            if last[place] == k and place not in self._permanent:
                self._give(self._room(place), self.at[place])

    def _overwritten(self, group: Group, t: Term, k: int, last: Mapping[Term, int]) -> Term | None:
        """An operand that dies in this group and whose place t may take."""
        if t.shape != group.space:
            return None
        for x in group.operands:
            place = self.where(x)
            same = x.shape == t.shape and x.dtype == t.dtype
            if same and last[place] == k and place not in self._permanent:
                readers = [o for o in group.operands if self.where(o) is place]
                if all(overwrites(group, t, base(o)) for o in readers):
                    return place
        return None

    def _take(self, size: int) -> int:
        i = bisect.bisect_left(self._free, (size, -1))
        if i < len(self._free) and self._free[i][0] <= 2 * size + 4 * LINE:
            room, offset = self._free.pop(i)
            if room > size:
                bisect.insort(self._free, (room - size, offset + size))
            return offset
        offset = self.bytes
        self.bytes += size
        return offset

    def _give(self, size: int, offset: int) -> None:
        if self._at_ends:
            self._later.append((size, offset))
        else:
            bisect.insort(self._free, (size, offset))

    def _release(self) -> None:
        for room in self._later:
            bisect.insort(self._free, room)
        self._later.clear()


def _overrunning(group: Group) -> list[Term]:
    """Reductions kept in memory in several rows: the vector at the end of the last row reaches
    beyond it, and what it finds there it writes back, perhaps after another output was written."""
    kernel = group.kernel
    found = []
    for t in group.outputs:
        i = group.position[t]
        varies = kernel.values[i].varies
        if kernel.in_memory(i) and varies[-1] and any(varies[:-1]):
            found.append(t)
    return found


def allocate(size: int) -> np.ndarray:
    """Zeroed bytes that start at a multiple of `LINE`."""
    raw = np.zeros(size + LINE, np.uint8)
    skip = -address_of(raw) % LINE
    return raw[skip : skip + size]
