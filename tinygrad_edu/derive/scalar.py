"""Reverse mode on Values: the tape is read from its end, page by page.

Records were written in the order of computation, so the newest one that was reached is always next.
There are two walks over a page, and tests hold them to the same bits: a compiled one
(`kernels/values/tape.py`), and one in Python, through which Values may flow, so that what it
computes can be differentiated again. Both read the op table's partials.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import inspect
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import DTypeError, GradientError
from tinygrad_edu.graph import modes, text
from tinygrad_edu.graph import node as graph
from tinygrad_edu.graph.anomaly import check_share
from tinygrad_edu.graph.recording import evaluate, is_number, record
from tinygrad_edu.graph.tape import CONSTANT, OPS, SOURCE, Records
from tinygrad_edu.graph.value import Result, Value
from tinygrad_edu.ops.kinds import Elementwise
from tinygrad_edu.ops.table import Reader

Cotangents = dict[int, Any]
"""Numbers or Values, by position on a page."""

PullPage = Callable[[Records, Cotangents, Collection[int]], Cotangents]
"""From the cotangents of some records of a page to those of the sources they depend on, and of the
watched positions."""


def backward(root: Value) -> None:
    """Add the derivatives of `root` to the grad of leaves, and of results that retain theirs."""
    if not isinstance(root, Result):
        root.grad += 1.0
        return
    for records, found in _walk([(root, 1.0)], _pull_numbers, lambda records: records.retained):
        for position, cotangent in found.items():
            leaf = records.leaves.get(position)
            if leaf is not None:
                leaf.grad += cotangent
            elif position in records.retained:
                records.retained[position] += cotangent


def grad_values(
    outputs: Value | Sequence[Value],
    inputs: Value | Sequence[Value],
    grad_outputs: Any = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Value | None, ...]:
    """The gradients of `outputs` with respect to `inputs`: `tinygrad_edu.autograd.grad` of Values.

    `grad_outputs` holds a number or Value for each output, 1 by default. With `create_graph` the
    results can be differentiated again, any number of times.

    Raises `GradientError` for an input that no output depends on, unless `allow_unused`, which
    returns None for it.
    """
    if modes.state.watcher is not None:
        modes.state.watcher.refuse("autograd.grad was asked of")
    roots, targets = _values("outputs", outputs), _values("inputs", inputs)
    seeds = list(zip(roots, _starts(roots, grad_outputs, create_graph), strict=True))
    watched: dict[Records, set[int]] = {}
    for target in targets:
        if isinstance(target, Result):
            watched.setdefault(target.records, set()).add(target._index)
    pull = _pull_values if create_graph else _pull_numbers
    gradients: dict[Any, Any] = {}
    with modes.set_grad_enabled(create_graph):
        for root, cotangent in seeds:
            if not isinstance(root, Result):
                _add(gradients, _place(root), cotangent)
        for records, found in _walk(seeds, pull, lambda records: watched.get(records, ())):
            for position, cotangent in found.items():
                leaf = records.leaves.get(position)
                place = (records, position) if leaf is None else _place(leaf)
                _add(gradients, place, cotangent)
        return tuple(
            _gradient(gradients.get(_place(target)), i, allow_unused)
            for i, target in enumerate(targets)
        )


def _values(name: str, xs: Any) -> Sequence[Value]:
    values = xs if isinstance(xs, Sequence) else (xs,)
    for x in values:
        if not isinstance(x, Value):
            raise DTypeError(f"grad: {name} must all be Values, not {type(x).__name__}.")
    return values


def _starts(roots: Sequence[Value], grad_outputs: Any, create_graph: bool) -> list[Any]:
    """The cotangents a walk starts from."""
    if grad_outputs is None:
        return [1.0] * len(roots)
    given = grad_outputs if isinstance(grad_outputs, Sequence) else (grad_outputs,)
    if len(given) != len(roots):
        raise GradientError(f"grad: {len(roots)} outputs but {len(given)} grad_outputs.")
    for start in given:
        if not isinstance(start, Value) and not is_number(start):
            raise DTypeError(
                f"grad: a grad_output is a Value or number, not {type(start).__name__}"
            )
    return [start if create_graph and isinstance(start, Value) else float(start) for start in given]


def _place(x: Value) -> Any:
    """What identifies a Value: a leaf itself, which may have many records, or the one record."""
    return (x.records, x._index) if isinstance(x, Result) else id(x)


def _gradient(cotangent: Any, i: int, allow_unused: bool) -> Value | None:
    """What the user gets: a Value of the graph, or a new one for a number."""
    if cotangent is None:
        if allow_unused:
            return None
        raise GradientError(
            f"grad: no output depends on input {i}; pass allow_unused=True to get None for it."
        )
    if isinstance(cotangent, Result) and cotangent.records.op[cotangent._index] == CONSTANT:
        cotangent = cotangent.data
    return cotangent if isinstance(cotangent, Value) else Value(cotangent)


def _add(cotangents: dict[Any, Any], place: Any, cotangent: Any) -> None:
    before = cotangents.get(place)
    cotangents[place] = cotangent if before is None else before + cotangent


# ------------------------------------------------------------------------------ from page to page


def _walk(
    seeds: Sequence[tuple[Value, Any]],
    pull_page: PullPage,
    watched: Callable[[Records], Collection[int]],
) -> Iterator[tuple[Records, Cotangents]]:
    """Pull the seeds' cotangents back, newest page first; what each page found. Leaves among the
    seeds have nothing behind them and are left out."""
    pending: dict[Records, Cotangents] = {}
    for root, cotangent in seeds:
        if isinstance(root, Result):
            _add(pending.setdefault(root.records, {}), root._index, cotangent)
    while pending:
        records = max(pending, key=lambda records: records.serial)
        found = pull_page(records, pending.pop(records), watched(records))
        yield records, found
        if records.imports:
            for position, cotangent in found.items():
                origin = records.imports.get(position)
                if origin is not None:
                    _add(pending.setdefault(origin[0], {}), origin[1], cotangent)


# ------------------------------------------------------------------------------ a page in Python


class _NumberFlow:
    """Numbers flow through the partials, as long as that is faster than loading a compiler."""

    left = 5_000
    """Partials that this process may still compute in Python: some milliseconds, where loading
    Numba takes a third of a second, and compiling, once on a machine, some seconds."""

    class Exhausted(Exception):
        """There were too many."""

    def __init__(self, records: Records) -> None:
        self._value = records.value

    def at(self, position: int) -> float:
        """What stands at a position."""
        return float(self._value[position])

    @classmethod
    def factor(cls, partial: Callable[..., Any], *xs: Any) -> Any:
        """The partial for these."""
        if cls.left <= 0:
            raise cls.Exhausted
        cls.left -= 1
        return evaluate(partial, *xs)


class _EveryNumberFlow(_NumberFlow):
    """The same, however long it takes: under `detect_anomaly`."""

    left = math.inf  # type: ignore[assignment]


class _ValueFlow:
    """Values flow through the partials, and what is computed of them is recorded in turn."""

    def __init__(self, records: Records) -> None:
        self._page = records.page()

    def at(self, position: int) -> Result:
        """What stands at a position."""
        return Result.at(self._page, position)

    @staticmethod
    def factor(partial: Callable[..., Any], *xs: Any) -> Any:
        """The partial for these."""
        return partial(_reader, *xs)


class _ValueReader(Reader):
    """The namespace of rules on Values. A condition is decided, as the numbers are known, and so is
    the branch it selects."""

    def __init__(self) -> None:
        super().__init__(_apply)

    @staticmethod
    def where(condition: bool, a: Any, b: Any) -> Any:
        """The branch that is taken."""
        return a if condition else b


def _apply(op: Any, *xs: Any) -> Any:
    if op.differentiable and any(isinstance(x, Value) for x in xs):
        return record(op, *xs)
    answer = evaluate(op.rule, *map(float, xs))
    return bool(answer) if op.result == "bool" else answer


_reader = _ValueReader()


def _pull_values(records: Records, seeds: Cotangents, watched: Collection[int]) -> Cotangents:
    """Walk over a page with Values; see `PullPage`."""
    return _pull_in_python(records, seeds, watched, _ValueFlow(records))


def _pull_in_python(
    records: Records,
    seeds: Cotangents,
    watched: Collection[int],
    flow: _NumberFlow | _ValueFlow,
    check: Callable[..., None] | None = None,
) -> Cotangents:
    cotangents, found = dict(seeds), {}
    waiting = [-position for position in seeds]  # a heap's first element is its smallest
    heapq.heapify(waiting)
    while waiting:
        at = -heapq.heappop(waiting)
        cotangent, code = cotangents.pop(at), records.op[at]
        if code == SOURCE or at in watched:
            found[at] = cotangent
        op = OPS[code]
        if op is None:
            continue
        places = records.operands(at)
        xs = [flow.at(place) for place in places]
        xs[: op.selects] = [x != 0.0 for x in xs[: op.selects]]
        for i, (place, partial) in enumerate(zip(places, op.partials, strict=False)):
            if partial is None or records.op[place] == CONSTANT:
                continue
            if place not in cotangents:
                heapq.heappush(waiting, -place)
            factor = flow.factor(partial, flow.at(at), *xs)
            share = _times(op, cotangent, factor)
            if check is not None:
                check(records, at, i, cotangent, share)
            _add(cotangents, place, share)
    return found


def _times(op: Elementwise, cotangent: Any, factor: Any) -> Any:
    """cotangent * factor. A condition lets the cotangent through or not, even an infinite one, and
    so do the zeros of an op that `picks`."""
    if isinstance(factor, bool):
        return cotangent if factor else 0.0
    if isinstance(factor, int | float):
        if factor in (1, -1):
            return cotangent if factor == 1 else -cotangent
        if factor == 0 and op.picks:
            return 0.0
    return factor if isinstance(cotangent, float) and cotangent == 1 else cotangent * factor


# ------------------------------------------------------------------------------ a page, compiled


class _Workspace:
    """The kernel's memory: a cotangent and marks for each position, zero between walks."""

    def __init__(self, size: int) -> None:
        self.cotangent = np.zeros(size)
        self.state = np.zeros(size, np.uint8)
        self.found = np.zeros(size, np.uint32)


_spare: list[_Workspace] = []


def _pull_numbers(records: Records, seeds: Cotangents, watched: Collection[int]) -> Cotangents:
    """Walk over a page with numbers; see `PullPage`."""
    if graph.watch is not None:
        return _pull_in_python(records, seeds, watched, _EveryNumberFlow(records), check_share)
    if _NumberFlow.left > 0:
        with contextlib.suppress(_NumberFlow.Exhausted):
            return _pull_in_python(records, seeds, watched, _NumberFlow(records))
    return _pull_compiled(records, seeds, watched)


def _pull_compiled(records: Records, seeds: Cotangents, watched: Collection[int]) -> Cotangents:
    from tinygrad_edu.kernels.values.tape import WATCHED

    kernel = _kernel(len(OPS))
    size = len(records.op)
    try:
        work = _spare.pop()
    except IndexError:
        work = _Workspace(size)
    if len(work.state) < size:
        work = _Workspace(size)
    marked = list(watched)
    work.state[marked] = WATCHED
    n = kernel(
        *(records.op, records.left, records.right, records.third, records.value),
        *(np.array(list(seeds), np.uint32), np.array(list(seeds.values()), np.float64)),
        *(work.cotangent, work.state, work.found),
    )
    positions = np.sort(work.found[:n])[::-1]
    cotangents = work.cotangent[positions]
    work.cotangent[positions] = 0.0
    work.state[positions] = work.state[marked] = 0
    _spare.append(work)  # not reached after an error, which may have left it half filled
    return dict(zip(positions.tolist(), cotangents.tolist(), strict=True))


@functools.cache
def _kernel(ops: int) -> Callable[..., int]:
    """The kernel for the first `ops` codes."""
    from tinygrad_edu.kernels.values import tape as kernels

    cases = []
    for code, op in enumerate(OPS[:ops]):
        if op is not None:
            xs = [f"x{i}" for i in range(len(inspect.signature(op.rule).parameters) - 1)]
            pulls = tuple(text.pull(op, i, "g", "y", xs) for i in range(len(xs)))
            cases.append(kernels.Case(op.name, code, len(xs), pulls))
    return kernels.backward_kernel(cases, text.primitives(), CONSTANT, SOURCE)
