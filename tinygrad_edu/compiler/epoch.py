"""A whole epoch of a compiled step: many batches in one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from tinygrad_edu.compiler.entry import Entry
from tinygrad_edu.compiler.feeds import Source
from tinygrad_edu.derive.pytree import flatten
from tinygrad_edu.errors import ArgumentError, ShapeError
from tinygrad_edu.graph.node import Node
from tinygrad_edu.graph.tensor import Tensor, make

CALL_SECONDS = 0.1
"""About how long one call of a plan may last: as long as Ctrl-C waits (and `fit`'s progress bar
stands still)."""


class Program(Protocol):
    """What a `tinygrad_edu.compiler.compiled.Compiled` does here."""

    def entry_for(self, *arrays: np.ndarray) -> Entry:
        """What runs steps on such arrays."""

    def run_many(self, entry: Entry, steps: int, sources: Sequence[Source]) -> tuple[int, Any]:
        """How many of the steps were run, at least one, and what came of them."""


class Batches:
    """Arrays in batches of rows: consecutive ones, or those that `order` names."""

    def __init__(self, data: Sequence[Any], batch_size: int, order: Any = None) -> None:
        self.arrays = [_array(x) for x in data]
        lengths = {len(x) for x in self.arrays}
        if len(lengths) != 1:
            raise ShapeError(
                f"epoch: needs arrays of one length, got {[len(x) for x in self.arrays]}."
            )
        if batch_size < 1:
            raise ArgumentError(f"epoch: batch_size must be at least 1, got {batch_size}.")
        self.order = None if order is None else _indices(order, *lengths)
        self.size = batch_size
        self.length = lengths.pop() if self.order is None else len(self.order)
        self.full = self.length // batch_size

    @property
    def rest(self) -> int:
        """Rows of the last batch, if it is a smaller one."""
        return self.length - self.full * self.size

    def first(self, start: int) -> list[np.ndarray]:
        """Batch number `start`, to tell shapes and dtypes: not its values."""
        rows = min(self.size, self.length - start * self.size)
        return [x[:rows] for x in self.arrays]

    def sources(self, start: int, steps: int) -> list[Any]:
        """What `plan.run_many` takes for so many batches from number `start`."""
        low, high = start * self.size, min((start + steps) * self.size, self.length)
        if self.order is None:
            return [x[low:high].reshape(steps, -1, *x.shape[1:]) for x in self.arrays]
        rows = self.order[low:high].reshape(steps, -1)
        return [(x, rows) for x in self.arrays]


def _array(x: Any) -> np.ndarray:
    data = x.node.snapshot() if isinstance(x, Tensor) else np.asarray(x)
    if not np.ndim(data):
        raise ShapeError("epoch: a single number has no rows; pass arrays of examples.")
    return np.ascontiguousarray(data)


def _indices(order: Any, length: int) -> np.ndarray:
    found = np.asarray(order.detach() if isinstance(order, Tensor) else order)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise ArgumentError(
            f"epoch: order must be a vector of row numbers, got {found.dtype} {found.shape}."
        )
    return np.where(found < 0, found + length, found).astype(np.int64)


# ------------------------------------------------------------------------------ running


def run_epoch(program: Program, batches: Batches, drop_last: bool) -> Any:
    """One call of the step for each batch: see `Compiled.epoch`."""
    rest = 0 if drop_last else batches.rest
    if not batches.full and not rest:
        raise ArgumentError(
            f"epoch: {batches.length} rows make no batch of {batches.size}; pass more rows, or a "
            "smaller batch_size."
        )
    if rest and batches.full:
        smaller, whole = (program.entry_for(*batches.first(k)) for k in (batches.full, 0))
        if smaller.plan.shapes != whole.plan.shapes:
            raise ShapeError(
                f"epoch: the last batch has {rest} rows, so results of shapes {whole.plan.shapes} "
                f"and {smaller.plan.shapes} cannot be joined; pass drop_last=True, or a batch_size "
                f"that divides {batches.length}."
            )
    pieces = [result for _, result in pieces_of(program, batches, rest > 0)]
    return _joined(pieces)


def pieces_of(program: Program, batches: Batches, with_rest: bool) -> Iterator[tuple[int, Any]]:
    """The number of steps and the results of each call of a plan."""
    start = 0
    while start < batches.full:
        entry = program.entry_for(*batches.first(start))
        steps = min(at_once(entry), batches.full - start)
        taken, result = program.run_many(entry, steps, batches.sources(start, steps))
        yield taken, result
        start += taken
    if with_rest:
        entry = program.entry_for(*batches.first(batches.full))
        yield program.run_many(entry, 1, batches.sources(batches.full, 1))


def at_once(entry: Entry) -> int:
    """How many steps to run in one call of a plan: one, if it is not known how long it takes."""
    if not entry.is_steady or not entry.seconds:
        return 1
    return max(1, int(CALL_SECONDS / entry.seconds))


def _joined(pieces: Sequence[Any]) -> Any:
    """The results of all calls as one: arrays joined, the rest as the last call gave it."""
    parts = [flatten(piece) for piece in pieces]
    if len(parts) == 1:
        leaves, rebuild = parts[0]
        return rebuild(make(Node(x)) if isinstance(x, np.ndarray) else x for x in leaves)
    columns, rebuild = [leaves for leaves, _ in parts], parts[-1][1]
    return rebuild(
        make(Node(np.concatenate(column))) if isinstance(column[0], np.ndarray) else column[-1]
        for column in zip(*columns, strict=True)
    )
