"""Several kernels over the same matrix, all of whose sums are over its rows, become one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tinygrad_edu.compiler.group import Group, Shape, aligned, collapsed
from tinygrad_edu.compiler.lower import base
from tinygrad_edu.compiler.rules import is_reduction
from tinygrad_edu.compiler.steps import Step
from tinygrad_edu.compiler.term import Term
from tinygrad_edu.kernels.columns import BLOCK, ColumnKernel

_NEAR = 1 << 19
"""Bytes of matrices that half of a common L2 cache holds."""


class Columns(Group):
    """What these groups compute together, of which `results` are wanted."""

    kernel: ColumnKernel

    def __init__(self, groups: Sequence[Group], results: Sequence[Term]) -> None:
        self.nodes = list(dict.fromkeys(t for group in groups for t in group.nodes))
        self.outputs = [t for group in groups for t in group.outputs if t in results]
        self.space = _space(groups)
        self.roles = frozenset().union(*(group.roles for group in groups))
        self.finish()
        self.kernel = ColumnKernel(self.kernel.values, self.kernel.outputs)

    @property
    def room(self) -> int:
        """Elements of a scratch array: those of a block."""
        return self.extents[0] * BLOCK

    @property
    def is_near(self) -> bool:
        """Whether a cache holds what is read and written."""
        values, outputs = self.kernel.values, self.kernel.outputs
        sizes = [
            v.dtype.itemsize
            for i, v in enumerate(values)
            if all(v.varies) and (v.kind == "operand" or i in outputs)
        ]
        return math.prod(self.extents) * sum(sizes) <= _NEAR


def joined(steps: Sequence[Step], results: Sequence[Term]) -> list[Step]:
    """These steps as one, if they can be."""
    groups = [step for step in steps if isinstance(step, Group)]
    if len(groups) < 2 or len(groups) < len(steps) or not _fit(groups):
        return list(steps)
    columns = Columns(groups, results)
    return [columns] if columns.is_near else list(steps)


def _fit(groups: Sequence[Group]) -> bool:
    """Whether all values are matrices of one shape, one number a column, or constants; sums are
    over rows; and nothing is read under another shape than it was computed in."""
    nodes = {t for group in groups for t in group.nodes}
    reads = {x for t in nodes for x in t.inputs}
    if any(x not in nodes and base(x) in nodes for x in reads):
        return False
    space = _space(groups)
    axes = collapsed(space, frozenset().union(*(group.roles for group in groups)))
    if len(axes) != 2:
        return False

    def pattern(t: Term) -> tuple[bool, ...] | None:
        shape = aligned(t.shape, len(space))
        if any(n not in (1, size) for n, size in zip(shape, space, strict=True)):
            return None
        return tuple(any(shape[d] != 1 for d in axis) for axis in axes)

    if any(pattern(t) not in (_MATRIX, _COLUMN) for t in nodes):
        return False
    if any(pattern(x) not in (_MATRIX, _COLUMN, _NUMBER) for x in reads):
        return False
    return all(
        (pattern(t), pattern(t.inputs[0])) == (_COLUMN, _MATRIX) for t in nodes if is_reduction(t)
    )


_MATRIX, _COLUMN, _NUMBER = (True, True), (False, True), (False, False)
"""Along which of two loops, rows and columns, a value varies."""


def _space(groups: Sequence[Group]) -> Shape:
    """The shape of the matrices."""
    return max((group.space for group in groups), key=math.prod)
