"""Fused kernels of short rows: the scores of a few classes, say.

A row that fits into one vector register is loaded once and stays there: no loop along it, no second
pass for what needs the sum of the row, nothing computed again.

What is one number a row (the logarithm of its sum, say) would use one lane of the register. So rows
are taken in blocks, and their numbers are computed side by side; a block is walked once per level.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from llvmlite import ir

from tinygrad_edu.kernels.control import I32, I64, loop
from tinygrad_edu.kernels.description import REDUCTIONS, Kernel
from tinygrad_edu.kernels.emit import Emitter
from tinygrad_edu.kernels.lanes import STORED, constant, splat
from tinygrad_edu.kernels.llvm import Target


def emitter_of(kernel: Kernel, target: Target) -> type[Emitter]:
    """What emits the kernel."""
    if not fits(kernel, target):
        return Emitter
    return BlockEmitter if in_blocks(kernel) else NarrowEmitter


def fits(kernel: Kernel, target: Target) -> bool:
    """Whether each row of the kernel is at most one register."""
    return target.masks and 0 < kernel.narrow <= kernel.lanes(target.vector_bytes)


class NarrowEmitter(Emitter):
    """Emits such a kernel."""

    @functools.cached_property
    def widths(self) -> tuple[int, ...]:
        return (self.kernel.lanes(self.target.vector_bytes),)

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
        self._pass(range(len(self.kernel.values)), {})

    def _pass(self, now: Iterable[int], known: dict[int, Any]) -> None:
        """Compute the values `now` of the current row; `known` are those that are there, and will
        be."""
        kernel = self.kernel
        stores: list[tuple[Any, Any, Any, Any]] = []

        def whole(i: int) -> Any:
            """Value i as a vector."""
            return known[i] if i in known else splat(self.b, self._number(i), self.widths[0])

        for i in now:
            v = kernel.values[i]
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


def in_blocks(kernel: Kernel) -> bool:
    """Whether a block of rows has enough numbers to compute side by side."""
    numbers = [v for v in kernel.values if v.kind == "map" and not v.full and not v.single]
    return kernel.loops > 0 and any(v.costly for v in numbers)


_BLOCK = 16
"""Rows of a block."""


class BlockEmitter(NarrowEmitter):
    """Emits a kernel of short rows that has costly numbers of rows. In memory on the stack it keeps
    the block's numbers, side by side, and the vectors that a later level needs."""

    def _before_rows(self) -> None:
        super()._before_rows()
        self._column = {
            i: self._memory(v.dtype, _BLOCK)
            for i, v in enumerate(self.kernel.values)
            if self._is_number(i)
        }
        levels = self.kernel.levels
        later = {x for i, v in enumerate(self.kernel.values) for x in v.inputs
                 if levels[i] > levels[x] and self.kernel.values[x].full}  # fmt: skip
        self._vectors = {
            i: self._memory(self.kernel.values[i].dtype, _BLOCK * self.widths[0]) for i in later
        }

    def _memory(self, dtype: Any, count: int) -> Any:
        """The address of so many elements on the stack."""
        with self.b.goto_entry_block():
            place = self.b.alloca(ir.VectorType(STORED[dtype], count))
            return self.b.ptrtoint(place, I64)

    def _is_number(self, i: int) -> bool:
        """Whether value i is a number of each row."""
        kernel, v = self.kernel, self.kernel.values[i]
        if v.kind in REDUCTIONS:
            return not v.full and not kernel.total(i) and kernel.values[v.inputs[0]].full
        return not v.full and not v.single

    def _over_rows(self, depth: int, indices: list[Any]) -> None:
        if depth < self.kernel.loops - 1:
            super()._over_rows(depth, indices)
            return
        b, extent = self.b, self.extents[depth]
        with loop(b, I64(0), extent, _BLOCK) as first:
            rest = b.sub(extent, first)
            count = b.select(b.icmp_signed("<", rest, I64(_BLOCK)), rest, I64(_BLOCK))

            def rows(body: Callable[[Any], None]) -> None:
                with loop(b, I64(0), count, 1) as r:
                    self._row([*indices, b.add(first, r)])
                    body(r)

            rows(self._keep_operands)
            for level in range(max(self.kernel.levels) + 1):
                now = [i for i, at in enumerate(self.kernel.levels) if at == level]
                self._numbers(now)
                if any(self.kernel.values[i].full for i in now):
                    rows(functools.partial(self._level, now))
            rows(lambda r: self._end_row(r, [*indices, b.add(first, r)]))
            self._reduce_numbers(count)

    def _keep_operands(self, r: Any) -> None:
        for i, x in self.row.items():
            self._keep(i, r, x)

    def _keep(self, i: int, r: Any, x: Any) -> None:
        dtype = self.kernel.values[i].dtype
        self.store(dtype, x, self.offset(self._column[i], r, dtype))

    def _kept(self, numbers: Iterable[int], r: Any) -> None:
        """Let `row` hold row r's numbers."""
        for i in numbers:
            dtype = self.kernel.values[i].dtype
            self.row[i] = self.load(dtype, self.offset(self._column[i], r, dtype), 1)

    def _numbers(self, now: Iterable[int]) -> None:
        """The numbers `now` of all rows of the block, side by side."""
        values = self.kernel.values
        for i in now:
            v = values[i]
            if v.kind == "map" and self._is_number(i):
                xs = [
                    splat(self.b, self.single[x], _BLOCK)
                    if values[x].single
                    else self.load(values[x].dtype, self._column[x], _BLOCK)
                    for x in v.inputs
                ]
                self.store(v.dtype, self.map(i, xs, _BLOCK), self._column[i])

    def _level(self, now: list[int], r: Any) -> None:
        """The vectors `now` of row r, and what they are reduced to."""
        values, width = self.kernel.values, self.widths[0]

        def place(i: int) -> Any:
            start = self.b.mul(r, I64(width))
            return self.offset(self._vectors[i], start, values[i].dtype)

        inputs = {x for i in now for x in values[i].inputs if values[i].full or values[x].full}
        self._kept((x for x in inputs if x in self._column), r)
        known = {
            x: self.load(values[x].dtype, place(x), width)
            for x in inputs
            if values[x].full and x not in now
        }
        work = [i for i in now if values[i].full or any(values[x].full for x in values[i].inputs)]
        self._pass(work, known)
        for i in now:
            if i in self._vectors:
                self.store(values[i].dtype, known[i], place(i))
            if i in self._column and values[i].kind in REDUCTIONS:
                self._keep(i, r, self.row[i])

    def _end_row(self, r: Any, indices: list[Any]) -> None:
        self._kept(self._column, r)
        self._finish_row()
        self._empty_sums(indices)

    def _at_once(self, i: int) -> bool:
        v = self.kernel.values[i]
        return v.single and self.kernel.in_memory(i) and v.inputs[0] in self._column

    def _reduce_numbers(self, count: Any) -> None:
        """Reduce the block's numbers, of which there are so many, where all become one."""
        b = self.b
        lanes = ir.Constant(ir.VectorType(I32, _BLOCK), list(range(_BLOCK)))
        inside = b.icmp_signed("<", lanes, splat(b, b.trunc(count, I32), _BLOCK))
        for i in filter(self._at_once, range(len(self.kernel.values))):
            v = self.kernel.values[i]
            x = self.load(v.dtype, self._column[v.inputs[0]], _BLOCK)
            x = b.select(inside, x, constant(x.type, self._empty(i)))
            place = self.address[i, "out"]
            old = self.load(v.dtype, place, 1)
            self.store(v.dtype, self.combine(i, old, self._halved(i, x, _BLOCK, 1)), place)
