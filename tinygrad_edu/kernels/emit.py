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
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels.control import I32, I64, function, loop
from tinygrad_edu.kernels.description import REDUCTIONS, Kernel
from tinygrad_edu.kernels.lanes import (
    BOOL,
    STORED,
    TYPES,
    Lanes,
    Namespace,
    constant,
    evaluate,
    splat,
)
from tinygrad_edu.kernels.llvm import Target


def emit(kernel: Kernel, target: Target, name: str) -> str:
    """The kernel as LLVM assembly, a function of this name."""
    from tinygrad_edu.kernels import narrow

    kind = narrow.NarrowEmitter if narrow.fits(kernel, target) else Emitter
    return kind(kernel, target, name).text


def lanes_of(kernel: Kernel, target: Target) -> int:
    """How many elements of the kernel's widest full values a vector register holds."""
    widest = max((v.dtype.itemsize for v in kernel.values if v.full), default=4)
    return target.vector_bytes // max(widest, 4)


_ROWS, _COLUMNS = 128, 4096
"""How often a total's accumulators are emptied: after so many rows, or columns of a flat kernel."""


class Emitter:
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
        self._read_arguments(argument)
        self._before_rows()
        self._over_rows(0, [])
        self._after_rows()
        self.b.ret_void()
        self.text = str(self.module)

    # ------------------------------------------------------------------ types and memory

    @functools.cached_property
    def widths(self) -> tuple[int, ...]:
        """Lanes of the innermost loop, widest first: several registers at a time make several
        accumulators. The last leaves a remainder unless it is 1."""
        lanes = lanes_of(self.kernel, self.target)
        wide = (2 * lanes,) if self.kernel.loops == 0 else (4 * lanes, lanes)
        return wide if self.target.masks else (*wide, 1)

    @staticmethod
    def shaped(element: ir.Type, width: int) -> ir.Type:
        return element if width == 1 else ir.VectorType(element, width)

    def pointer(self, address: Any, kind: ir.Type) -> Any:
        return self.b.inttoptr(address, kind.as_pointer())

    def load(self, dtype: Any, address: Any, width: int, mask: Any = None) -> Any:
        kind = self.shaped(STORED[dtype], width)
        if mask is None:
            x = self.b.load(self.pointer(address, kind))
            x.align = dtype.itemsize
        else:
            args = [self.pointer(address, kind), I32(dtype.itemsize), mask, constant(kind, 0)]
            x = self._masked("load", dtype, width, kind, args)
        if dtype == BOOL:
            return self.b.icmp_unsigned("!=", x, constant(kind, 0))
        return x

    def store(self, dtype: Any, x: Any, address: Any, mask: Any = None) -> None:
        width = x.type.count if isinstance(x.type, ir.VectorType) else 1
        kind = self.shaped(STORED[dtype], width)
        if dtype == BOOL:
            x = self.b.zext(x, kind)
        if mask is None:
            self.b.store(x, self.pointer(address, kind), align=dtype.itemsize)
        else:
            args = [x, self.pointer(address, kind), I32(dtype.itemsize), mask]
            self._masked("store", dtype, width, ir.VoidType(), args)

    def _masked(self, what: str, dtype: Any, width: int, result: Any, args: list[Any]) -> Any:
        bits = f"f{dtype.itemsize * 8}" if dtype.kind == "f" else f"i{dtype.itemsize * 8}"
        name = f"llvm.masked.{what}.v{width}{bits}.p0"
        function = self.module.globals.get(name) or ir.Function(
            self.module, ir.FunctionType(result, [x.type for x in args]), name
        )
        return self.b.call(function, args)

    def offset(self, address: Any, j: Any, dtype: Any) -> Any:
        return self.b.add(address, self.b.mul(j, I64(dtype.itemsize)))

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

    def _empty(self, i: int) -> Any:
        v = self.kernel.values[i]
        if v.kind == "sum":
            return 0
        lowest = v.kind == "amax"
        if v.dtype.kind == "f":
            return float("-inf") if lowest else float("inf")
        if v.dtype == BOOL:
            return 0 if lowest else 1
        return np.iinfo(v.dtype).min if lowest else np.iinfo(v.dtype).max

    def _after_rows(self) -> None:
        for i in self.kernel.outputs:
            v = self.kernel.values[i]
            if self.kernel.total(i):
                self._empty_into_sums(i)
                self.store(v.dtype, self._folded(i, self.sums), self.address[i, "out"])
            elif i in self.single:
                self.store(v.dtype, self.single[i], self.address[i, "out"])

    # ------------------------------------------------------------------ values

    def map(self, i: int, xs: list[Any], width: int) -> Any:
        v = self.kernel.values[i]
        assert v.rule is not None
        lanes = [
            Lanes(self.b, x, self.kernel.values[k].dtype) for k, x in zip(v.inputs, xs, strict=True)
        ]
        return evaluate(self.b, width, v.dtype, v.rule, lanes, v.params).value

    def combine(self, i: int, x: Any, y: Any) -> Any:
        v = self.kernel.values[i]
        a, b = Lanes(self.b, x, v.dtype), Lanes(self.b, y, v.dtype)
        if v.kind == "sum":
            return (a + b).value
        namespace = Namespace(self.b, 1, v.dtype)
        return (namespace.maximum if v.kind == "amax" else namespace.minimum)(a, b).value

    def _reset(self, i: int, accumulators: Mapping[tuple[int, int], Any]) -> None:
        dtype = self.kernel.values[i].dtype
        for w in self.widths:
            empty = constant(self.shaped(TYPES[dtype], w), self._empty(i))
            self.b.store(empty, accumulators[i, w])

    def _empty_into_sums(self, i: int) -> None:
        """Add a total's accumulators up and start them anew: the error of a long sum in two levels
        grows with the root of its length only."""
        for w in self.widths:
            parts = [self.b.load(x[i, w]) for x in (self.sums, self.accumulators)]
            self.b.store(self.combine(i, *parts), self.sums[i, w])
        self._reset(i, self.accumulators)

    def _folded(self, i: int, accumulators: Mapping[tuple[int, int], Any]) -> Any:
        """All accumulators of a reduction as one number, halved again and again: LLVM's own vector
        reductions go through the lanes one after another."""
        b = self.b
        for width, narrower in zip(self.widths, self.widths[1:], strict=False):
            # A row that is shorter left these as they were.
            with b.if_then(b.icmp_signed(">=", self.count, I64(width))):
                x = self._halved(i, b.load(accumulators[i, width]), width, narrower)
                x = self.combine(i, x, b.load(accumulators[i, narrower]))
                b.store(x, accumulators[i, narrower])
        last = self.widths[-1]
        return self._halved(i, b.load(accumulators[i, last]), last, 1)

    def _halved(self, i: int, x: Any, width: int, until: int) -> Any:
        while width > until:
            width //= 2
            x = self.combine(i, self._part(x, 0, width), self._part(x, width, width))
        return x

    def _part(self, x: Any, start: int, width: int) -> Any:
        if width == 1:
            return self.b.extract_element(x, I32(start))
        lanes = ir.Constant(ir.VectorType(I32, width), list(range(start, start + width)))
        return self.b.shuffle_vector(x, ir.Constant(x.type, ir.Undefined), lanes)

    # ------------------------------------------------------------------ rows

    def _over_rows(self, depth: int, indices: list[Any]) -> None:
        if depth < self.kernel.loops:
            with loop(self.b, I64(0), self.extents[depth], 1) as i:
                self._over_rows(depth + 1, [*indices, i])
            return
        self.row.clear()
        for place, address in self.address.items():
            steps = zip(indices, self.strides.get(place, []), strict=False)
            for i, stride in steps:
                if stride is not None:
                    address = self.b.add(address, self.b.mul(i, stride))
            self.base[place] = address
        for i in self.kernel.operands:
            v = self.kernel.values[i]
            if not v.full and not v.single:
                self.row[i] = self.load(v.dtype, self.base[i, "in"], 1)
        self._passes()
        self._finish_row()
        if indices and self.sums:
            often = self.b.and_(indices[-1], I64(_ROWS - 1))
            with self.b.if_then(self.b.icmp_signed("==", often, I64(_ROWS - 1))):
                for i in dict.fromkeys(i for i, _ in self.sums):
                    self._empty_into_sums(i)

    def _passes(self) -> None:
        kernel = self.kernel
        for level in range(max(kernel.levels) + 1):
            now = [i for i, at in enumerate(kernel.levels) if at == level]
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

    def _finish_row(self) -> None:
        kernel = self.kernel
        for i, v in enumerate(kernel.values):
            if kernel.in_memory(i) and not v.full:
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
        kernel, known, stores = self.kernel, {}, []

        def value(i: int) -> Any:
            if i not in known:
                known[i] = self._full(i, now, j, width, mask, value)
            return known[i]

        for i in now:
            v = kernel.values[i]
            if v.kind in REDUCTIONS:
                if not kernel.values[v.inputs[0]].full:
                    continue
                x = value(v.inputs[0])
                if (i, width) in self.accumulators:
                    old = self.b.load(self.accumulators[i, width])
                    new = self.combine(i, old, x)
                    new = new if mask is None else self.b.select(mask, new, old)
                    self.b.store(new, self.accumulators[i, width])
                else:
                    # Its memory is padded to whole vectors: a masked store would stall the next
                    # row's load.
                    place = self.offset(self.base[i, "out"], j, v.dtype)
                    old = self.load(v.dtype, place, width)
                    new = self.combine(i, old, x)
                    new = new if mask is None else self.b.select(mask, new, old)
                    stores.append((v.dtype, new, place, None))
            elif v.full and v.kind == "map":
                if i in kernel.outputs:
                    place = self.offset(self.base[i, "out"], j, v.dtype)
                    stores.append((v.dtype, value(i), place, mask))
                if i in kernel.scratch:
                    place = self.offset(self.address[i, "scratch"], j, v.dtype)
                    stores.append((v.dtype, value(i), place, None))
        for dtype, x, place, only in stores:
            self.store(dtype, x, place, only)

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
