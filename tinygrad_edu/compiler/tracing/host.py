"""Numbers that Python computes anew at every call of a compiled step.

A learning rate, and what an optimizer computes of it and of its count of steps, stay Python
arithmetic, so they are the same numbers as without the compiler. While the step is traced a
`Live` stands for such a number; where it meets a tensor it becomes an input of the program.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import TraceError
from tinygrad_edu.graph.lines import users_line
from tinygrad_edu.graph.node import Abstract, Node
from tinygrad_edu.graph.reader import as_tensor, make_tensor
from tinygrad_edu.ops import dtypes

Function = Callable[..., Any]


class Live:
    """A number of the host program: slot number `slot` holds it during a call."""

    __array_ufunc__ = None  # arrays leave the arithmetic to us
    __hash__ = object.__hash__

    def __init__(self, host: Host, slot: int) -> None:
        self.host = host
        self.slot = slot

    def _combine(self, function: Function, a: Any, b: Any) -> Any:
        """`function(a, b)`, one of which is this number: on the host, or with a tensor recorded."""
        other = b if a is self else a
        if isinstance(other, np.ndarray) or getattr(other, "node", None) is not None:
            tensor = as_tensor(other)
            mine = make_tensor(self.node_beside(tensor.dtype))
            return function(mine, tensor) if a is self else function(tensor, mine)
        if isinstance(other, Live | int | float):
            return self.host.compute(function, a, b)
        return NotImplemented

    def node_beside(self, near: np.dtype[Any] | None) -> Node:
        """The number as an operand beside a tensor of a dtype, as a Python float would be."""
        return self.host.leaf(self.slot, dtypes.of_number(1.0, near))

    def __add__(self, other: Any) -> Any:
        return self._combine(operator.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return self._combine(operator.add, other, self)

    def __sub__(self, other: Any) -> Any:
        return self._combine(operator.sub, self, other)

    def __rsub__(self, other: Any) -> Any:
        return self._combine(operator.sub, other, self)

    def __mul__(self, other: Any) -> Any:
        return self._combine(operator.mul, self, other)

    def __rmul__(self, other: Any) -> Any:
        return self._combine(operator.mul, other, self)

    def __truediv__(self, other: Any) -> Any:
        return self._combine(operator.truediv, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._combine(operator.truediv, other, self)

    def __pow__(self, other: Any) -> Any:
        return self._combine(operator.pow, self, other)

    def __rpow__(self, other: Any) -> Any:
        return self._combine(operator.pow, other, self)

    def __neg__(self) -> Any:
        return self.host.compute(operator.neg, self)

    def _refuse(self, *args: Any) -> Any:
        raise TraceError(
            "This number (a learning rate, or computed of one) is read anew at each call of the "
            "compiled step; a decision on it would be taken once and for all. Decide outside the "
            f"step, or use arithmetic only.\n{users_line()}"
        )

    __bool__ = __float__ = __int__ = __index__ = __round__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _refuse

    def __repr__(self) -> str:
        return "<number read at each call>"


class Host:
    """What Python does before each run of the plan, in the order in which the step did it: reads,
    arithmetic, and effects such as a schedule's step."""

    def __init__(self) -> None:
        self.size = 0
        self.leaves: dict[Node, int] = {}
        """The slot that feeds each of the program's inputs made here."""
        self.has_effects = False
        self._todo: list[tuple[int, Function, tuple[Any, ...]]] = []
        self._sources: list[tuple[int, Function]] = []
        self._slots: list[Any] = []
        """The values at the last call."""
        self._effects: set[int] = set()
        self._reads: dict[Any, Live] = {}
        self._slot_of: dict[Any, int] = {}
        self._computed: dict[Any, Live] = {}
        self._by_dtype: dict[tuple[int, np.dtype[Any]], Node] = {}

    # -------------------------------------------------------------------------- while tracing

    def read(self, key: Any, function: Function) -> Live:
        """The number that `function()` returns at each call; one for each key, until an effect may
        have changed it."""
        if key not in self._reads:
            self._reads[key] = self._new(function, ())
            self._slot_of.setdefault(key, self._reads[key].slot)
        return self._reads[key]

    def slot_of(self, key: Any) -> int:
        """The slot of the number that was read under a key first."""
        return self._slot_of[key]

    def compute(self, function: Function, *args: Any) -> Live:
        """`function` of numbers; the same arithmetic is done once."""
        slots = tuple(a.slot if isinstance(a, Live) else (a, type(a)) for a in args)
        key = (function, slots)
        if key not in self._computed:
            self._computed[key] = self._new(function, args)
        return self._computed[key]

    def effect(self, function: Function) -> None:
        """Something to do at each call at this point."""
        self.has_effects = True
        self._reads.clear()
        self._effects.add(self._new(function, ()).slot)

    def _new(self, function: Function, args: Sequence[Any]) -> Live:
        live = Live(self, self.size)
        self._todo.append((self.size, function, tuple(args)))
        if not args:
            self._sources.append((self.size, function))
        self.size += 1
        return live

    def leaf(self, slot: int, dtype: np.dtype[Any]) -> Node:
        """The program's input for a slot in this dtype."""
        if (slot, dtype) not in self._by_dtype:
            node = self._by_dtype[slot, dtype] = Node(Abstract((), dtype))
            self.leaves[node] = slot
        return self._by_dtype[slot, dtype]

    # -------------------------------------------------------------------------- at each call

    def run(self) -> list[Any]:
        """The value of every slot at this call."""
        if not self.has_effects and self._slots:
            for slot, function in self._sources:
                if function() is not self._slots[slot]:
                    break
            else:
                return self._slots  # nothing that was read is another number: nor is the rest
        self._slots = self._values({}, effects=True)
        return self._slots

    def run_many(self, steps: int, carried: Mapping[int, int]) -> list[Any]:
        """The values of every slot at each of so many calls: a number, or an array of them.
        `carried` says for a slot that reads a kept number which slot that number is the next time.
        """
        now = self._values({})
        if not carried and not self.has_effects:
            return now
        growth = {slot: now[after] - now[slot] for slot, after in carried.items()}
        then = self._values({slot: now[after] for slot, after in carried.items()})
        steady = all(then[after] - then[s] == growth[s] for s, after in carried.items())
        if steady and not self.has_effects:
            counts = {s: now[s] + by * np.arange(float(steps)) for s, by in growth.items()}
            return self._values(counts)
        each: list[list[Any]] = []
        for _ in range(steps):
            before = {s: each[-1][after] for s, after in carried.items()} if each else {}
            each.append(self._values(before, effects=True))
        return [np.array(column) for column in zip(*each, strict=True)]

    def _values(self, given: Mapping[int, Any], effects: bool = False) -> list[Any]:
        """The value of every slot, where some are given."""
        slots: list[Any] = [None] * self.size
        for slot, function, args in self._todo:
            if slot in given:
                slots[slot] = given[slot]
            elif effects or slot not in self._effects:
                slots[slot] = function(*[slots[a.slot] if a.__class__ is Live else a for a in args])
        return slots
