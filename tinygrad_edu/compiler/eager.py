"""Kernels for eager ops: a definition of arrays, fused and emitted as a plan's are.

A plan knows a whole step, lays out one arena for it and is called once. Here a definition is a few
ops (a softmax, the gradient of a layer norm), its operands are arrays that come and go, and what
counts is how little stands between NumPy's call and the kernel. So every value is an array of its
own, and a kernel is entered with the arrays themselves.

llvmlite is loaded with this module, on first use. Where it is missing or fails, and for definitions
that are not made of loops alone, there is no program and NumPy computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from tinygrad_edu.compiler.algebra import simplify
from tinygrad_edu.compiler.called import Call
from tinygrad_edu.compiler.columns import Columns, joined
from tinygrad_edu.compiler.fuse import fuse
from tinygrad_edu.compiler.group import Group
from tinygrad_edu.compiler.lower import base
from tinygrad_edu.compiler.order import order
from tinygrad_edu.compiler.steps import Single, Step
from tinygrad_edu.compiler.term import Graph, Term, TermReader
from tinygrad_edu.kernels import door
from tinygrad_edu.kernels.alignment import maker
from tinygrad_edu.kernels.emit import emit
from tinygrad_edu.kernels.lanes import TYPES
from tinygrad_edu.kernels.llvm import address, host
from tinygrad_edu.ops import structural
from tinygrad_edu.ops.structural import Key
from tinygrad_edu.ops.table import TABLE, Op

Array = Any

_LONGEST_ROW = 1 << 16
"""Numbers of a row that are added up in vector registers: a thousand to each lane, so that the
rounding errors stay below those of the numbers themselves."""

_PADDING = 64
"""Elements behind a row of scratch or of sums, which kernels write in whole vectors."""


def make(
    definition: Callable[..., Any], arrays: Sequence[Array], params: Mapping[str, Any]
) -> Callable[..., list[Array]] | None:
    """What computes the definition for arrays of these shapes and dtypes, or None. Results that the
    definition returns in lists of their own have kernels of their own."""
    if any(x.dtype not in TYPES or not x.size for x in arrays):
        return None
    graph = EagerGraph()
    leaves = [graph.leaf(x.shape, x.dtype) for x in arrays]
    try:
        found = definition(TermReader(graph, leaves[0].dtype), *leaves, **params)
    except _TooLong:
        return None
    several = list(found) if isinstance(found, tuple | list) else [found]
    parts = several if isinstance(several[0], list) else [several]
    steps = [_steps(part) for part in parts]
    if None in steps:
        return None
    return Program(leaves, list(chain(*steps)), list(chain(*parts)))  # type: ignore[arg-type]


ALONE = ("cumsum", "argsort")
"""Ops with a kernel of their own that definitions may use."""


def _steps(results: Sequence[Term]) -> list[Step] | None:
    """The kernels that compute the results, in order; None if it takes more than kernels."""
    roots = [base(t) for t in results]
    if any(t.op is None for t in roots):
        return None
    fused = fuse(list(dict.fromkeys(roots)), {})
    if not all(isinstance(step, Group) or _is_alone(step) for step in fused.steps):
        return None
    steps, _ = order(fused.steps, fused.rank, {})
    for step in steps:
        for i, v in enumerate(step.kernel.values if isinstance(step, Group) else ()):
            assert isinstance(step, Group)
            if step.kernel.row_reduction(i) and v.kind == "sum" and step.extents[-1] > _LONGEST_ROW:
                return None
    return joined(steps, roots)


def _is_alone(step: Step) -> bool:
    return isinstance(step, Single) and step.call is not None and step.out.name in ALONE


class _TooLong(Exception):
    """A sum that kernels would take with a larger error than NumPy does."""


class EagerGraph(Graph):
    """Terms of a definition that is computed by itself. Running totals are kept in float64, so that
    their error does not grow with the number of elements; labels are compared."""

    def __init__(self) -> None:
        super().__init__(simplify)

    def apply(self, op: Op, *xs: Any, **params: Any) -> Term:
        """As `Graph.apply`."""
        if op is TABLE["sum"]:
            return self._sum(*xs, **params)
        if op in (TABLE["getitem"], TABLE["scatter"]) and params["key"].parts == _ROW_AND_LABEL:
            return self._labelled(op, *xs, **params)
        return super().apply(op, *xs, **params)

    def _sum(self, x: Term, axes: tuple[int, ...], keepdims: bool) -> Term:
        """A sum over the last axes goes along rows, in registers. One over others, too, takes these
        afterwards: it is a running total over the rows."""
        first = len(x.shape)
        while first and (first - 1 in axes or x.shape[first - 1] == 1):
            first -= 1
        across = tuple(d for d in axes if d < first and x.shape[d] != 1)
        if not across or x.dtype.kind != "f":
            return self._reduced(x, axes, keepdims)
        if x.dtype == _FLOAT64:
            raise _TooLong
        if any(d >= first for d in axes):
            x = self._reduced(x, tuple(d for d in axes if d >= first), True)
        wide = super().apply(TABLE["cast"], x, dtype=_FLOAT64)
        total = super().apply(TABLE["cast"], self._reduced(wide, across, True), dtype=_FLOAT32)
        shape = structural.reduced(total.shape, axes, keepdims)
        return super().apply(TABLE["reshape"], total, shape=shape)

    def _reduced(self, x: Term, axes: tuple[int, ...], keepdims: bool) -> Term:
        return super().apply(TABLE["sum"], x, axes=axes, keepdims=keepdims)

    def _labelled(
        self, op: Op, x: Term, rows: Array, labels: Term, key: Key, shape: Any = None
    ) -> Term:
        """Of each row the element that a label names (or, transposed, x at that place in rows of
        zeros), found by comparing: elementwise, and memory is read in order."""
        classes = (shape or x.shape)[1]
        numbers = np.arange(classes, dtype=labels.dtype)
        column = super().apply(TABLE["reshape"], labels, shape=(labels.shape[0], 1))
        hot = super().apply(TABLE["eq"], column, numbers)
        where = TABLE["where"]
        if op is TABLE["scatter"]:
            x = super().apply(TABLE["reshape"], x, shape=(x.shape[0], 1))
            return super().apply(where, hot, x, 0)
        return self._sum(super().apply(where, hot, x, 0), axes=(1,), keepdims=False)


_ROW_AND_LABEL = (Key.ARRAY, Key.ARRAY)
_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


Room = tuple[tuple[int, ...], np.dtype[Any]]


class Program:
    """The kernels of a definition, in order, entered at once with all arrays: the operands, then
    room for what the kernels compute and for what they note on the way."""

    def __init__(
        self, leaves: Sequence[Term], steps: Sequence[Step], results: Sequence[Term]
    ) -> None:
        self._rooms: list[Room] = []
        self._constants: list[Array] = []  # kernels read their memory
        place = {t: i for i, t in enumerate(leaves)}
        calls = []
        elements = 0
        for step in steps:
            if isinstance(step, Group):
                calls.append(self._call(step, place, len(leaves)))
                elements += math.prod(step.extents)
            elif isinstance(step, Single) and step.call is not None:
                calls += self._alone(step.out, step.call, place, len(leaves))
                elements += step.out.size
        self._makers = [maker(*room) for room in self._rooms]
        self.kernels = len(calls)
        self._ticket, self._enter = door.ticket(calls, elements), door.enter()
        self._results = [self._result(t, place[base(t)] - len(leaves)) for t in results]

    def _call(self, step: Group, place: dict[Term, int], operands: int) -> door.Call:
        """How the kernel of a step is called, after making room for what it writes. `place` says
        which of all arrays a term is."""
        kernel, target = step.kernel, host()
        words: list[int] = list(step.extents)
        places: list[tuple[int, int]] = []
        for x in step.operands:
            source = base(x)
            if source.value is not None:
                self._constants.append(source.value)
                words.append(source.value.ctypes.data)
            else:
                places.append((len(words), place[source]))
                words.append(0)
            words += step.strides(x)
        for t in step.outputs:
            place[t] = operands + len(self._rooms)
            places.append((len(words), place[t]))
            words += [0, *step.strides(t)]
            if kernel.in_memory(step.position[t]):
                words.append(t.size)
                self._rooms.append(((t.size + _PADDING,), t.dtype))
            else:
                self._rooms.append((t.shape, t.dtype))
        for i in kernel.scratch:
            places.append((len(words), operands + len(self._rooms)))
            words.append(0)
            row = step.room if isinstance(step, Columns) else step.extents[-1] + _PADDING
            self._rooms.append(((row,), kernel.values[i].dtype))
        found = address(kernel.signature, lambda name: emit(kernel, target, name), target)
        return door.Call(found, words, places)

    def _alone(
        self, out: Term, call: Call, place: dict[Term, int], operands: int
    ) -> list[door.Call]:
        """How the kernels of a single term are called, after making room for it."""
        scratch = operands + len(self._rooms)
        self._rooms.append(((max(call.scratch, 1),), np.dtype(np.uint8)))
        place[out] = operands + len(self._rooms)
        self._rooms.append((out.shape, out.dtype))
        calls = []
        for kernel, arguments in call.kernels:
            words: list[int] = []
            places: list[tuple[int, int]] = []
            for x in arguments:
                if isinstance(x, int):
                    words.append(x)
                    continue
                array = (
                    scratch if isinstance(x, tuple) else place[x if isinstance(x, Term) else out]
                )
                places.append((len(words), array))
                words.append(0)
            calls.append(door.Call(kernel, words, places))
        return calls

    def _result(self, t: Term, room: int) -> tuple[int, tuple[int, ...] | None, int | None]:
        """In which room a result is and, if it is not the room as it is, under which shape and up
        to which element."""
        shape, _ = self._rooms[room]
        is_padded = math.prod(shape) > t.size
        return room, None if shape == t.shape else t.shape, t.size if is_padded else None

    def __call__(self, *arrays: Array) -> list[Array]:
        for x in arrays:
            if not x.flags.c_contiguous:
                arrays = tuple(map(np.ascontiguousarray, arrays))
                break
        rooms = [make() for make in self._makers]
        self._enter(self._ticket, *arrays, *rooms)
        return [
            rooms[i] if shape is None else rooms[i][:stop].reshape(shape)
            for i, shape, stop in self._results
        ]
