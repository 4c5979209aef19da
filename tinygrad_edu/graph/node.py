"""The graph is data: a node is an op, its operand nodes, its parameters and its value.

Nothing here knows a derivative. `record` runs an op and, where somebody may ask for a gradient,
remembers it; `tinygrad_edu.derive` walks what was remembered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import (
    ArgumentError,
    DTypeError,
    IndexingError,
    TinygradError,
    describe,
)
from tinygrad_edu.graph.modes import state
from tinygrad_edu.ops.dtypes import is_float
from tinygrad_edu.ops.structural import cast
from tinygrad_edu.ops.table import Op


class Abstract:
    """Stands where an array would: a shape and a dtype, no values. What a trace computes with."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype


_NO_PARAMS: Mapping[str, Any] = {}


watch: Callable[[Op, Sequence[Node], Node], None] | None = None
"""Called after each op, if set: by `anomaly.detect_anomaly`."""

tracer: Any = None
"""What records a whole step while `tg.compile` traces one (`compiler/tracing/trace.py`)."""


def tracing() -> Any:
    """The tracer if this thread traces a step, else None."""
    return tracer if tracer is not None and tracer.thread == threading.get_ident() else None


class Node:
    """One value in the graph. `op` is None for a leaf; `line` is set by `detect_anomaly` and while
    a step is traced, `hooks` where there are any."""

    __slots__ = (
        "changed",
        "data",
        "grad",
        "hooks",
        "inputs",
        "line",
        "op",
        "params",
        "requires_grad",
        "retains_grad",
        "tick",
    )
    line: Any
    hooks: dict[int, Callable[[Any], Any]]
    live = False
    """Whether a compiled step writes into the value's memory: see `LiveNode`."""

    def __init__(
        self,
        data: Any,
        requires_grad: bool = False,
        op: Op | None = None,
        inputs: tuple[Node, ...] = (),
        params: Mapping[str, Any] = _NO_PARAMS,
    ) -> None:
        self.data = data
        self.requires_grad = requires_grad
        self.op = op
        self.inputs = inputs
        self.params = params
        self.grad: Any = None
        self.retains_grad = False
        self.tick = clock.now
        self.changed = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        return self.data.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the value."""
        return self.data.dtype  # type: ignore[no-any-return]

    @property
    def is_abstract(self) -> bool:
        """Whether the value is a shape only. While a step is traced that holds of everything that
        was there before: its values may be others at the next call."""
        if self.data.__class__ is Abstract:
            return True
        if tracer is None:  # as nearly always
            return False
        now = tracing()
        return now is not None and bool(now.is_older(self))

    def __setstate__(self, state: tuple[None, Mapping[str, Any]]) -> None:
        """Unpickle. In a new process the clock must not be behind what it showed in the old one, or
        the node would seem to have changed after whatever is computed from it."""
        for name, value in state[1].items():
            setattr(self, name, value)
        clock.now = max(clock.now, self.tick, self.changed)

    def assign(self, data: np.ndarray) -> None:
        """Give a leaf a new value. Graphs that read the old one are stale from here on."""
        now = tracing()
        if now is not None:
            now.assign(self, Node(data))
            return
        clock.now += 1
        self.changed = clock.now
        self.data = data

    def take(self, other: Node) -> None:
        """Give a leaf the value of another node."""
        now = tracing()
        if now is not None:
            now.assign(self, other)
        else:
            self.assign(other.data)

    def snapshot(self) -> Any:
        """The value as it is now, for a new node to keep: a copy where a compiled step would write
        into the memory."""
        return self.data.copy() if self.live and not self.is_abstract else self.data


class LiveNode(Node):
    """A leaf whose memory belongs to a compiled step, which writes into it at every call. A node
    becomes one when a plan takes its value over. What others keep of it must be a copy."""

    __slots__ = ()
    live = True


class _Clock:
    """Counts assignments, and other changes of what a compiled step may depend on. A node recorded
    before its operand last changed must not be differentiated with the operand's new value."""

    now = 0


clock = _Clock()


def record(op: Op, nodes: Sequence[Node], params: Mapping[str, Any]) -> Node:
    """Run `op` on the nodes' values and remember it if its gradient may be asked for.

    Where any operand is abstract the result is, and the op is always remembered."""
    dtype = op.prepare(nodes)
    if dtype is not None:
        nodes = [
            node if i < op.selects or node.data.dtype == dtype else _cast(node, dtype)
            for i, node in enumerate(nodes)
        ]
    if tracer is not None and tracer.thread == threading.get_ident():
        recorded: Node = tracer.record(op, nodes, params)
        return recorded
    requires_grad = abstract = live = False
    for node in nodes:
        requires_grad = requires_grad or node.requires_grad
        abstract = abstract or node.data.__class__ is Abstract
        live = live or node.live
    if abstract:
        data: Any = Abstract(*op.infer(*nodes, **params))
    else:
        data = _forward(op, nodes, params)
        if live and data.base is not None and _is_window(data, nodes):
            data = data.copy()  # not a window onto memory that a compiled step will write to
    if requires_grad:
        requires_grad = op.differentiable and state.recording and is_float(data.dtype)
    if requires_grad or abstract:
        node = Node(data, requires_grad, op, tuple(nodes), params)
    else:
        node = Node(data)
    if watch is not None:
        watch(op, nodes, node)
    return node


def _is_window(data: np.ndarray, nodes: Sequence[Node]) -> bool:
    return any(node.live and np.may_share_memory(data, node.data) for node in nodes)


def _cast(node: Node, dtype: np.dtype[Any]) -> Node:
    return record(cast, (node,), {"dtype": dtype})


def _forward(op: Op, nodes: Sequence[Node], params: Mapping[str, Any]) -> np.ndarray:
    try:
        data = op.forward(*[node.data for node in nodes], **params)
    except TinygradError:
        raise
    except (ValueError, TypeError, IndexError) as error:
        op.infer(*nodes, **params)  # raises the specific error if the shapes are at fault
        raise as_ours(error, op, nodes) from None
    return data if data.__class__ is np.ndarray else np.asarray(data)


def as_ours(error: Exception, op: Op, operands: Sequence[Any]) -> Exception:
    """NumPy's error as one of ours, which says what it was that failed; another error as it is."""
    for numpys, ours in _OURS.items():
        if isinstance(error, numpys) and not isinstance(error, TinygradError):
            return ours(f"{op.name}: {error} (operands {describe(operands)})")
    return error


_OURS = {IndexError: IndexingError, TypeError: DTypeError, ValueError: ArgumentError}
"""What a user sees where NumPy raised."""
