"""The order of steps: operands first, updates of states as early as they can, and a state is
overwritten only after everything else that reads it."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from tinygrad_edu.compiler.group import Group
from tinygrad_edu.compiler.lower import base, is_copy
from tinygrad_edu.compiler.steps import Product, Single, Step
from tinygrad_edu.compiler.term import Term


class Cycle(Exception):
    """Steps that wait for each other: fusion made a mistake."""


def order(
    steps: Sequence[Step], rank: Mapping[Term, int], pinned: Mapping[Term, Term]
) -> tuple[list[Step], set[Term]]:
    """The steps in order, and the new values that cannot be written straight into their states
    (`pinned` maps a new value to its state) and need a copy. With any of those, the order is void.
    """
    steps = sorted(steps, key=lambda s: min(rank[t] for t in s.outputs))
    readers = _readers(steps)
    places, owner = _places(steps, pinned)
    late = {
        owner[t]
        for s in steps
        for t in s.outputs
        if t in places and s in readers.get(places[t], ()) and not _may_overwrite(s, t, places[t])
    }
    before = predecessors(steps, pinned)
    updates = _updates(steps, readers, pinned)
    looks = _needed(steps, {t: s for s in steps for t in s.outputs})
    found, left = _sorted(steps, before, [(id(s) not in looks, not updates[id(s)]) for s in steps])
    if len(found) < len(steps):
        stuck = {
            owner[t]
            for s in left
            for t in s.outputs
            if t in places and not (is_copy(t) and base(t.inputs[0]).op is not None)
        }
        if not stuck:
            raise Cycle("steps wait for each other")
        late |= stuck
    return found, late


def predecessors(steps: Sequence[Step], pinned: Mapping[Term, Term]) -> dict[int, set[int]]:
    """For each step those that must come before it, all by `id`: what makes its operands, and what
    reads a state that it overwrites."""
    made = {t: s for s in steps for t in s.outputs}
    readers, (places, _) = _readers(steps), _places(steps, pinned)
    before: dict[int, set[int]] = {}
    for s in steps:
        before[id(s)] = {id(made[x]) for x in s.reads if x in made and made[x] is not s}
        for t in s.outputs:
            if t in places:
                before[id(s)] |= {id(r) for r in readers.get(places[t], ()) if r is not s}
    return before


def _readers(steps: Sequence[Step]) -> dict[Term, list[Step]]:
    readers: dict[Term, list[Step]] = {}
    for s in steps:
        for x in s.reads:
            readers.setdefault(x, []).append(s)
    return readers


def _places(
    steps: Sequence[Step], pinned: Mapping[Term, Term]
) -> tuple[dict[Term, Term], dict[Term, Term]]:
    """Which state each term is written into, and for which new value. The initial content of a
    product is written where the product goes."""
    places, owner = dict(pinned), {t: t for t in pinned}
    for s in steps:
        if isinstance(s, Product) and s.init is not None and s.beta is None and s.out in pinned:
            start = base(s.init)
            places[start], owner[start] = pinned[s.out], s.out
    return places, owner


def _may_overwrite(s: Step, t: Term, state: Term) -> bool:
    """Whether step s may write its output t over the state, which it reads itself."""
    if isinstance(s, Product):
        return state not in (base(s.a), base(s.b))
    if isinstance(s, Single):
        return not s.native  # NumPy's result is complete before it is stored
    return overwrites(s, t, state)


def overwrites(group: Group, t: Term, x: Term) -> bool:
    """Whether the group reads the memory of x only at the element of t that it writes next."""
    kernel = group.kernel
    if kernel.levels[group.position[t]] != max(kernel.levels) or t.shape != group.space:
        return _all_at_once(group, t, x)
    return all(
        group.reads_elementwise(o) and o.dtype.itemsize == t.dtype.itemsize
        for o in group.operands
        if base(o) is x
    )


def _all_at_once(group: Group, t: Term, x: Term) -> bool:
    """Numbers that are read before the first row and written after the last."""
    single = kernel_single(group, t)
    return single and all(kernel_single(group, o) for o in group.operands if base(o) is x)


def kernel_single(group: Group, t: Term) -> bool:
    """Whether t is one number that the kernel keeps until its end."""
    i = group.position[t]
    return group.kernel.values[i].single and not group.kernel.in_memory(i)


def _updates(
    steps: Sequence[Step], readers: Mapping[Term, list[Step]], pinned: Mapping[Term, Term]
) -> dict[int, bool]:
    """Whether all that a step computes ends in states, through at most one reader each: its
    operands are in cache now, and their place is free sooner."""
    found: dict[int, bool] = {}
    for s in reversed(steps):
        found[id(s)] = all(
            (t in pinned or len(readers.get(t, ())) == 1)
            and all(found.get(id(r), False) for r in readers.get(t, ()))
            for t in s.outputs
        )
    return found


def _needed(steps: Sequence[Step], made: Mapping[Term, Step]) -> set[int]:
    """The steps that look whether positions exist, and all that these need: what may stop a program
    comes before states are changed."""
    waiting: list[Step] = [s for s in steps if isinstance(s, Single) and s.reports]
    found: set[int] = set()
    while waiting:
        s = waiting.pop()
        if id(s) not in found:
            found.add(id(s))
            waiting += [made[x] for x in s.reads if x in made]
    return found


def _sorted(
    steps: Sequence[Step], before: Mapping[int, set[int]], late: Sequence[tuple[bool, bool]]
) -> tuple[list[Step], list[Step]]:
    """A topological order in which what is not `late` comes first where there is a choice; and what
    is stuck."""
    after: dict[int, list[int]] = {}
    for k, s in enumerate(steps):
        for b in before[id(s)]:
            after.setdefault(b, []).append(k)
    waiting = {k: len(before[id(s)]) for k, s in enumerate(steps)}
    ready = [(late[k], k) for k in waiting if not waiting[k]]
    heapq.heapify(ready)
    found: list[Step] = []
    while ready:
        s = steps[heapq.heappop(ready)[1]]
        found.append(s)
        for k in after.get(id(s), ()):
            waiting[k] -= 1
            if not waiting[k]:
                heapq.heappush(ready, (late[k], k))
    done = {id(s) for s in found}
    return found, [s for s in steps if id(s) not in done]
