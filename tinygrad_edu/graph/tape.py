"""The scalar graph as data: records in flat arrays, a page at a time.

A record is an op's code, the positions of its operands and its value, one entry in each of five
arrays. Records are written in the order of computation, so operands always come first and a walk
from the back needs no search for an order. Arrays end, so the tape has pages; an operand on an
older page is imported: it gets a record on this one too, which remembers where it came from.

A page lives as long as somebody can reach it. `Page` is what the Values computed on it hold, and
`Records` is what it wrote. When the last of those Values is gone, the records stay only if newer
pages imported from them, and let go of older pages that these imports do not depend on. So a loop
that computes for ever, forward only or with `backward`, holds on to a page or two.

Threads share the open page. A record's position is drawn from one counter, an atomic step, and no
two records share memory, so recording needs no lock.
"""

from __future__ import annotations

import itertools
import sys
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu.ops.kinds import Elementwise
from tinygrad_edu.ops.table import TABLE

if TYPE_CHECKING:
    from tinygrad_edu.graph.value import Value

PAGE_SIZE = 65_536
"""Records a page has room for: 1.4 MB, small enough for a processor's second-level cache."""

CONSTANT, SOURCE = 0, 1
"""Codes of records that no op computed. A constant takes no gradient; a source hands it on, to a
leaf or to the older page it was imported from."""

OPS: list[Elementwise | None] = [None, None]
"""The ops on the tape, by code."""

_codes: dict[Elementwise, int] = {}


def code_of(op: Elementwise) -> int:
    """The code that stands for the op in records."""
    code = _codes.get(op)
    if code is None:
        code = _codes[op] = len(OPS)
        OPS.append(op)
    return code


# All at once: the compiled walk is emitted for the ops that have a code, and kept on disk.
for _op in TABLE.values():
    if isinstance(_op, Elementwise) and _op.differentiable:
        code_of(_op)


class Records:
    """What was written on one page.

    Position 0 is a constant that nobody uses, so that an operand an op does not have, 0, never
    looks like a dependence.
    """

    __slots__ = (
        "__weakref__",
        "exports",
        "handle",
        "imports",
        "leaves",
        "left",
        "lines",
        "op",
        "retained",
        "right",
        "serial",
        "third",
        "value",
    )

    def __init__(self, size: int, serial: int) -> None:
        self.op = np.zeros(size, np.uint8)
        self.left = np.zeros(size, np.uint32)
        self.right = np.zeros(size, np.uint32)
        self.third = np.zeros(size, np.uint32)
        self.value = np.zeros(size, np.float64)
        self.leaves: dict[int, Value] = {}
        self.imports: dict[int, tuple[Records, int]] = {}
        self.exports: set[int] = set()
        self.retained: dict[int, float] = {}
        self.lines: dict[int, Any] = {}  # of records made under `detect_anomaly`
        self.serial = serial
        self.handle: weakref.ref[Page] | None = None

    def page(self) -> Page:
        """The page that keeps these records, for a new Value on it."""
        page = self.handle and self.handle()
        return page or Page(self)

    def operands(self, position: int) -> tuple[int, ...]:
        """The positions of a record's operands; those it does not have are left out."""
        columns = (self.left[position], self.right[position], self.third[position])
        return tuple(int(operand) for operand in columns if operand)

    def forget_unreachable(self) -> None:
        """Drop the imports that no exported record depends on.

        Look back from the last exported record. A cut is a position that no record from there on
        reaches across, and what is exported depends on nothing before the last cut before it.
        Sources do not count: a parameter may be used on both sides.
        """
        size, last = len(self.op), max(self.exports) + 1
        columns = [column[:last] for column in (self.left, self.right, self.third)]
        computed = self.op > SOURCE
        reach = np.full(last, size, np.uint32)
        for operands in columns:
            np.minimum(reach, np.where(computed[operands], operands, np.uint32(size)), out=reach)
        reach = np.minimum.accumulate(reach[::-1])[::-1]
        cuts = np.flatnonzero(reach >= np.arange(last))
        first = cuts[np.searchsorted(cuts, min(self.exports), "right") - 1]
        needed = np.zeros(size, np.bool_)
        needed[list(self.exports)] = True
        for operands in columns:
            needed[operands[first:]] = True
        self.imports = {at: origin for at, origin in self.imports.items() if needed[at]}


def plain_numbers(records: Records) -> Any:
    """What a page's numbers are written through: a view of the array's memory, which takes a number
    in half the time that the array does."""
    return records.value.data


numbers_of: Callable[[Records], Any] = plain_numbers
"""The same for pages opened from now on; `detect_anomaly` looks at each number that is written."""


class Page:
    """What living Values hold on to: the records they are in, and where to write the next one."""

    __slots__ = ("__weakref__", "imported", "left", "next", "op", "records", "right", "value")

    def __init__(self, records: Records) -> None:
        self.records = records
        records.handle = weakref.ref(self)
        self.imported: dict[tuple[Records, int], int] = {}
        self.next = itertools.count(1).__next__
        self.op: Any = records.op.data
        self.left: Any = records.left.data
        self.right: Any = records.right.data
        self.value: Any = numbers_of(records)

    def enter(self, value: Value) -> int:
        """The position on this page of a Value that is not at home here."""
        home = value._page
        if home is None:
            position = self.source(value._data)
            self.records.leaves[position] = value
            value._index = position
            value._page = self
            return position
        if home.op[value._index] == CONSTANT:
            return self.constant(value._data)
        origin = home.records, value._index
        known = self.imported.get(origin)
        if known is None:
            known = self.imported[origin] = self.source(value._data)
            self.records.imports[known] = origin
            home.records.exports.add(value._index)
        return known

    def constant(self, x: float) -> int:
        """Write a record for a number."""
        position = self.next()
        self.value[position] = x
        return position

    def source(self, x: float) -> int:
        """Write a record whose gradient goes elsewhere."""
        position = self.next()
        self.value[position] = x
        self.op[position] = SOURCE
        return position

    def __del__(self) -> None:
        if self.records.imports and self.records.exports and not sys.is_finalizing():
            self.records.forget_unreachable()


_serials = itertools.count()
_turning = threading.Lock()


def turn(full: Page) -> None:
    """Open a new page after the full one, unless another thread did so already.

    Leaves let go of the page they were last used on, or an unused parameter would keep it alive.
    """
    global page
    with _turning:
        if page is not full:
            return
        page = Page(Records(PAGE_SIZE, next(_serials)))
    for leaf in list(full.records.leaves.values()):
        if leaf._page is full:
            leaf._page = None


page = Page(Records(PAGE_SIZE, next(_serials)))
"""The open page."""
