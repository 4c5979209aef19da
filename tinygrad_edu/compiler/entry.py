"""One program of a compiled step, bound to the objects whose state it takes over."""

from __future__ import annotations

import functools
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_edu.compiler.tracing.host import Live
from tinygrad_edu.compiler.tracing.lift import GradCell, Lifted
from tinygrad_edu.compiler.tracing.scan import EMPTY, Cells, Scan, Watch, same
from tinygrad_edu.compiler.tracing.trace import Tracer
from tinygrad_edu.errors import TraceError
from tinygrad_edu.graph.creation import random_state, set_random_state
from tinygrad_edu.graph.node import LiveNode, Node, clock
from tinygrad_edu.graph.tensor import make

OWN_REFERENCES = 4
"""To the tensor of a gradient that nobody else holds: the leaf's, the cell's, a local name, and the
argument of the function that counts."""

SHORTEST = 1e-9
"""Seconds that a step takes at least, for a clock that has not moved."""


@dataclass(frozen=True)
class Results:
    """How a call's result is made: for each leaf of the tree, an output of the program (its
    position), a number of the host program, or an object that is returned as it is."""

    rebuild: Callable[[Any], Any]
    leaves: tuple[tuple[str, Any], ...]
    single: bool
    """The result is one tensor, the program's first output."""

    def of(self, outputs: Sequence[np.ndarray], slots: Sequence[Any]) -> Any:
        """The result of a call."""
        if self.single:
            return make(Node(outputs[0]))
        found = {"output": outputs, "number": slots}
        return self.rebuild(
            x
            if kind == "object"
            else make(Node(outputs[x]))
            if kind == "output"
            else found[kind][x]
            for kind, x in self.leaves
        )


class Entry:
    """A program, its plan, and what must hold for it to be the right one."""

    def __init__(
        self,
        scan: Scan,
        tracer: Tracer,
        lifted: Lifted,
        arguments: Sequence[Node],
        results: Results,
        plan: Any,
    ) -> None:
        self.lifted = lifted
        self.results = results
        self.once = tracer.once
        self.observers = Counter(tracer.observers)
        """Who looks on, and how many steps of theirs (passes of a model) a call is."""
        self.plan = plan
        self.seconds = 0.0
        """What a step took in the last call of `run_many`; 0 before the first."""
        self._scan = scan
        self._tracer = tracer
        self._host = tracer.host
        self._draws = tracer.draws
        self._options = [(of, names, [of[n] for n in names]) for of, names in tracer.options]
        self._tensors = [
            (handle, node, node.requires_grad) for handle, node in scan.tensors.items()
        ]
        self._views = [self.plan.state(cell.node) for cell in lifted.cells]
        self._grads = [cell for cell in lifted.cells if isinstance(cell, GradCell)]
        self._reading = [cell for cell in self._grads if cell.reads]
        self._numbers: list[tuple[list[dict[str, Any]], str, Any]] = []
        self._optimizers: list[tuple[Any, Any, int]] = []
        self._quick: list[tuple[Callable[[Any], Any], Any, Any]] = []
        self._cells: list[tuple[Any, Any]] = []
        self._watches: list[Watch] = []
        self._slots: Any = None
        self._carried = {
            tracer.host.slot_of(key): number.slot
            for key, number in tracer.carried.items()
            if isinstance(number, Live)
        }
        self._seen = -1
        self._set_inputs(arguments)

    def _set_inputs(self, arguments: Sequence[Node]) -> None:
        """What feeds each input: an argument, a NumPy array, the random key, or the host."""
        arrays = {node: array for array, node in self._tracer.arrays.values()}
        self.inputs: list[np.ndarray] = []
        self._from_arguments: list[tuple[int, int]] = []
        self._from_host: list[tuple[np.ndarray, int]] = []
        self._key = np.zeros(2, np.uint64)
        for i, node in enumerate(self.lifted.program.inputs):
            if node in arguments:
                self._from_arguments.append((i, arguments.index(node)))
                self.inputs.append(np.zeros(node.shape, node.dtype))
            elif node in self._host.leaves:
                self.inputs.append(np.zeros((), node.dtype))
                self._from_host.append((self.inputs[-1], self._host.leaves[node]))
            elif node is self._tracer.key:
                self.inputs.append(self._key)
            elif node in arrays:
                self.inputs.append(arrays[node])
            else:
                raise TraceError(
                    f"The step reads a tensor of shape {node.shape} that has no values: it was "
                    "made by a trace on shapes, or kept from one. Pass one with values."
                )

    # -------------------------------------------------------------------------- guards

    def ready(self) -> bool:
        """Whether nothing changed since the last call that could make another program the right
        one, or another array the state. Quick: what an assignment changes is seen by the clock."""
        if clock.now != self._seen:
            return False
        for get, name, value in self._quick:
            if get(name) is not value:
                return False
        try:
            for variable, value in self._cells:
                if variable.cell_contents is not value:
                    return False
        except ValueError:  # a variable was deleted
            return False
        for watch in self._watches:
            if not watch.holds():
                return False
        for optimizer, state, length in self._optimizers:
            if optimizer.state is not state or len(state) != length:
                return False
        for leaf in self.lifted.bare:
            if leaf.grad is not None:
                return False
        if not self._reading:
            return True
        return all(cell.leaf.grad is cell.handle for cell in self._reading)

    def mismatch(self) -> str | None:
        """What makes this the wrong program now, in words; None if it is the right one."""
        for watch in (*self._scan.always, *self._scan.modules):
            change = watch.change()
            if change:
                return change
        for options, names, values in self._options:
            for k, name in enumerate(names):
                if not same(values[k], options[name]):
                    return f"the option {name} was {values[k]} and is {options[name]}"
                values[k] = options[name]
        for handle, node, asks in self._tensors:
            if handle.node is not node or node.requires_grad != asks:
                return f"a tensor of shape {node.shape} is another one, or asks for gradients"
        for cell in self.lifted.cells:
            if not isinstance(cell, GradCell):
                problem = cell.problem()
                if problem:
                    return problem
        for what, holds in self._tracer.conditions:
            if not holds():
                return what
        if any(leaf.grad is not None for leaf in self.lifted.bare):
            return "a gradient is there that was not"
        if any(cell.leaf.grad is None for cell in self._reading):
            return "a gradient is gone"
        return None

    @functools.cached_property
    def is_steady(self) -> bool:
        """Whether the program is still the right one after it has run: only then can many calls be
        one."""
        left = {cell.leaf for cell in self._grads} - set(self.lifted.cleared)
        return (
            not self.once
            and left.isdisjoint(self.lifted.bare)
            and left.issuperset(cell.leaf for cell in self._reading)
        )

    # -------------------------------------------------------------------------- state

    def adopt(self) -> None:
        """Let the plan's storage hold the state, with the values that it has now."""
        for cell, view in zip(self.lifted.cells, self._views, strict=True):
            array = cell.read()
            if array is not view:
                if isinstance(cell, GradCell) and not cell.reads:
                    continue  # written, never read
                assert array is not None
                view[...] = array
                cell.write(view)
        self._numbers = [
            (places(), name, number.slot if isinstance(number, Live) else number)
            for places, name, number in self._tracer.numbers
        ]
        for _, prepare in self._tracer.optimizers:
            prepare()
        self._optimizers = [(o, o.state, len(o.state)) for o, _ in self._tracer.optimizers]
        named = [watch for watch in self._scan.always if watch.names is not None]
        others = [watch for watch in self._scan.always if watch.names is None]
        closures = [w for w in others if isinstance(w, Cells) and w.all_assigned]
        self._cells = [pair for w in closures for pair in zip(w.place, w.expected, strict=True)]
        self._watches = [watch for watch in others if watch not in closures]
        self._quick = [
            (watch.place.get, name, value)
            for watch in named
            for name, value in zip(watch.names or (), watch.expected, strict=True)
            if value is not EMPTY
        ] + [
            (options.get, name, value)
            for options, names, values in self._options
            for name, value in zip(names, values, strict=True)
        ]
        self._seen = clock.now

    def _release_gradients(self) -> None:
        """Gradients that somebody kept stay as they are: the next ones go into a new tensor."""
        for cell in self._grads:
            handle = cell.handle
            if handle is not None and sys.getrefcount(handle) > OWN_REFERENCES - (
                cell.leaf.grad is not handle
            ):
                handle.node.data = handle.node.data.copy()
                handle.node.__class__ = Node
                cell.handle = None

    # -------------------------------------------------------------------------- running

    def run(self, arrays: Sequence[np.ndarray]) -> Any:
        """One call with these arrays as arguments."""
        if self._grads:
            self._release_gradients()
        slots = self._host.run() if self._host.size else ()
        if slots is not self._slots:
            self._slots = slots
            for array, slot in self._from_host:
                array[...] = slots[slot]
        for i, k in self._from_arguments:
            self.inputs[i] = arrays[k]
        if self._draws:
            seed, count = random_state()
            self._key[0], self._key[1] = seed, count
            set_random_state((seed, count + self._draws))
        outputs = self.plan.run(self.inputs)
        self._after(slots)
        for observer, passes in self.observers.items():
            observer.passed(passes)
        return self.results.of(outputs, slots)

    def run_many(self, steps: int, sources: Sequence[Any]) -> Any:
        """So many calls in one; `sources` as in `plan.run_many`, one for each argument. The result
        has, for each tensor, an array of its values with a leading axis of steps."""
        self._release_gradients()
        slots = self._host.run_many(steps, self._carried)
        feeds: list[Any] = list(self.inputs)
        for i, k in self._from_arguments:
            feeds[i] = sources[k]
        hosts = {id(array): slot for array, slot in self._from_host}
        for i, array in enumerate(self.inputs):
            if id(array) in hosts:
                feeds[i] = np.asarray(slots[hosts[id(array)]], array.dtype)
            elif array is self._key:
                seed, count = random_state()
                feeds[i] = np.array(
                    [(seed, count + step * self._draws) for step in range(steps)], np.uint64
                )
                set_random_state((seed, count + steps * self._draws))
        began = time.perf_counter()
        outputs = self.plan.run_many(steps, feeds)
        self.seconds = max((time.perf_counter() - began) / steps, SHORTEST)
        self._after([_last(x) for x in slots])
        for observer, passes in self.observers.items():
            observer.passed(steps * passes)
        return self.results.rebuild(
            outputs[x] if kind == "output" else slots[x] if kind == "number" else x
            for kind, x in self.results.leaves
        )

    def unobserved(self, steps: int) -> int:
        """How many of so many next calls nobody wants to see, from the next one on."""
        waits = (observer.until_next // passes for observer, passes in self.observers.items())
        return min([steps, *waits])

    def saved(self) -> Callable[[], None]:
        """What brings the state back to where it is now."""
        arrays = [view.copy() for view in self._views]
        finders = [places for places, _, _ in self._tracer.numbers]
        kept = [(find, [dict(place) for place in find()]) for find in finders]
        counts = [(observer, observer.steps) for observer in self.observers]
        random = random_state()

        def restore() -> None:
            for cell, view, array in zip(self.lifted.cells, self._views, arrays, strict=True):
                view[...] = array
                if not isinstance(cell, GradCell):
                    cell.write(view)  # a step that was run as Python has put another array there
            for find, dictionaries in kept:
                for place, before in zip(find(), dictionaries, strict=True):
                    place.update({name: x for name, x in before.items() if np.ndim(x) == 0})
                    for name in place.keys() - before.keys():
                        del place[name]
            for observer, count in counts:
                observer.passed(count - observer.steps)
            set_random_state(random)
            clock.now += 1

        return restore

    def _after(self, slots: Sequence[Any]) -> None:
        """Everybody sees the new state: graphs that read the old one are stale from here on."""
        clock.now += 1
        now = self._seen = clock.now
        for node in self.lifted.changed:
            node.changed = now
        for places, name, slot in self._numbers:
            value = slots[slot]
            for place in places:
                place[name] = value
        for leaf in self.lifted.cleared:
            leaf.grad = None
        for cell in self._grads:
            if cell.handle is None:
                cell.handle = make(LiveNode(self.plan.state(cell.node)))
            cell.handle.node.changed = now
            cell.leaf.grad = cell.handle


def _last(values: Any) -> Any:
    """Of a number at each of several calls, the last; counts are whole again."""
    if not isinstance(values, np.ndarray) or not values.shape:
        return values
    last = values[-1].item()
    return int(last) if isinstance(last, float) and last.is_integer() else last
