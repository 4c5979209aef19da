"""One fused kernel: from its description to LLVM assembly.

A kernel walks a space of outer loops and an innermost one along contiguous memory, which is done in
vectors. It computes *values*: operands, maps (elementwise rules) and reductions. What varies along
the innermost loop is *full* and lives in vectors; what varies only outside is a *row* value and
lives in a register; what does not vary at all is computed once.

Rows are walked once per *level*: a map that needs the sum of its row waits until the pass in which
the sum is formed has ended. What it shares with that pass is computed again if it is cheap and kept
in a scratch row if it is not. Sums over outer loops are kept in memory and are known only after the
last row, so nothing in the same kernel reads them.

All loads of a step come before its stores: an output may overwrite an operand that is read at the
same element only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from tinygrad_edu.kernels.control import I32, I64, function, loop
from tinygrad_edu.kernels.description import REDUCTIONS, Kernel
from tinygrad_edu.kernels.lanes import (
    TYPES,
    constant,
    splat,
)
from tinygrad_edu.kernels.llvm import Target
from tinygrad_edu.kernels.reductions import Values


def emit(kernel: Kernel, target: Target, name: str) -> str:
    """The kernel as LLVM assembly, a function of this name."""
    from tinygrad_edu.kernels import columns, narrow

    if isinstance(kernel, columns.ColumnKernel):
        return columns.ColumnEmitter(kernel, target, name).text
    return narrow.emitter_of(kernel, target)(kernel, target, name).text


Row = tuple[dict[int, Any], dict[tuple[int, str], Any]]
"""The values of a row, and where it starts in each operand and output."""

Store = tuple[Any, Any, Any, Any]
"""The dtype, value, place and mask of a store."""

_TOGETHER = 4
"""Rows that are added up in registers before they join a sum kept in memory: so many times less
often is it read, widened and written."""

_ROWS, _COLUMNS = 128, 4096
"""How often a total's accumulators are emptied: after so many rows, or columns of a flat kernel."""


class Emitter(Values):
    def __init__(self, kernel: Kernel, target: Target, name: str) -> None:
        self.kernel, self.target = kernel, target
        self.module, self.b, argument = function(name)
        self.row: dict[int, Any] = {}  # values of the current row
        self.single: dict[int, Any] = {}  # values of the whole kernel
        self.address: dict[tuple[int, str], Any] = {}
        self.strides: dict[tuple[int, str], list[Any]] = {}
        self.elements: dict[int, Any] = {}
        self.accumulators: dict[tuple[int, int], Any] = {}
        self.sums: dict[tuple[int, int], Any] = {}  # what accumulators of totals were emptied into
        self.base: dict[tuple[int, str], Any] = {}  # where the current row starts
        self.rows: list[Row] = []  # all rows of the current step
        self._read_arguments(argument)
        self._before_rows()
        self._over_rows(0, [])
        self._after_rows()
        self.b.ret_void()
        self.text = str(self.module)

    @functools.cached_property
    def widths(self) -> tuple[int, ...]:
        """Lanes of the innermost loop, widest first: several registers at a time make several
        accumulators. The last leaves a remainder unless it is 1."""
        lanes = self.kernel.lanes(self.target.vector_bytes)
        wide = (2 * lanes,) if self.kernel.loops == 0 else (4 * lanes, lanes)
        return wide if self.target.masks else (*wide, 1)

    # ------------------------------------------------------------------ outside the rows

    def _read_arguments(self, argument: Callable[[int], Any]) -> None:
        kernel, q = self.kernel, 0

        def take() -> Any:
            nonlocal q
            q += 1
            return argument(q - 1)

        *self.extents, self.count = [take() for _ in range(kernel.loops + 1)]
        places = [(i, "in") for i in kernel.operands] + [(i, "out") for i in kernel.outputs]
        for i, role in places:
            self.address[i, role] = take()
            varies = kernel.values[i].varies[:-1]
            self.strides[i, role] = [take() if v else None for v in varies]
            if role == "out" and kernel.in_memory(i):
                self.elements[i] = take()
        for i in kernel.scratch:
            self.address[i, "scratch"] = take()

    def _before_rows(self) -> None:
        kernel = self.kernel
        for i, v in enumerate(kernel.values):
            if v.kind == "operand" and v.single:
                self.single[i] = self.load(v.dtype, self.address[i, "in"], 1)
            if v.kind == "map" and v.single:
                self.single[i] = self.map(i, [self.single[x] for x in v.inputs], 1)
            if kernel.in_memory(i):
                self._fill(i)
            if v.kind in REDUCTIONS and kernel.values[v.inputs[0]].full and not v.full:
                with self.b.goto_entry_block():  # elsewhere LLVM would not keep it in a register
                    for w in self.widths:
                        kind = self.shaped(TYPES[v.dtype], w)
                        self.accumulators[i, w] = self.b.alloca(kind)
                        if kernel.total(i):
                            self.sums[i, w] = self.b.alloca(kind)
                if kernel.total(i):
                    self._reset(i, self.accumulators)
                    self._reset(i, self.sums)

    def _fill(self, i: int) -> None:
        dtype = self.kernel.values[i].dtype
        with loop(self.b, I64(0), self.elements[i], 1) as j:
            empty = constant(TYPES[dtype], self._empty(i))
            self.store(dtype, empty, self.offset(self.address[i, "out"], j, dtype))

    def _after_rows(self) -> None:
        for i in self.kernel.outputs:
            v = self.kernel.values[i]
            if self.kernel.total(i):
                self._empty_into_sums(i)
                self.store(v.dtype, self._folded(i, self.sums), self.address[i, "out"])
            elif i in self.single:
                self.store(v.dtype, self.single[i], self.address[i, "out"])

    # ------------------------------------------------------------------ rows

    @functools.cached_property
    def together(self) -> int:
        """How many neighbouring rows are taken in one step: several where all they do is to join
        sums that are the same for all of them."""
        kernel = self.kernel
        sums = [i for i, v in enumerate(kernel.values) if v.kind in REDUCTIONS]
        joined = [
            kernel.in_memory(i) and v.full and not v.varies[-2]
            for i, v in ((i, kernel.values[i]) for i in sums)
        ]
        return _TOGETHER if kernel.loops and joined and all(joined) else 1

    def _over_rows(self, depth: int, indices: list[Any]) -> None:
        if depth == self.kernel.loops:
            self._step_of_rows([indices])
            return
        start, extent = I64(0), self.extents[depth]
        if depth == self.kernel.loops - 1 and self.together > 1:
            whole = self.b.and_(extent, I64(-self.together))
            with loop(self.b, start, whole, self.together) as i:
                rows = [self.b.add(i, I64(k)) for k in range(self.together)]
                self._step_of_rows([[*indices, row] for row in rows])
            start = whole
        with loop(self.b, start, extent, 1) as i:
            self._over_rows(depth + 1, [*indices, i])

    def _step_of_rows(self, rows: list[list[Any]]) -> None:
        self.rows = [self._row(indices) for indices in rows]
        self._passes()
        for row in self.rows:
            self.row, self.base = row
            self._finish_row()
        self._empty_sums(rows[-1])

    def _empty_sums(self, indices: list[Any]) -> None:
        """Every so many rows, empty the accumulators of totals."""
        if indices and self.sums:
            often = self.b.and_(indices[-1], I64(_ROWS - 1))
            with self.b.if_then(self.b.icmp_signed("==", often, I64(_ROWS - 1))):
                for i in dict.fromkeys(i for i, _ in self.sums):
                    self._empty_into_sums(i)

    def _row(self, indices: list[Any]) -> Row:
        """The row with these indices: where it starts, and its operands that are one number."""
        self.row, self.base = {}, {}
        for place, address in self.address.items():
            for i, stride in zip(indices, self.strides.get(place, []), strict=False):
                if stride is not None:
                    address = self.b.add(address, self.b.mul(i, stride))
            self.base[place] = address
        for i in self.kernel.operands:
            v = self.kernel.values[i]
            if not v.full and not v.single:
                self.row[i] = self.load(v.dtype, self.base[i, "in"], 1)
        return self.row, self.base

    def _passes(self) -> None:
        kernel = self.kernel
        for level in range(max(kernel.levels) + 1):
            now = [i for i, at in enumerate(kernel.levels) if at == level]
            for row in self.rows:
                self.row, self.base = row
                for i in now:  # row values that are ready
                    v = kernel.values[i]
                    if v.kind == "map" and not v.full and not v.single:
                        self.row[i] = self.map(i, [self._number(x) for x in v.inputs], 1)
            if not any(self._is_work(i) for i in now):
                continue
            folded = [
                i for i in now if (i, self.widths[0]) in self.accumulators and not kernel.total(i)
            ]
            for i in folded:
                self._reset(i, self.accumulators)
            self._along(functools.partial(self._step, now))
            for i in folded:
                self.row[i] = self._folded(i, self.accumulators)

    def _is_work(self, i: int) -> bool:
        """Whether value i needs a walk along the row."""
        kernel, v = self.kernel, self.kernel.values[i]
        if v.kind in REDUCTIONS:
            return kernel.values[v.inputs[0]].full
        return v.full and v.kind == "map" and (i in kernel.outputs or i in kernel.scratch)

    def _number(self, i: int) -> Any:
        return self.single[i] if i in self.single else self.row[i]

    def _at_once(self, i: int) -> bool:
        """Whether reduction i is given the numbers of several rows at once."""
        return False

    def _finish_row(self) -> None:
        """Store the row's numbers."""
        kernel = self.kernel
        for i, v in enumerate(kernel.values):
            if kernel.in_memory(i) and not v.full and not self._at_once(i):
                x = v.inputs[0]
                number = self.row[i] if kernel.values[x].full else self._number(x)
                old = self.load(v.dtype, self.base[i, "out"], 1)
                self.store(v.dtype, self.combine(i, old, number), self.base[i, "out"])
        for i in kernel.outputs:
            if i in self.row and not kernel.in_memory(i):
                self.store(kernel.values[i].dtype, self.row[i], self.base[i, "out"])

    # ------------------------------------------------------------------ along a row

    def _along(self, body: Callable[[Any, int, Any], None]) -> None:
        """body(column, width, mask) for all columns."""
        if self.kernel.loops or not self.sums:
            self._blocks(I64(0), self.count, body)
            return
        b = self.b
        with loop(b, I64(0), self.count, _COLUMNS) as start:
            stop = b.add(start, I64(_COLUMNS))
            stop = b.select(b.icmp_signed("<", stop, self.count), stop, self.count)
            self._blocks(start, stop, body)
            for i in dict.fromkeys(i for i, _ in self.sums):
                self._empty_into_sums(i)

    def _blocks(self, start: Any, end: Any, body: Callable[[Any, int, Any], None]) -> None:
        """body(column, width, mask) from start to end: whole vectors of each width, then what
        remains."""
        b, width = self.b, 1
        for width in self.widths:
            stop = b.add(start, b.and_(b.sub(end, start), I64(-width)))
            with loop(b, start, stop, width) as j:
                body(j, width, None)
            start = stop
        if width > 1:
            rest = b.trunc(b.sub(end, start), I32)
            lanes = ir.Constant(ir.VectorType(I32, width), list(range(width)))
            with b.if_then(b.icmp_signed("!=", rest, I32(0))):
                body(start, width, b.icmp_signed("<", lanes, splat(b, rest, width)))

    def _step(self, now: list[int], j: Any, width: int, mask: Any) -> None:
        """The full values of one pass for `width` columns: values first, stores last."""
        stores: list[Store] = []
        joining: dict[int, list[Any]] = {}
        for row in self.rows:
            self.row, self.base = row
            self._step_of_row(now, j, width, mask, stores, joining)
        for i, parts in joining.items():
            place = self.offset(self.base[i, "out"], j, self.kernel.values[i].dtype)
            self._join(i, self._joined(i, parts, width), place, width, mask, stores)
        for dtype, x, place, only in stores:
            self.store(dtype, x, place, only)

    def _step_of_row(
        self, now: list[int], j: Any, width: int, mask: Any,
        stores: list[Store], joining: dict[int, list[Any]],
    ) -> None:  # fmt: skip
        """What is to be stored of the current row, and what is to join sums kept in memory."""
        kernel, known = self.kernel, {}

        def value(i: int) -> Any:
            if i not in known:
                known[i] = self._full(i, now, j, width, mask, value)
            return known[i]

        for i in now:
            v = kernel.values[i]
            if v.kind in REDUCTIONS:
                if not kernel.values[v.inputs[0]].full:
                    continue
                if (i, width) in self.accumulators:
                    old = self.b.load(self.accumulators[i, width])
                    new = self.combine(i, old, value(v.inputs[0]))
                    new = new if mask is None else self.b.select(mask, new, old)
                    self.b.store(new, self.accumulators[i, width])
                else:
                    joining.setdefault(i, []).append(value(self._joins(i)))
            elif v.full and v.kind == "map":
                if i in kernel.outputs:
                    place = self.offset(self.base[i, "out"], j, v.dtype)
                    stores.append((v.dtype, value(i), place, mask))
                if i in kernel.scratch:
                    place = self.offset(self.address[i, "scratch"], j, v.dtype)
                    stores.append((v.dtype, value(i), place, None))

    def _joins(self, i: int) -> int:
        """The value that several rows give to a reduction: its input or, if that is but another
        value in a wider dtype, this one."""
        values = self.kernel.values
        x = values[i].inputs[0]
        v = values[x]
        if self.together == 1 or v.kind != "map" or len(v.inputs) != 1 or v.dtype.kind != "f":
            return x
        source = values[v.inputs[0]]
        is_narrower = source.dtype.kind == "f" and source.dtype.itemsize < v.dtype.itemsize
        return v.inputs[0] if is_narrower else x

    def _joined(self, i: int, parts: list[Any], width: int) -> Any:
        """The parts of all rows as one, halved again and again as in a pairwise sum."""
        source, x = self._joins(i), self.kernel.values[i].inputs[0]
        dtype = self.kernel.values[source].dtype
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [self.combine(i, first, second, dtype) for first, second in pairs]
        return parts[0] if source == x else self.map(x, parts, width)

    def _join(self, i: int, x: Any, place: Any, width: int, mask: Any, stores: list[Store]) -> None:
        """Let x join the reduction kept at `place`. Its memory is padded to whole vectors: a masked
        store would stall the next row's load."""
        dtype = self.kernel.values[i].dtype
        old = self.load(dtype, place, width)
        new = self.combine(i, old, x)
        stores.append((dtype, new if mask is None else self.b.select(mask, new, old), place, None))

    def _full(self, i: int, now: list[int], j: Any, width: int, mask: Any, value: Any) -> Any:
        """Value i for `width` columns from j."""
        kernel, v = self.kernel, self.kernel.values[i]
        if not v.full:
            return splat(self.b, self._number(i), width)
        if v.kind == "operand":
            place = self.offset(self.base[i, "in"], j, v.dtype)
            return self.load(v.dtype, place, width, mask)
        if i in kernel.scratch and i not in now:
            return self.load(v.dtype, self.offset(self.address[i, "scratch"], j, v.dtype), width)
        return self.map(i, [value(x) for x in v.inputs], width)
