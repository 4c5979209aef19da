"""A group of terms that one kernel computes, and the space that the kernel walks.

The space is the shape of the group's largest terms. Neighbouring axes along which all terms of the
group behave alike are walked as one; the innermost axis after that is the one done in vectors.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable

from tinygrad_edu.compiler.lower import base, is_copy
from tinygrad_edu.compiler.rules import is_reduction, rule_of
from tinygrad_edu.compiler.term import Term
from tinygrad_edu.kernels.description import Kernel, Value

Shape = tuple[int, ...]
Pattern = tuple[bool, ...]

LARGEST = 150
"""Terms of a group: what takes longer to compile gains nothing from fewer passes over memory."""

NARROW = (8, 16)
"""Lengths of rows that a vector register may hold."""

_OPERAND, _MAP, _ROW, _LAST = range(4)
"""How a shape takes part in a group: read, computed by a rule, reduced along the rows, or reduced
so that it is known only after the last row."""


def space_of(t: Term) -> Shape:
    """The space a term is computed in."""
    return t.inputs[0].shape if is_reduction(t) else t.shape


def is_final(t: Term) -> bool:
    """Whether t is a reduction that is complete only after the last row."""
    if not is_reduction(t):
        return False
    axes = [axis for axis, size in enumerate(t.inputs[0].shape) if size != 1]
    reduced = [axis for axis in axes if t.shape[axis] == 1]
    return len(reduced) == len(axes) or reduced != axes[len(axes) - len(reduced) :]


class Group:
    """Terms of one kernel; `outputs` are those that are stored."""

    def __init__(self, root: Term) -> None:
        self.space = space_of(root)
        self.nodes: list[Term] = []
        self.outputs: list[Term] = [root]
        self.roles: frozenset[tuple[int, Shape]] = frozenset()
        self.add(root, self.space)

    def add(self, t: Term, space: Shape) -> None:
        """Let t be computed here, too."""
        self.nodes.append(t)
        self.space = space
        self.roles |= roles_of(t)

    def space_with(self, t: Term) -> Shape | None:
        """The space this group would walk if t joined it, or None if they do not fit."""
        space = self.space
        if is_reduction(t):
            if space_of(t) != space:
                if t.shape != space:
                    return None
                space = space_of(t)  # a group of row values goes on along the rows
        elif len(t.shape) > len(space) and t.size != 1:
            return None
        return space if legal(space, self.roles | roles_of(t)) else None

    # ------------------------------------------------------------------ once complete

    def finish(self) -> None:
        """Fix the order of the terms, the operands and the kernel."""
        self.nodes.sort(key=lambda t: t.index)
        self.outputs.sort(key=lambda t: t.index)
        member = set(self.nodes)
        self.operands = list(
            dict.fromkeys(x for t in self.nodes for x in t.inputs if x not in member)
        )
        self.axes = collapsed(self.space, self.roles)
        position = {t: i for i, t in enumerate([*self.operands, *self.nodes])}
        values = [Value("operand", x.dtype, self.pattern(x)) for x in self.operands]
        for t in self.nodes:
            inputs = tuple(position[x] for x in t.inputs)
            if is_reduction(t):
                values.append(Value(t.name, t.dtype, self.pattern(t), inputs))
            else:
                rule = rule_of(t)
                assert rule is not None
                details = (rule.name, rule.function, rule.params, rule.costly)
                values.append(Value("map", t.dtype, self.pattern(t), inputs, *details))
        outputs = tuple(position[t] for t in self.outputs)
        self.kernel = Kernel(tuple(values), outputs, self._narrow())
        self.position = position

    def _narrow(self) -> int:
        """The length of row of `NARROW` that the innermost loop fits into; 0 for a longer one, and
        for a kernel without rows."""
        if len(self.axes) == 1:
            return 0
        return next((n for n in NARROW if self.extents[-1] <= n), 0)

    @property
    def extents(self) -> list[int]:
        """The extents of the kernel's loops."""
        return [math.prod(self.space[d] for d in axis) for axis in self.axes]

    def pattern(self, t: Term) -> Pattern:
        """Along which of the kernel's loops t varies."""
        shape = aligned(t.shape, len(self.space))
        return tuple(any(shape[d] != 1 for d in axis) for axis in self.axes)

    def strides(self, t: Term) -> list[int]:
        """Distances in bytes along the outer loops along which t varies."""
        shape, pattern = aligned(t.shape, len(self.space)), self.pattern(t)
        found = []
        for axis, varies in zip(self.axes[:-1], pattern[:-1], strict=True):
            if varies:
                found.append(math.prod(shape[axis[-1] + 1 :]) * t.dtype.itemsize)
        return found

    def pace(self, t: Term) -> int:
        """Distance in bytes of t along the outermost loop; 0 if it does not vary along it."""
        pattern = self.pattern(t)
        if len(self.axes) == 1:
            return t.dtype.itemsize if pattern[0] else 0
        return self.strides(t)[0] if pattern[0] else 0

    def reads_elementwise(self, x: Term) -> bool:
        """Whether operand x is read at the element being written only, so that an output of the
        same shape may take its place. Rows that are no whole number of vectors are left alone: the
        masked store would stall the next row's load."""
        i = self.position[x]
        whole = len(self.axes) == 1 or self.extents[-1] % 16 == 0
        return all(self.kernel.values[i].varies) and whole and not self.kernel.scratch

    @property
    def reads(self) -> list[Term]:
        """Terms whose memory is read."""
        return [base(x) for x in self.operands]


def roles_of(t: Term) -> frozenset[tuple[int, Shape]]:
    """How t and what it reads take part in a group."""
    role = _MAP if not is_reduction(t) else _LAST if is_final(t) else _ROW
    return frozenset({(role, t.shape), *((_OPERAND, x.shape) for x in t.inputs)})


def aligned(shape: Shape, n: int) -> Shape:
    """The shape with n axes; where there are more, those in front have size 1."""
    return (1,) * (n - len(shape)) + shape[max(len(shape) - n, 0) :]


def collapsed(space: Shape, roles: Iterable[tuple[int, Shape]]) -> list[tuple[int, ...]]:
    """The space's axes, without those of size 1, neighbours that behave alike joined."""
    axes = [d for d, size in enumerate(space) if size != 1]
    patterns = {tuple(aligned(s, len(space))[d] != 1 for d in axes) for _, s in roles}
    joined: list[list[int]] = []
    for i, d in enumerate(axes):
        if i and all(p[i] == p[i - 1] for p in patterns):
            joined[-1].append(d)
        else:
            joined.append([d])
    return [tuple(axis) for axis in joined] or [()]


@functools.lru_cache(maxsize=4096)
def legal(space: Shape, roles: frozenset[tuple[int, Shape]]) -> bool:
    """Whether a kernel can compute terms of these roles in one walk over the space."""
    axes = collapsed(space, roles)
    for role, shape in roles:
        shape = aligned(shape, len(space))
        if any(s not in (1, n) for s, n in zip(shape, space, strict=True)):
            return False
        pattern = tuple(any(shape[d] != 1 for d in axis) for axis in axes)
        row = all(pattern[:-1])
        if role == _MAP and not (row or not any(pattern)):
            return False
        if role == _ROW and (pattern[-1] or not row or len(axes) < 2):
            return False
    return True


def is_fusible(t: Term) -> bool:
    """Whether an emitted kernel can compute t."""
    if is_reduction(t):
        return t.inputs[0].dtype == t.dtype and legal(space_of(t), roles_of(t))
    return rule_of(t) is not None and (is_copy(t) or legal(t.shape, roles_of(t)))
