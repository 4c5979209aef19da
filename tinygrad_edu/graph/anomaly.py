"""`detect_anomaly`: which op, on which line of the user's, first made a NaN or an infinity.

`node.record` has one hook, which is None outside the mode. Inside, each op's value is checked as it
is computed, and its line is noted on the node for the derivatives that are computed of it later.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import AnomalyError, describe
from tinygrad_edu.graph import node as graph
from tinygrad_edu.graph import tape
from tinygrad_edu.graph.lines import UNKNOWN, Line, users_line
from tinygrad_edu.graph.node import Abstract, Node
from tinygrad_edu.ops.dtypes import is_float
from tinygrad_edu.ops.table import Op


@contextlib.contextmanager
def detect_anomaly() -> Iterator[None]:
    """Inside this ``with`` block, raise `AnomalyError` where an op on tensors or Values first makes
    a NaN or an infinity: in its value, or in the gradients (or tangents) computed of it. ::

        with tg.detect_anomaly():
            loss = model(x).log().mean()
            loss.backward()

    The error names the op, its shapes, and the line of the user's code that called it. An infinite
    operand may stay infinite, so that -inf can be used as a mask; NaN always raises. The mode holds
    for all threads and makes every op slower, so use it to search, not to train. (A compiled
    function of Values is not looked into; search without compiling it.)
    """
    before = graph.watch, tape.numbers_of
    graph.watch, tape.numbers_of = _watch, _WatchedNumbers
    tape.turn(tape.page)  # Values are looked at on pages of their own
    try:
        yield
    finally:
        graph.watch, tape.numbers_of = before
        tape.turn(tape.page)


def watched(step: Callable[..., Any], mode: str, what: str) -> Callable[..., Any]:
    """`step(node, given, ...)`, which derives one op in forward or reverse mode, with its result
    checked inside the context. `what` names the result; ``{}`` in it is the position in a list.
    """
    if graph.watch is None:
        return step

    def checked(node: Node, given: Any, *rest: Any) -> Any:
        # Rules may pass through infinities that they drop (a "double where"): only what comes out
        # counts, and whatever was recorded on the way is due to the line of the op.
        outer, _watch.source = _watch.source, getattr(node, "line", UNKNOWN)
        try:
            found = step(node, given, *rest)
        finally:
            _watch.source = outer
        name, line = f"{mode} of {node.op and node.op.name}", getattr(node, "line", UNKNOWN)
        came = _arrays(given)
        for i, array in enumerate(_arrays(found)):
            _check(name, what.format(i), array, came, line)
        return found

    return checked


class _Watch(threading.local):
    """What `record` calls after each op. `source` is the line of the op that is being derived."""

    source: Line | None = None

    def __call__(self, op: Op, operands: Sequence[Node], result: Node) -> None:
        line = self.source or users_line()
        if result.op is not None:
            result.line = line
        if self.source is None:
            _check(op.name, "the result", _array(result), list(map(_array, operands)), line)


_watch = _Watch()


# ------------------------------------------------------------------------------ Values


class _WatchedNumbers:
    """What the numbers of a page of the tape are written through. A record's operands are there
    before its number; numbers and leaves have none, and may be what they like."""

    def __init__(self, records: tape.Records) -> None:
        self._records = records
        self._value: Any = tape.plain_numbers(records)

    def __getitem__(self, position: int) -> float:
        number: float = self._value[position]
        return number

    def __setitem__(self, position: int, number: float) -> None:
        self._value[position] = number
        records = self._records
        operands = records.operands(position)
        if operands:
            line = records.lines[position] = users_line()
            if not math.isfinite(number):
                op = tape.OPS[records.op[position]]  # of a neuron's sum it is known in the end only
                name = "weighted sum" if op is None else op.name
                given = [records.value[place] for place in operands]
                _check(name, "the result", np.float64(number), given, line)


def check_share(records: tape.Records, at: int, i: int, given: float, share: float) -> None:
    """Raise if operand i's share of the cotangent of a record is the first NaN or infinity."""
    if not math.isfinite(share):
        op, line = tape.OPS[records.op[at]], records.lines.get(at, UNKNOWN)
        what = f"the gradient of operand {i}"
        _check(f"backward of {op and op.name}", what, np.float64(share), [np.float64(given)], line)


# ------------------------------------------------------------------------------ checking


def _check(name: str, what: str, found: Any, given: Sequence[Any], line: Line) -> None:
    """Raise if a NaN is found, or an infinity where nothing given is infinite."""
    if _finite(found):
        return
    faults = [_first(x) for x in given if not _finite(x)]
    if not np.isnan(found).any() and any("inf" in fault for fault in faults):
        return
    raise AnomalyError(
        f"{name}: {what}, {describe([found])}, has {_first(found)}; what it was computed from, "
        f"{describe(x for x in given if x is not None)}, "
        + (f"already had {faults[0]}" if faults else "was finite")
        + f".\n{line}"
    )


def _array(x: Any) -> Any:
    """The values of a node, tensor or array; None where there are none."""
    x = getattr(x, "node", x)
    x = x.data if isinstance(x, Node) else x
    return None if x.__class__ is Abstract else x


def _arrays(given: Any) -> list[Any]:
    """The values of one, or of several in a list."""
    return list(map(_array, given if isinstance(given, list) else [given]))


def _finite(x: Any) -> bool:
    return x is None or not is_float(x.dtype) or bool(np.isfinite(x).all())


def _first(x: Any) -> str:
    """The first NaN, or else the first infinity, and where it is."""
    x = np.asarray(x)
    bad = np.isnan(x) if np.isnan(x).any() else np.isinf(x)
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    return f"{x[index]} at {list(index)}" if index else f"{x[index]}"
