"""Tracing a whole step: every op of it is recorded, nothing is computed.

The step runs as ordinary Python on tensors without values. Whatever was there before it (a
parameter, a running mean, an array that the function closes over) only tells its shape; its values
are read when the program runs. Assignments are noted, not made: what is read afterwards is the new
value, and when the trace ends everything is as it was before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.compiler.tracing.host import Host
from tinygrad_edu.errors import TraceError
from tinygrad_edu.graph import modes
from tinygrad_edu.graph import node as graph
from tinygrad_edu.graph.hooks import Observer
from tinygrad_edu.graph.lines import users_line
from tinygrad_edu.graph.node import Abstract, Node, clock
from tinygrad_edu.graph.tensor import Tensor, make
from tinygrad_edu.ops.table import Op

KEY_DTYPE = np.dtype(np.uint64)


@dataclass(frozen=True)
class Place:
    """Where an array that is no tensor is kept between calls: an optimizer's moment."""

    get: Callable[[], np.ndarray | None]
    set: Callable[[np.ndarray], None]


@dataclass
class GradEvent:
    """The gradient of a leaf that was there before the step."""

    prior: Tensor | None
    read: bool
    """Whether the step depends on what the gradient was when it began."""


class Tracer:
    """What the engine tells about a step while it is traced; `graph.node.tracing()` finds it."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.host = Host()
        self.reads: dict[Node, tuple[Node, ...]] = {}
        """What an op's operands stood for, where they had been assigned to."""
        self.current: dict[Node, Node] = {}
        """The value of each node that was assigned to."""
        self.stands_for: dict[Node, Node] = {}
        self.grads: dict[Node, GradEvent] = {}
        self.handles: dict[Tensor, Node] = {}
        """Tensors whose node was replaced, and the node they had."""
        self.moments: dict[Node, Place] = {}
        self.numbers: list[tuple[Callable[[], list[dict[str, Any]]], str, Any]] = []
        """Where a number is kept after each call: (what finds the dictionaries, name, number)."""
        self.carried: dict[Any, Any] = {}
        """For the key of a number that is kept, what it is after a call."""
        self.once = False
        """Whether the program is of a first call only: the second finds state that this one made.
        """
        self.options: list[tuple[Mapping[str, Any], tuple[str, ...]]] = []
        """Dictionaries of options, and those of them that the program was made for."""
        self.conditions: list[tuple[str, Callable[[], bool]]] = []
        self.optimizers: list[tuple[Any, Callable[[], Any]]] = []
        self.observers: list[Observer] = []
        self.arrays: dict[int, tuple[np.ndarray, Node]] = {}
        """NumPy arrays that the step reads at each call, by their id."""
        self.key: Node | None = None
        self.draws = 0
        self._asked: dict[Node, bool] = {}
        self._changed: dict[Node, int] = {}
        self._places: dict[Any, Node] = {}
        self._borrowed: list[tuple[dict[str, Any], str, Any]] = []
        self._lent: list[tuple[dict[str, Any], str]] = []
        self._start = 0

    # -------------------------------------------------------------------------- begin and end

    def __enter__(self) -> Tracer:
        if graph.tracer is not None:
            raise TraceError("another thread is tracing a step; trace one step at a time.")
        clock.now += 1  # so that a node's tick tells whether it is older than the trace
        self._start = clock.now
        graph.tracer = self
        return self

    def __exit__(self, *error: object) -> None:
        graph.tracer = None
        self.final_grads = {node: node.grad for node in self.grads}
        self.final_handles = {handle: handle.node for handle in self.handles}
        for options, name, value in self._borrowed:
            options[name] = value
        for node, event in self.grads.items():
            node.grad = event.prior
        for handle, before in self.handles.items():
            handle.node = before
        for node, asked in self._asked.items():
            node.requires_grad = asked
        for node, changed in self._changed.items():
            node.changed = changed

    def is_older(self, node: Node) -> bool:
        """Whether the node was there before the step."""
        return node.tick < self._start

    # -------------------------------------------------------------------------- values

    def record(self, op: Op, nodes: Sequence[Node], params: Mapping[str, Any]) -> Node:
        """The result of an op: a shape, and how to compute it."""
        shape, dtype = op.infer(*nodes, **params)
        asks = (
            op.differentiable
            and modes.state.recording
            and dtype.kind == "f"
            and any(node.requires_grad for node in nodes)
        )
        node = Node(Abstract(tuple(shape), dtype), asks, op, tuple(nodes), params)
        node.line = users_line()
        if self.current:
            values = tuple(self.current.get(x, x) for x in nodes)
            if values != node.inputs:
                self.reads[node] = values
        return node

    def assign(self, node: Node, value: Node) -> None:
        """The node has this value from here on."""
        if (value.shape, value.dtype) != (node.shape, node.dtype):
            raise TraceError(
                f"A compiled step cannot change {node.shape} {node.dtype} to {value.shape} "
                f"{value.dtype}: what it keeps between calls has one shape and dtype.\n"
                f"{users_line()}"
            )
        self.current[node] = self.current.get(value, value)
        self._changed.setdefault(node, node.changed)
        clock.now += 1
        node.changed = clock.now

    def same(self, node: Node, value: Node) -> None:
        """The node has the value of another, though it was not recorded."""
        self.stands_for[node] = self.current.get(value, value)

    def rebinds(self, handle: Tensor) -> None:
        """The tensor is about to stand for another node."""
        if self.is_older(handle.node):
            self.handles.setdefault(handle, handle.node)

    def array(self, data: Any) -> Node | None:
        """What stands for a NumPy array that was there before the step; None for any other data."""
        if not isinstance(data, np.ndarray):
            return None
        if id(data) in self.arrays:
            return self.arrays[id(data)][1]
        base = data.base
        while isinstance(base, np.ndarray):
            if id(base) in self.arrays:
                raise TraceError(
                    f"A part of shape {data.shape} of a NumPy array would be copied once and never "
                    "read again by the compiled step. Make the whole array a tensor first and "
                    f"index that, or pass the part as an argument.\n{users_line()}"
                )
            base = base.base
        return None

    def watch_array(self, array: np.ndarray) -> None:
        """Read this array at each call where the step uses it."""
        if array.dtype.kind in "biuf":
            self.arrays.setdefault(id(array), (array, Node(Abstract(array.shape, array.dtype))))

    def draw(self, **law: Any) -> Tensor:
        """Random numbers, new ones at each call."""
        if self.key is None:
            self.key = Node(Abstract((2,), KEY_DTYPE))
        self.draws += 1
        params = {"offset": self.draws - 1, **law}
        return make(self.record(ops.random, [self.key], params))

    # -------------------------------------------------------------------------- gradients

    def grad_event(self, node: Node, reading: bool) -> None:
        """The gradient kept for this leaf is about to be read or replaced."""
        if node not in self.grads and self.is_older(node):
            self.grads[node] = GradEvent(node.grad, reading)

    def asks(self, node: Node) -> None:
        """`requires_grad` of this leaf is about to change."""
        if self.is_older(node):
            self._asked.setdefault(node, node.requires_grad)

    def changed_asking(self) -> Node | None:
        """A leaf whose `requires_grad` the step changed for good."""
        return next((n for n, before in self._asked.items() if n.requires_grad != before), None)

    def check_own(self, order: Sequence[Node]) -> None:
        """Refuse to differentiate what was computed before the step."""
        for node in order:
            if node.op is not None and self.is_older(node):
                raise TraceError(
                    f"backward reaches {node.op.name} of shape {node.shape}, which was computed "
                    "before the compiled step and is not computed again at each call; compute it "
                    f"inside the step, or cut it off with .detach().\n{users_line()}"
                )

    # -------------------------------------------------------------------------- optimizers

    def moment(
        self,
        key: Any,
        get: Callable[[], np.ndarray | None],
        put: Callable[[np.ndarray], None],
        value: np.ndarray,
    ) -> Tensor:
        """The tensor for an array that is kept elsewhere between calls, now with this value."""
        if key not in self._places:
            node = self._places[key] = Node(value)
            self.moments[node] = Place(get, put)
        return make(self._places[key])

    def number(self, key: Any, read: Callable[[], Any]) -> Any:
        """The number that `read` gives at each call."""
        return self.host.read(key, read)

    def keep_number(
        self, places: Callable[[], list[dict[str, Any]]], name: str, number: Any, key: Any
    ) -> None:
        """Store a number under its name in the dictionaries that `places` finds, after each call.
        `key` is that of the number that stood there before."""
        self.numbers.append((places, name, number))
        self.carried[key] = number

    def needs(self, what: str, holds: Callable[[], bool]) -> None:
        """The program is right only while `holds()`, which is asked after any assignment."""
        self.conditions.append((what, holds))

    def takes_over(self, optimizer: Any, prepare: Callable[[], Any]) -> None:
        """An optimizer whose state is the program's; `prepare` makes the places for it."""
        self.optimizers.append((optimizer, prepare))

    def depends_on(self, options: Mapping[str, Any], names: Sequence[str]) -> None:
        """The program holds only for these values of the options."""
        self.options.append((options, tuple(names)))

    def effect(self, function: Callable[[], Any]) -> None:
        """Something to do at each call, at this point of the step (a schedule's)."""
        self.host.effect(function)
        for options, name in self._lent:
            options[name] = self.option(options, name)

    def option(self, options: dict[str, Any], name: str) -> Any:
        """The number that stands under a name at each call."""
        before = next((old for of, n, old in self._borrowed if of is options and n == name), None)
        if before is None:
            self._borrowed.append((options, name, options[name]))
        return self.number((id(options), name), lambda: options[name])

    def observed_by(self, observer: Observer) -> None:
        """Each call of the program is a step that this one counts, or wants to see."""
        self.observers.append(observer)

    def lend(self, options: dict[str, Any], name: str) -> None:
        """Let the option be read anew at each call, whoever reads it during the trace."""
        options[name] = self.option(options, name)
        self._lent.append((options, name))
