"""Fused kernels of column sums, and of what waits for them: a batch norm, say.

What needs the sum of a column can be computed only after the last row. A kernel that walks row by
row would have to keep all sums in memory and end there. So columns are taken in blocks as wide as a
few vector registers, which keep the sums, and a block is walked from its first row to its last once
per level. This is for matrices that a cache holds: a block's rows lie apart, and from memory that
would be slower than to walk along whole rows.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from tinygrad_edu.kernels.control import I64, loop
from tinygrad_edu.kernels.description import REDUCTIONS, Kernel
from tinygrad_edu.kernels.emit import Emitter, Store
from tinygrad_edu.kernels.lanes import TYPES, constant, splat

BLOCK = 64
"""Columns of a block, at most: four vectors of float32 where they are widest."""


@dataclass(frozen=True)
class ColumnKernel(Kernel):
    """Two loops, rows and columns; every value varies along both, along the columns only, or is one
    number. Reductions are over the rows."""

    def row_reduction(self, i: int) -> bool:
        """Whether what reads value i waits for the end of a walk."""
        return self.values[i].kind in REDUCTIONS

    def total(self, i: int) -> bool:
        """No sum is of everything."""
        return False

    def in_memory(self, i: int) -> bool:
        """No sum is kept in memory."""
        return False

    def is_column(self, i: int) -> bool:
        """Whether value i is one number for each column."""
        return self.values[i].varies == (False, True)

    def is_matrix(self, i: int) -> bool:
        """Whether value i has a number for each row and column."""
        return all(self.values[i].varies)

    def wanted(self, level: int) -> list[int]:
        """The reductions and results that a walk computes."""
        return [
            i
            for i, v in enumerate(self.values)
            if self.levels[i] == level
            and (v.kind in REDUCTIONS or (i in self.outputs and self.is_matrix(i)))
        ]

    @functools.cached_property
    def reads(self) -> list[set[int]]:
        """For each level the matrices whose numbers its walk uses."""
        found: list[set[int]] = []
        for level in range(max(self.levels) + 1):
            now: set[int] = set()
            wanted = self.wanted(level)
            stack = [i if self.is_matrix(i) else self.values[i].inputs[0] for i in wanted]
            while stack:
                i = stack.pop()
                v = self.values[i]
                if i in now or not self.is_matrix(i):
                    continue
                now.add(i)
                if not (v.costly and any(i in before for before in found)):
                    stack += v.inputs
            found.append(now)
        return found

    @functools.cached_property
    def scratch(self) -> tuple[int, ...]:
        """Costly matrices that a later walk needs again."""
        costly = [i for i, v in enumerate(self.values) if v.costly]
        return tuple(i for i in costly if sum(i in now for now in self.reads) > 1)

    def is_known(self, i: int, level: int) -> bool:
        """Whether value i was noted in its scratch memory by an earlier walk."""
        return i in self.scratch and any(i in now for now in self.reads[:level])

    @functools.cached_property
    def signature(self) -> str:
        """As of any kernel."""
        return f"columns\n{super().signature}"


class ColumnEmitter(Emitter):
    """Emits such a kernel."""

    kernel: ColumnKernel

    @functools.cached_property
    def widths(self) -> tuple[int, ...]:
        lanes = self.target.vector_bytes // 4
        wide = (BLOCK, lanes) if lanes < BLOCK else (BLOCK,)
        return wide if self.target.masks else (*wide, 1)

    def _before_rows(self) -> None:
        for i, v in enumerate(self.kernel.values):
            if v.single and v.kind == "operand":
                self.single[i] = self.load(v.dtype, self.address[i, "in"], 1)
            elif v.single:
                self.single[i] = self.map(i, [self.single[x] for x in v.inputs], 1)

    def _over_rows(self, depth: int, indices: list[Any]) -> None:
        self._blocks(I64(0), self.count, self._block)

    def _after_rows(self) -> None:
        pass

    def _block(self, j: Any, width: int, mask: Any) -> None:
        """All walks over the columns from j on."""
        kernel = self.kernel
        columns: dict[int, Any] = {i: splat(self.b, x, width) for i, x in self.single.items()}
        for i, v in enumerate(kernel.values):
            if v.kind == "operand" and kernel.is_column(i):
                place = self.offset(self.address[i, "in"], j, v.dtype)
                columns[i] = self.load(v.dtype, place, width, mask)
        for level in range(max(kernel.levels) + 1):
            for i, v in enumerate(kernel.values):
                if kernel.levels[i] == level and kernel.is_column(i) and v.kind == "map":
                    columns[i] = self.map(i, [columns[x] for x in v.inputs], width)
            if kernel.wanted(level):
                self._walk(level, columns, j, width, mask)
        for i in kernel.outputs:
            if kernel.is_column(i):
                dtype = kernel.values[i].dtype
                place = self.offset(self.address[i, "out"], j, dtype)
                self.store(dtype, columns[i], place, mask)

    def _walk(self, level: int, columns: dict[int, Any], j: Any, width: int, mask: Any) -> None:
        """From the first row to the last; what is reduced joins `columns`."""
        b, (rows,) = self.b, self.extents
        sums = {}
        for i in self.kernel.wanted(level):
            if self.kernel.row_reduction(i):
                kind = self.shaped(TYPES[self.kernel.values[i].dtype], width)
                with b.goto_entry_block():
                    sums[i] = b.alloca(kind)
                b.store(constant(kind, self._empty(i)), sums[i])
        start: Any = I64(0)
        for together in dict.fromkeys((self.together, 1)):
            stop = b.add(start, b.and_(b.sub(rows, start), I64(-together)))
            with loop(b, start, stop, together) as r:
                self._rows([b.add(r, I64(k)) for k in range(together)],
                           level, columns, sums, (j, width, mask))  # fmt: skip
            start = stop
        columns.update((i, b.load(place)) for i, place in sums.items())

    @functools.cached_property
    def together(self) -> int:
        """How many rows are added up before they join a sum, which is wider."""
        return 4

    def _rows(
        self, rows: list[Any], level: int, columns: dict[int, Any], sums: dict[int, Any],
        block: tuple[Any, int, Any],
    ) -> None:  # fmt: skip
        """What a walk does with neighbouring rows: loads first, stores last."""
        joining: dict[int, list[Any]] = {i: [] for i in sums}
        stores: list[Store] = []
        for row in rows:
            known = self._matrices(row, level, columns, block, stores)
            for i, parts in joining.items():
                parts.append(known[self._joins(i)])
            for i in self.kernel.wanted(level):
                if i not in sums:
                    dtype = self.kernel.values[i].dtype
                    stores.append((dtype, known[i], self._place(i, "out", row, block), block[2]))
        for i, parts in joining.items():
            total = self._joined(i, parts, block[1])
            self.b.store(self.combine(i, self.b.load(sums[i]), total), sums[i])
        for dtype, x, place, only in stores:
            self.store(dtype, x, place, only)

    def _matrices(
        self, row: Any, level: int, columns: dict[int, Any], block: tuple[Any, int, Any],
        stores: list[Store],
    ) -> dict[int, Any]:  # fmt: skip
        """A row's numbers of all matrices that the walk uses; what is to be noted of them joins
        `stores`."""
        kernel, (_, width, mask) = self.kernel, block
        known = dict(columns)
        for i in sorted(kernel.reads[level]):
            v = kernel.values[i]
            if kernel.is_known(i, level):
                known[i] = self.load(v.dtype, self._place(i, "scratch", row, block), width)
                continue
            if v.kind == "operand":
                known[i] = self.load(v.dtype, self._place(i, "in", row, block), width, mask)
            else:
                known[i] = self.map(i, [known[x] for x in v.inputs], width)
            if i in kernel.scratch:
                place = self._place(i, "scratch", row, block)
                stores.append((v.dtype, known[i], place, None))
        return known

    def _place(self, i: int, role: str, row: Any, block: tuple[Any, int, Any]) -> Any:
        """Where a row's numbers of a matrix are, in this block; notes of a block are by themselves,
        row after row."""
        b, (j, width, _), dtype = self.b, block, self.kernel.values[i].dtype
        if role == "scratch":
            return self.offset(self.address[i, role], b.mul(row, I64(width)), dtype)
        (stride,) = self.strides[i, role]
        return self.offset(b.add(self.address[i, role], b.mul(row, stride)), j, dtype)
