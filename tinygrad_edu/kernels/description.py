"""What a fused kernel computes: its values, and which of them are operands and outputs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

REDUCTIONS = ("sum", "amax", "amin")


@dataclass(frozen=True)
class Value:
    """One value of a kernel: an ``operand``, a ``map`` or a reduction (`REDUCTIONS`).

    `varies` says for each loop, the innermost last, whether the value differs along it. `inputs`
    are positions of earlier values. A map has a rule; `name` identifies it, rule and parameters.
    """

    kind: str
    dtype: np.dtype[Any]
    varies: tuple[bool, ...]
    inputs: tuple[int, ...] = ()
    name: str = ""
    rule: Callable[..., Any] | None = field(default=None, compare=False)
    params: Mapping[str, Any] = field(default_factory=dict, compare=False)
    costly: bool = False

    @property
    def full(self) -> bool:
        """Whether it differs along the innermost loop."""
        return self.varies[-1]

    @property
    def single(self) -> bool:
        """Whether it is one number for the whole kernel."""
        return not any(self.varies)


@dataclass(frozen=True)
class Kernel:
    """A fused kernel. Its arguments, all int64, are in this order:

    the extents of the loops; for each operand and each output its address and, for each outer loop
    along which it varies, the distance in bytes; after that of an output which is a reduction kept
    in memory (`in_memory`) the number of its elements; the addresses of the scratch rows.
    """

    values: tuple[Value, ...]
    outputs: tuple[int, ...]
    narrow: int = 0
    """The innermost extent is at most this; 0 if nothing is known of it."""

    @functools.cached_property
    def loops(self) -> int:
        """The number of outer loops."""
        return len(self.values[0].varies) - 1

    def lanes(self, vector_bytes: int) -> int:
        """How many elements of the widest full values a vector register of such size holds."""
        widest = max((v.dtype.itemsize for v in self.values if v.full), default=4)
        return vector_bytes // max(widest, 4)

    @functools.cached_property
    def operands(self) -> tuple[int, ...]:
        """Positions of the operands."""
        return tuple(i for i, v in enumerate(self.values) if v.kind == "operand")

    @functools.cached_property
    def levels(self) -> tuple[int, ...]:
        """The pass over the row in which each value is known."""
        levels: list[int] = []
        for v in self.values:
            levels.append(max((levels[x] + self.row_reduction(x) for x in v.inputs), default=0))
        return tuple(levels)

    @functools.cached_property
    def scratch(self) -> tuple[int, ...]:
        """Costly full values that a later pass needs again."""
        later = {
            x
            for i, v in enumerate(self.values)
            for x in v.inputs
            if self.levels[i] > self.levels[x]
        }
        return tuple(sorted(i for i in later if self.values[i].costly and self.values[i].full))

    def row_reduction(self, i: int) -> bool:
        """Whether value i reduces the innermost loop alone."""
        v = self.values[i]
        if v.kind not in REDUCTIONS or self.loops == 0:
            return False
        x = self.values[v.inputs[0]]
        return x.full and not v.full and x.varies[:-1] == v.varies[:-1]

    def total(self, i: int) -> bool:
        """Whether value i reduces all loops, from a full value: kept in vector accumulators."""
        v = self.values[i]
        return v.kind in REDUCTIONS and v.single and self.values[v.inputs[0]].full

    def in_memory(self, i: int) -> bool:
        """Whether value i is a reduction over outer loops that is kept in memory."""
        v = self.values[i]
        return v.kind in REDUCTIONS and not self.row_reduction(i) and not self.total(i)

    @functools.cached_property
    def signature(self) -> str:
        """What two kernels must share to be the same code."""
        lines = [
            f"{v.kind} {v.dtype} {''.join(map(str, map(int, v.varies)))} {v.name} {v.inputs} "
            f"{int(v.costly)}"
            for v in self.values
        ]
        return "\n".join([*lines, str(self.outputs), f"narrow {self.narrow}"])
