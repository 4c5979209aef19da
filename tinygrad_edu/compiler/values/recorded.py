"""From the tape's pages to a program: what some results depend on, as flat arrays of its own.

The arrays are described in `kernels/values/instructions.py`. Sources come first, in four groups:
constants, the numbers of leaves, grads, and derivatives that `backward` finds on the way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_edu.compiler.values.watch import COTANGENT, DATA, GRAD, MEAN, SUM, Place, Watch
from tinygrad_edu.errors import TraceError
from tinygrad_edu.graph.tape import CONSTANT, SOURCE, Records
from tinygrad_edu.graph.value import Result, Value
from tinygrad_edu.kernels.values import instructions

Array = np.ndarray[Any, np.dtype[Any]]

BARRIERS = {DATA: instructions.COPY, SUM: instructions.SUM, MEAN: instructions.MEAN}
"""The instructions that symbols of results are."""


@dataclass
class Program:
    """Instructions, and which rows are read and written by whom."""

    constants: Array
    leaves: list[Value]
    grads: list[Value]
    cotangents: list[Value]
    op: Array
    left: Array
    right: Array
    third: Array
    split: int
    """Instructions before `backward`."""
    rows: dict[Value, int]
    """Those of the Values that were asked for."""
    factor: Array = field(default_factory=lambda: np.zeros(0, np.int32))
    other: Array = field(default_factory=lambda: np.zeros(0, np.int32))

    @property
    def sources(self) -> int:
        """How many rows come before the instructions'."""
        return len(self.constants) + len(self.leaves) + len(self.grads) + len(self.cotangents)

    def first(self, group: str) -> int:
        """The first row of a group of sources."""
        before = {"leaves": 0, "grads": 1, "cotangents": 2}[group]
        groups = (self.leaves, self.grads)[:before]
        return len(self.constants) + sum(map(len, groups))

    def operands(self) -> tuple[Array, Array, Array]:
        """The columns of rows."""
        return self.left, self.right, self.third

    def code(self) -> tuple[Array, ...]:
        """The instructions as the compiled passes take them."""
        return self.op, *self.operands(), self.factor, self.other


class Extraction:
    """The walk from what is wanted back to the sources, page by page, then to a program."""

    def __init__(self, watch: Watch, wanted: Iterable[Value]) -> None:
        self._watch = watch
        self._marks: dict[Records, Array] = {}
        self._changed: set[Records] = set()
        self._seen: dict[Value, None] = {}
        self._wanted = list(wanted)
        for value in self._wanted:
            self._need(value)
        while self._changed:
            self._visit(max(self._changed, key=lambda records: records.serial))

    def _need(self, x: Value) -> None:
        if isinstance(x, Result):
            self._mark(x.records, x._index)
        elif x not in self._seen:
            self._seen[x] = None
            symbol = self._watch.symbols.get(x)
            if symbol is not None and symbol.what in BARRIERS:
                self._need(symbol.of)

    def _mark(self, records: Records, position: int) -> None:
        marks = self._marks.get(records)
        if marks is None:
            marks = self._marks[records] = np.zeros(len(records.op), np.uint8)
        if not marks[position]:
            marks[position] = 1
            self._changed.add(records)

    def _visit(self, records: Records) -> None:
        self._changed.discard(records)
        marks = self._marks[records]
        passes = instructions.passes(int(np.count_nonzero(records.op)))
        passes.mark(records.op, records.left, records.right, records.third, marks)
        for position in np.flatnonzero(marks & (records.op == SOURCE)).tolist():
            origin = records.imports.get(position)
            if origin is not None:
                self._mark(*origin)
            else:
                leaf = records.leaves[position]
                self._check_order(leaf, Place(records.serial, position))
                self._need(leaf)

    def _check_order(self, leaf: Value, used: Place) -> None:
        assigned = self._watch.assigned_at.get(leaf)
        if assigned is not None and used > assigned:
            raise TraceError(
                "compile: a Value was computed with after its data had been assigned in the same "
                "call; compile the step alone and call it once for each update."
            )

    def leaves(self) -> list[Value]:
        """The leaves that were reached."""
        return [x for x in self._seen if x not in self._watch.symbols]

    # -------------------------------------------------------------------------- rows

    def program(self) -> Program:
        """The program. Rows are negative for sources until their number is known."""
        build = _Build(self._watch)
        for records in sorted(self._marks, key=lambda records: records.serial):
            build.add_page(records, self._marks[records])
        for value in [*self._seen, *self._wanted]:
            build.row(value)
        return build.finish(self._wanted)


class _Build:
    """Rows are numbered as they come: instructions from 0 up, sources from -1 down."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._pages: dict[Records, Array] = {}
        self._columns: list[Array] = []
        self._instructions = 0
        self._split: int | None = None
        self._sources: dict[str, list[tuple[int, Any]]] = {}
        self._count = 0
        self._rows: dict[Value, int] = {}
        self._source("constant", 0.0)  # row 0, that nobody uses

    def _source(self, kind: str, what: Any) -> int:
        self._count += 1
        self._sources.setdefault(kind, []).append((-self._count, what))
        return -self._count

    def _instruction(self, op: int, operand: int) -> int:
        self._columns.append(np.array([[op], [operand], [-1], [-1]]))
        self._instructions += 1
        return self._instructions - 1

    def row(self, x: Value) -> int:
        """The row of a leaf or result."""
        if isinstance(x, Result):
            return int(self._pages[x.records][x._index])
        if x not in self._rows:
            symbol = self._watch.symbols.get(x)
            if symbol is None:
                self._rows[x] = self._source("leaf", x)
            elif symbol.what in (GRAD, COTANGENT):
                self._rows[x] = self._source(symbol.what, symbol.of)
            elif symbol.what == DATA and self._split is not None:
                self._rows[x] = self.row(symbol.of)  # no derivative is taken any more
            else:
                self._rows[x] = self._instruction(BARRIERS[symbol.what], self.row(symbol.of))
        return self._rows[x]

    def add_page(self, records: Records, marks: Array) -> None:
        """The marked records of a page, whose operands' pages were added before."""
        rows = self._pages[records] = np.full(len(records.op), -1, np.int64)
        at = np.flatnonzero(marks)
        codes = records.op[at]
        for position in at[codes == CONSTANT].tolist():
            if position:
                rows[position] = self._source("constant", records.value[position])
        begin = 0
        boundaries = at[codes == SOURCE].tolist()
        backward = self._watch.backward_at
        if backward is not None and backward.serial <= records.serial and self._split is None:
            cut = backward.position if backward.serial == records.serial else 0
            boundaries = sorted({*boundaries, cut})
        for position in boundaries:
            begin = self._add_run(records, rows, at, codes, begin, position)
            if position and marks[position] and records.op[position] == SOURCE:
                origin = records.imports.get(position)
                rows[position] = (
                    self.row(records.leaves[position])
                    if origin is None
                    else self._pages[origin[0]][origin[1]]
                )
            elif self._split is None:
                self._split = self._instructions
        self._add_run(records, rows, at, codes, begin, len(records.op))

    def _add_run(
        self, records: Records, rows: Array, at: Array, codes: Array, begin: int, end: int
    ) -> int:
        """The computed records between two positions."""
        first, last = np.searchsorted(at, [begin, end])
        run = at[first:last][codes[first:last] > SOURCE]
        if len(run):
            rows[run] = self._instructions + np.arange(len(run))
            self._instructions += len(run)
            operands = (records.left, records.right, records.third)
            columns = [
                records.op[run].astype(np.int64),
                *(rows[column[run]] for column in operands),
            ]
            self._columns.append(np.stack(columns))
        return end

    def finish(self, wanted: Iterable[Value]) -> Program:
        """Number the rows as `Program` has them."""
        kinds = ("constant", "leaf", GRAD, COTANGENT)
        ordered = [pair for kind in kinds for pair in self._sources.get(kind, ())]
        rank = np.empty(self._count + 1, np.int64)
        rank[[-row for row, _ in ordered]] = np.arange(self._count)

        def final(rows: Array) -> Array:
            return np.where(rows < 0, rank[np.maximum(-rows, 0)], rows + self._count)

        rank[0] = 0
        table = np.concatenate([np.zeros((4, 0), np.int64), *self._columns], axis=1)
        left, right, third = (final(column).astype(np.int32) for column in table[1:])
        groups = {kind: [what for _, what in self._sources.get(kind, ())] for kind in kinds}
        return Program(
            np.array(groups["constant"], float),
            groups["leaf"],
            groups[GRAD],
            groups[COTANGENT],
            table[0].astype(np.uint8),
            left,
            right,
            third,
            self._instructions if self._split is None else self._split,
            {x: int(final(np.array([self.row(x)]))[0]) for x in wanted},
        )
