"""Matrix products in register tiles, for processors with masked 512-bit vectors.

A kernel is emitted for one shape of tiles (`tiles.Tiles`) and serves any size: it walks the panels
of columns, the depth in parts, and the blocks of rows. Each element of the result is one sum in the
order of the depth, whatever tile it is in, so how a product is cut does not change a bit of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.control import I32, I64, function, loop
from tinygrad_edu.kernels.tiles import Tiles, depth_of

_UNROLLED = 2
"""Steps of the depth in one turn of the innermost loop."""

TILED_ARGUMENTS = (
    *("m", "n", "k", "a", "lda", "b", "ldb", "c", "ldc", "start", "depth", "work"),
    *("high_blocks", "low_blocks", "wide_panels", "narrow_panels"),
    *("batch", "a_step", "b_step", "c_step"),
)
"""C = op(A) op(B) + what C starts with, for each of `batch` matrices, `depth` of k at a time.
`start` is the address of a number that C is multiplied by, or of a row that all rows start with."""


def kernel(dtype: np.dtype[Any], t: Tiles, ta: bool, tb: bool, start: str) -> int:
    """The address of the kernel for such tiles; `start` is ``zero``, ``scaled`` or ``row``."""
    shape = (t.height, t.width, bool(t.low_blocks), bool(t.narrow_panels))
    signature = f"tiles {dtype} {shape} {ta:d}{tb:d} {start}"
    return llvm.address(signature, lambda name: _Emitter(dtype, t, ta, tb, start, name).text)


def arguments(
    t: Tiles, sizes: Sequence[int], operands: Sequence[Any], batch: Sequence[int]
) -> list[Any]:
    """`TILED_ARGUMENTS` from m, n, k; from `a` to `start`, and the address of the work space; and
    from `batch` on."""
    *places, work = operands
    return [*sizes, *places, depth_of(sizes[2]), work, *t[2:], *batch]


class _Emitter:
    """Writes the kernel of one shape of tiles."""

    def __init__(
        self, dtype: np.dtype[Any], t: Tiles, ta: bool, tb: bool, start: str, name: str
    ) -> None:
        self.module, self.b, argument = function(name)
        self.x = {key: argument(q) for q, key in enumerate(TILED_ARGUMENTS)}
        self.size, self.lanes = dtype.itemsize, 64 // dtype.itemsize
        self.real = ir.FloatType() if self.size == 4 else ir.DoubleType()
        self.vector = ir.VectorType(self.real, self.lanes)
        self.tiles, self.ta, self.tb, self.start = t, ta, tb, start
        x, b = self.x, self.b
        for key in ("lda", "ldb", "ldc"):
            x[key] = b.mul(x[key], I64(self.size))
        self.factor = self._splat(self._number(x["start"])) if start == "scaled" else None
        with loop(b, I64(0), x["batch"], 1) as i:
            self.at = {p: b.add(x[p], b.mul(i, x[f"{p}_step"])) for p in "abc"}
            first = self._panels(I64(0), t.width, x["wide_panels"])
            if t.narrow_panels:
                self._panels(first, t.width - 1, x["narrow_panels"])
        b.ret_void()
        self.text = str(self.module)

    # ------------------------------------------------------------------ panels and blocks

    def _panels(self, first: Any, width: int, count: Any) -> Any:
        """All panels of this width, from column `first` on; the column after them."""
        b, x = self.b, self.x
        columns = self.lanes * width
        end = b.add(first, b.mul(count, I64(columns)))
        with loop(b, first, end, columns) as j:
            last = b.add(j, I64(columns - self.lanes))
            self.mask = self._mask(b.sub(x["n"], last))
            with loop(b, I64(0), x["k"], x["depth"]) as k:
                rest = b.sub(x["k"], k)
                self.depth = b.select(b.icmp_signed("<", rest, x["depth"]), rest, x["depth"])
                right = self._right(j, k, width)
                row = self._blocks(I64(0), self.tiles.height, "high_blocks", j, k, width, right)
                if self.tiles.low_blocks:
                    self._blocks(row, self.tiles.height - 1, "low_blocks", j, k, width, right)
        return end

    def _right(self, j: Any, k: Any, width: int) -> tuple[Any, Any]:
        """Where the panel of B begins and how far apart its rows are."""
        b, x = self.b, self.x
        if self.tb:
            self._transpose(j, k, width)
            return x["work"], I64(64 * width)
        row = b.add(self.at["b"], b.mul(k, x["ldb"]))
        return b.add(row, b.mul(j, I64(self.size))), x["ldb"]

    def _blocks(
        self, first: Any, height: int, count: str, j: Any, k: Any, width: int, right: Any
    ) -> Any:
        b, x = self.b, self.x
        end = b.add(first, b.mul(x[count], I64(height)))
        with loop(b, first, end, height) as i:
            out = b.add(self.at["c"], b.mul(i, x["ldc"]))
            out = b.add(out, b.mul(j, I64(self.size)))
            down, along = (k, i) if self.ta else (i, k)
            left = b.add(self.at["a"], b.mul(down, x["lda"]))
            left = b.add(left, b.mul(along, I64(self.size)))
            self._tile(height, width, left, right, out, j, k)
        return end

    # ------------------------------------------------------------------ one tile

    def _tile(
        self, height: int, width: int, left: Any, right: Any, out: Any, j: Any, k: Any
    ) -> None:
        b, x = self.b, self.x
        cells = list(itertools.product(range(height), range(width)))
        rows = [b.add(out, b.mul(x["ldc"], I64(i))) for i in range(height)]
        places = {(i, v): b.add(rows[i], I64(64 * v)) for i, v in cells}
        masks = [self.mask if v == width - 1 else None for v in range(width)]
        sums = self._starts(cells, places, masks, j, k)
        row, pace = right
        step, apart = (x["lda"], I64(self.size)) if self.ta else (I64(self.size), x["lda"])

        def multiply(at_a: Any, at_b: Any, totals: Sequence[Any]) -> list[Any]:
            packed = self.tb
            ys = [
                self._load(b.add(at_b, I64(64 * v)), None if packed else masks[v])
                for v in range(width)
            ]
            found = list(totals)
            for i in range(height):
                a = self._splat(self._number(b.add(at_a, b.mul(apart, I64(i)))))
                for v in range(width):
                    found[i * width + v] = self._fma(a, ys[v], found[i * width + v])
            return found

        whole = b.and_(self.depth, I64(-_UNROLLED))
        sums, left, row = self._walk(whole, _UNROLLED, sums, (left, step), (row, pace), multiply)
        rest = b.sub(self.depth, whole)
        sums, _, _ = self._walk(rest, 1, sums, (left, step), (row, pace), multiply)
        for (i, v), total in zip(cells, sums, strict=True):
            self._store(total, places[i, v], masks[v])

    def _walk(
        self,
        count: Any,
        unrolled: int,
        sums: Sequence[Any],
        left: tuple[Any, Any],
        right: tuple[Any, Any],
        body: Callable[[Any, Any, Sequence[Any]], list[Any]],
    ) -> tuple[list[Any], Any, Any]:
        """`count` steps of the depth, so many in a turn: the sums and where A and B go on."""
        b = self.b
        before = b.block
        head, inside, after = (b.append_basic_block() for _ in range(3))
        b.branch(head)
        b.position_at_end(head)
        states = [I64(0), left[0], right[0], *sums]
        phis = [b.phi(s.type) for s in states]
        for phi, state in zip(phis, states, strict=True):
            phi.add_incoming(state, before)
        done, at_a, at_b, *totals = phis
        b.cbranch(b.icmp_signed("<", done, count), inside, after)
        b.position_at_end(inside)
        ends: list[Any] = list(totals)
        next_a, next_b = at_a, at_b
        for _ in range(unrolled):
            ends = body(next_a, next_b, ends)
            next_a, next_b = b.add(next_a, left[1]), b.add(next_b, right[1])
        new = [b.add(done, I64(unrolled)), next_a, next_b, *ends]
        for phi, state in zip(phis, new, strict=True):
            phi.add_incoming(state, b.block)
        b.branch(head)
        b.position_at_end(after)
        return totals, at_a, at_b

    def _starts(
        self, cells: Sequence[tuple[int, int]], places: Any, masks: Any, j: Any, k: Any
    ) -> list[Any]:
        """What the sums begin with: at the first part of the depth what was asked for, later on
        what the result holds by then."""
        b = self.b
        zero = ir.Constant(self.vector, None)
        again = b.icmp_signed("!=", k, I64(0))
        before = b.block
        later, first, after = (b.append_basic_block() for _ in range(3))
        b.cbranch(again, later, first)
        b.position_at_end(later)
        held = [self._load(places[cell], masks[cell[1]]) for cell in cells]
        b.branch(after)
        b.position_at_end(first)
        fresh = [zero for _ in cells]
        if self.start == "row":
            row = b.add(self.x["start"], b.mul(j, I64(self.size)))
            width = len(masks)
            vectors = [self._load(b.add(row, I64(64 * v)), masks[v]) for v in range(width)]
            fresh = [vectors[v] for _, v in cells]
        elif self.factor is not None:
            olds = [self._load(places[cell], masks[cell[1]]) for cell in cells]
            fresh = [b.fmul(self.factor, old) for old in olds]
        b.branch(after)
        b.position_at_end(after)
        assert before is not None
        sums = []
        for x, y in zip(held, fresh, strict=True):
            phi = b.phi(self.vector)
            phi.add_incoming(x, later)
            phi.add_incoming(y, first)
            sums.append(phi)
        return sums

    # ------------------------------------------------------------------ the transposed panel

    def _transpose(self, j: Any, k: Any, width: int) -> None:
        """Write columns j.. of op(B), rows k.. of them, to the work space: squares of as many rows
        of B as a vector has lanes. What stands beyond the last row of B is read twice."""
        b, x = self.b, self.x
        lanes = self.lanes
        last = b.sub(x["n"], I64(1))
        with loop(b, I64(0), I64(width), 1) as v:
            column = b.add(j, b.mul(v, I64(lanes)))
            starts = []
            for lane in range(lanes):
                at = b.add(column, I64(lane))
                at = b.select(b.icmp_signed("<", at, last), at, last)
                row = b.add(self.at["b"], b.mul(at, x["ldb"]))
                starts.append(b.add(row, b.mul(k, I64(self.size))))
            target = b.add(x["work"], b.mul(v, I64(64)))
            with loop(b, I64(0), self.depth, lanes) as d:
                mask = self._mask(b.sub(self.depth, d))
                more = b.mul(d, I64(self.size))
                square = [self._load(b.add(start, more), mask) for start in starts]
                here = b.add(target, b.mul(d, I64(64 * width)))
                for lane, y in enumerate(self._turned(square)):
                    self._store(y, b.add(here, I64(64 * width * lane)))

    def _turned(self, rows: list[Any]) -> list[Any]:
        """The square's columns: in each round, blocks of twice the size change places."""
        lanes, size = self.lanes, 1
        while size < lanes:
            pairs = [(i, i + size) for i in range(lanes) if not i & size]
            low = [q if not q & size else lanes + q - size for q in range(lanes)]
            high = [q + size if not q & size else lanes + q for q in range(lanes)]
            turned = list(rows)
            for i, j in pairs:
                turned[i] = self._shuffled(rows[i], rows[j], low)
                turned[j] = self._shuffled(rows[i], rows[j], high)
            rows, size = turned, 2 * size
        return rows

    def _shuffled(self, x: Any, y: Any, lanes: list[int]) -> Any:
        mask = ir.Constant(ir.VectorType(I32, len(lanes)), lanes)
        return self.b.shuffle_vector(x, y, mask)

    # ------------------------------------------------------------------ memory

    def _mask(self, count: Any) -> Any:
        """The first `count` lanes."""
        b = self.b
        most = b.select(b.icmp_signed("<", count, I64(self.lanes)), count, I64(self.lanes))
        kind = ir.VectorType(I32, self.lanes)
        limit = b.insert_element(ir.Constant(kind, ir.Undefined), b.trunc(most, I32), I32(0))
        limit = b.shuffle_vector(limit, limit, ir.Constant(kind, None))
        return b.icmp_signed("<", ir.Constant(kind, list(range(self.lanes))), limit)

    def _number(self, address: Any) -> Any:
        return self.b.load(self.b.inttoptr(address, self.real.as_pointer()))

    def _splat(self, number: Any) -> Any:
        b = self.b
        one = b.insert_element(ir.Constant(self.vector, ir.Undefined), number, I32(0))
        lanes = ir.Constant(ir.VectorType(I32, self.lanes), None)
        return b.shuffle_vector(one, one, lanes)

    def _load(self, address: Any, mask: Any = None) -> Any:
        place = self.b.inttoptr(address, self.vector.as_pointer())
        if mask is None:
            return self.b.load(place, align=self.size)
        zero = ir.Constant(self.vector, None)
        return self._intrinsic("masked.load", self.vector, place, I32(self.size), mask, zero)

    def _store(self, x: Any, address: Any, mask: Any = None) -> None:
        place = self.b.inttoptr(address, self.vector.as_pointer())
        if mask is None:
            self.b.store(x, place, align=self.size)
        else:
            self._intrinsic("masked.store", ir.VoidType(), x, place, I32(self.size), mask)

    def _fma(self, x: Any, y: Any, z: Any) -> Any:
        return self._intrinsic("fma", self.vector, x, y, z)

    def _intrinsic(self, what: str, result: ir.Type, *args: Any) -> Any:
        kind = f"v{self.lanes}f{8 * self.size}"
        name = f"llvm.{what}.{kind}" + (".p0" if what.startswith("masked") else "")
        known = self.module.globals.get(name)
        types = [x.type for x in args]
        known = known or ir.Function(self.module, ir.FunctionType(result, types), name)
        return self.b.call(known, args)
