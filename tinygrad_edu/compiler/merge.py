"""Groups of the same space that feed each other or read the same arrays become one kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tinygrad_edu.compiler.group import LARGEST, Group, is_final, legal
from tinygrad_edu.compiler.lower import base, is_copy
from tinygrad_edu.compiler.steps import Step
from tinygrad_edu.compiler.term import Term


class _Merger:
    """Where each group stands in the order of execution: as late as its last output has to."""

    def __init__(
        self, groups: Sequence[Group], others: Sequence[Step], rank: Mapping[Term, int]
    ) -> None:
        self.rank = rank
        self.alive = {id(g) for g in groups}
        self.place = {id(g): max(rank[t] for t in g.outputs) for g in groups}
        self.made = {t: g for g in groups for t in g.outputs}
        self.outside = {id(g): _outside(g) for g in groups}
        self.readers: dict[Term, list[Group]] = {}
        for g in groups:
            self._note(g)
        self.others_at: dict[Term, list[int]] = {}
        for step in others:
            for x in step.reads:
                self.others_at.setdefault(x, []).append(rank[step.outputs[0]])

    def _note(self, g: Group) -> None:
        for x in self.outside[id(g)]:
            self.readers.setdefault(base(x), []).append(g)

    def when(self, x: Term) -> int:
        """When x is known."""
        x = base(x)
        return self.place[id(self.made[x])] if x in self.made else self.rank.get(x, -1)

    def neighbours(self, b: Group) -> list[Group]:
        """Groups before b that it could be computed with: makers and fellow readers of arrays that
        are worth reading once."""
        row = tuple(n if d + 1 < len(b.space) else 1 for d, n in enumerate(b.space))
        big = [x for x in self.outside[id(b)] if x.size > 1 and x.shape in (b.space, row)]
        makers = [self.made[x] for x in big if x in self.made]
        fellows = [
            g
            for x in big
            for g in self.readers.get(base(x), ())
            if self.place[id(g)] < self.place[id(b)]
        ]
        return [*makers, *fellows]

    def fit(self, a: Group, b: Group) -> bool:
        """Whether one kernel may compute both. Then it takes the place of a, unless it must wait
        for what b reads."""
        if a is b or id(a) not in self.alive or a.space != b.space:
            return False
        if any(is_copy(t) for t in (*a.outputs, *b.outputs)):
            return False
        if len(a.nodes) + len(b.nodes) > LARGEST or not legal(a.space, a.roles | b.roles):
            return False
        outside = self.outside[id(b)]
        makes = set(a.outputs)
        if any(base(x) in makes and (x not in makes or is_final(x)) for x in outside):
            return False  # complete only after all rows, or read under another shape
        start = self.place[id(a)]
        early = all(x in makes or self.when(x) < start for x in outside)
        if early:
            return True
        end = self.place[id(b)]
        others = [w for t in a.outputs for w in self.others_at.get(t, ())]
        groups = [
            self.place[id(g)]
            for t in a.outputs
            for g in self.readers.get(t, ())
            if id(g) in self.alive and g is not a
        ]
        late = all(w >= end for w in (*others, *groups))
        if late:
            self.place[id(a)] = end
        return late

    def join(self, a: Group, b: Group) -> None:
        """Let a compute what b did."""
        known = set(a.nodes)
        a.nodes += [t for t in b.nodes if t not in known]
        a.outputs += b.outputs
        a.roles |= b.roles
        self.alive.discard(id(b))
        self.outside[id(a)] = _outside(a)
        for t in b.outputs:
            self.made[t] = a
        self._note(a)


def merge(groups: Sequence[Group], others: Sequence[Step], rank: Mapping[Term, int]) -> list[Group]:
    """The groups after joining those that fit."""
    merger = _Merger(groups, others, rank)
    for b in groups:
        for a in merger.neighbours(b):
            if merger.fit(a, b):
                merger.join(a, b)
                break
    return [g for g in groups if id(g) in merger.alive]


def _outside(group: Group) -> dict[Term, None]:
    """What a group reads, each once."""
    member = set(group.nodes)
    return dict.fromkeys(x for t in group.nodes for x in t.inputs if x not in member)


def prune(groups: Sequence[Group], others: Sequence[Step], roots: set[Term]) -> None:
    """What nobody outside its kernel reads is not stored."""
    needed = set(roots)
    for step in others:
        needed.update(step.reads)
    for group in groups:
        needed.update(base(x) for x in _outside(group))
    for group in groups:
        group.outputs = [t for t in group.outputs if t in needed]
