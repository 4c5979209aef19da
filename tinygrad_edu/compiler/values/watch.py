"""What a function of Values does besides arithmetic, noted while it runs once.

Arithmetic on Values is on the tape anyway. The rest would read or assign Python numbers, which are
this run's only: `data`, `grad`, `backward`. While a `Watch` is on duty they answer with symbols:
Values of their own, that stand on the tape for what a later run will find there.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

from tinygrad_edu.errors import DTypeError, InPlaceError, TraceError
from tinygrad_edu.graph import tape
from tinygrad_edu.graph.lines import users_line
from tinygrad_edu.graph.recording import is_number
from tinygrad_edu.graph.value import Result, Value

DATA, GRAD, COTANGENT, SUM, MEAN = "data", "grad", "cotangent", "sum", "mean"


class Symbol(NamedTuple):
    """What a symbol stands for: the data or grad that the Value has when a run begins, the
    derivative that `backward` found for it, or its sum or mean over the lanes."""

    what: str
    of: Value


class Place(NamedTuple):
    """A time: everything recorded later is at a greater place."""

    serial: int
    position: int


def here() -> Place:
    """The present place."""
    page = tape.page
    return Place(page.records.serial, page.next())


class Watch:
    """The symbols, assignments and the `backward` of one run."""

    def __init__(self) -> None:
        self.symbols: dict[Value, Symbol] = {}
        self.assigned: dict[Value, Value | float] = {}
        self.assigned_at: dict[Value, Place] = {}
        self.grads: dict[Value, Value | float] = {}
        self.before: dict[Value, Value | float] = {}
        self.root: Value | None = None
        self.backward_at: Place | None = None
        self._made: dict[Symbol, Value] = {}

    def refuse(self, what: str) -> NoReturn:
        """The error for what cannot be replayed."""
        raise TraceError(
            f"compile: {what} a Value while the function was traced, but its number is that of one "
            "call only, and the trace stands for all. Decide with .where(condition, other), "
            ".maximum or .relu, print after the call, and pass what is no Value as a keyword "
            f"argument or close over it.\n{users_line()}"
        )

    def symbol(self, what: str, of: Value) -> Value:
        """The Value that stands for something, always the same one."""
        key = Symbol(what, of)
        if key not in self._made:
            made = self._made[key] = Value(of._data if what in (DATA, SUM, MEAN) else 0.0)
            self.symbols[made] = key
        return self._made[key]

    def batch_mean(self, x: Value) -> Value:
        """The mean over the samples of a call."""
        return self.symbol(MEAN, x)

    def batch_sum(self, x: Value) -> Value:
        """The sum over the samples of a call."""
        return self.symbol(SUM, x)

    def data_of(self, x: Value) -> Value | float:
        """What `x.data` is: a number without a past, as far as derivatives are concerned."""
        if x in self.assigned:
            return self.assigned[x]
        return x if x in self.symbols else self.symbol(DATA, x)

    def assign_data(self, x: Value, data: Value | float) -> None:
        """Do what ``x.data = data`` does."""
        if isinstance(x, Result) or x in self.symbols:
            raise InPlaceError(
                f"data: only a leaf's number can be assigned, not a result's.\n{users_line()}"
            )
        self.assigned[x] = self._number(data)
        self.assigned_at[x] = here()
        x._page = None  # a later use would be on the tape anew, and be noticed there

    def grad_of(self, x: Value) -> Value | float:
        """What `x.grad` is: after `backward`, what it was before plus the new derivative."""
        if x in self.grads:
            return self.grads[x]
        if self.root is None:
            return self.symbol(GRAD, x)
        before, found = self.before.get(x, self.symbol(GRAD, x)), self.symbol(COTANGENT, x)
        zero = not isinstance(before, Value) and before == 0.0
        self.grads[x] = found if zero else found + before
        return self.grads[x]

    def assign_grad(self, x: Value, grad: Value | float) -> None:
        """Do what ``x.grad = grad`` does."""
        self.grads[x] = self._number(grad)

    def _number(self, x: Any) -> Value | float:
        if not isinstance(x, Value) and not is_number(x):
            raise DTypeError(f"a Value's data and grad are numbers, not {type(x).__name__}.")
        return x if isinstance(x, Value) else float(x)

    def backward(self, root: Value) -> None:
        """Do what ``root.backward()`` does."""
        if self.root is not None:
            raise TraceError(
                "compile: a compiled function may call backward once; add up what should be "
                f"differentiated, or compile two functions.\n{users_line()}"
            )
        self.root, self.backward_at = root, here()
        self.before, self.grads = self.grads, {}
