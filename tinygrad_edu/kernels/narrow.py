"""Fused kernels of short rows: the scores of a few classes, say.

A row that fits into one vector register is loaded once and stays there: no loop along it, no second
pass for what needs the sum of the row, nothing computed again.
"""

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir

from tinygrad_edu.kernels.control import I32
from tinygrad_edu.kernels.description import REDUCTIONS, Kernel
from tinygrad_edu.kernels.emit import Emitter, lanes_of
from tinygrad_edu.kernels.lanes import constant, splat
from tinygrad_edu.kernels.llvm import Target


def fits(kernel: Kernel, target: Target) -> bool:
    """Whether each row of the kernel is at most one register."""
    return target.masks and 0 < kernel.narrow <= lanes_of(kernel, target)


class NarrowEmitter(Emitter):
    """Emits such a kernel."""

    @functools.cached_property
    def widths(self) -> tuple[int, ...]:
        return (lanes_of(self.kernel, self.target),)

    @functools.cached_property
    def together(self) -> int:
        return 1

    def _before_rows(self) -> None:
        super()._before_rows()
        width = self.widths[0]
        lanes = ir.Constant(ir.VectorType(I32, width), list(range(width)))
        count = splat(self.b, self.b.trunc(self.count, I32), width)
        self._inside = self.b.icmp_signed("<", lanes, count)

    def _passes(self) -> None:
        kernel = self.kernel
        known: dict[int, Any] = {}
        stores: list[tuple[Any, Any, Any, Any]] = []

        def whole(i: int) -> Any:
            """Value i as a vector."""
            return known[i] if i in known else splat(self.b, self._number(i), self.widths[0])

        for i, v in enumerate(kernel.values):
            if v.single and v.kind not in REDUCTIONS:
                continue
            if v.kind == "operand":
                if v.full:
                    known[i] = self.load(v.dtype, self.base[i, "in"], self.widths[0], self._inside)
            elif v.kind == "map" and v.full:
                known[i] = self.map(i, [whole(x) for x in v.inputs], self.widths[0])
                if i in kernel.outputs:
                    stores.append((v.dtype, known[i], self.base[i, "out"], self._inside))
            elif v.kind == "map":
                self.row[i] = self.map(i, [self._number(x) for x in v.inputs], 1)
            elif kernel.values[v.inputs[0]].full:
                self._reduce(i, known[v.inputs[0]], stores)
        for dtype, x, place, mask in stores:
            self.store(dtype, x, place, mask)

    def _reduce(self, i: int, x: Any, stores: list[tuple[Any, Any, Any, Any]]) -> None:
        """Reduce the vector x, or let it join what is reduced over all rows."""
        kernel, v, width = self.kernel, self.kernel.values[i], self.widths[0]
        empty = constant(x.type, self._empty(i))
        if not (v.full or kernel.total(i)):
            self.row[i] = self._halved(i, self.b.select(self._inside, x, empty), width, 1)
            return
        if not kernel.total(i):
            self._join(i, x, self.base[i, "out"], width, self._inside, stores)
            return
        old = self.b.load(self.accumulators[i, width])
        new = self.b.select(self._inside, self.combine(i, old, x), old)
        self.b.store(new, self.accumulators[i, width])
