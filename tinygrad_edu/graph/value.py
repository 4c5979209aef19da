"""`Value`: one number that remembers how it was computed.

The operators below are the op table's rules (`ops/elementwise.py`), recorded on a tape (`tape.py`).
`backward` reads the tape from its end and adds up derivatives (`derive/scalar.py`).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, DTypeError, InPlaceError
from tinygrad_edu.graph import modes, recording
from tinygrad_edu.graph.recording import (
    Number,
    binary,
    compute,
    evaluate,
    is_number,
    record,
    reflected,
    unary,
)
from tinygrad_edu.graph.tape import OPS, SOURCE, Page, Records
from tinygrad_edu.ops.kinds import Elementwise


def _question(op: Elementwise) -> Callable[..., bool]:
    """The method that answers a question about numbers: a comparison, a logical connective."""

    def method(self: Value, *others: Any) -> Any:
        if not all(isinstance(x, Value) or is_number(x) for x in others):
            return NotImplemented
        if modes.state.watcher is not None:
            modes.state.watcher.refuse(f"{op.name} was asked of")
        return bool(evaluate(op.rule, self._data, *map(float, others)))

    method.__name__, method.__doc__ = op.name, op.__doc__
    return method


class Value:
    """A number in a graph. `Value(x)` is a leaf; arithmetic on Values makes the others.

    Numbers may stand on either side of an operator, and results are IEEE double precision: division
    by zero is inf, the logarithm of -1 is nan. `<`, `==` and their like compare the numbers and
    answer with a bool; Values still hash by identity, so that they can be told apart in a set.

    `backward` adds derivatives to the `grad` of the leaves, at the values they had when they were
    used: assigning to `data` later, as training does, leaves what was computed before as it was.

    >>> x = Value(3.0)
    >>> y = x * x + 2 * x
    >>> y.backward()
    >>> x
    Value(data=3.0, grad=8.0)
    """

    # `_page` is the page of the tape this is written on, `_index` the position there. A leaf may be
    # on none: it is on the page that used it last, until that is full.
    __slots__ = ("__weakref__", "_data", "_grad", "_index", "_page")

    _data: float
    _grad: float
    _index: int
    _page: Page | None

    def __init__(self, data: float) -> None:
        if not is_number(data):
            raise DTypeError(f"Value: a Value holds one number, not {type(data).__name__}.")
        self._data = float(data)
        self._grad = 0.0
        self._page = None

    # -------------------------------------------------------------------------- what it is

    @property
    def data(self) -> float:
        """The number. It can be assigned on a leaf, for whatever is computed from then on."""
        if modes.state.watcher is not None:
            number: float = modes.state.watcher.data_of(self)
            return number
        return self._data

    @data.setter
    def data(self, data: float) -> None:
        if modes.state.watcher is not None:
            return modes.state.watcher.assign_data(self, data)
        self._data = float(data)
        self._page = None  # what is on the tape is the old number: the next use writes it anew

    @property
    def grad(self) -> float:
        """The derivatives that `backward` added up here, 0.0 to begin with.

        Results collect none unless `retain_grad` was called or their `grad` was assigned."""
        if modes.state.watcher is not None:
            number: float = modes.state.watcher.grad_of(self)
            return number
        return self._grad

    @grad.setter
    def grad(self, grad: float) -> None:
        if modes.state.watcher is not None:
            return modes.state.watcher.assign_grad(self, grad)
        self._grad = float(grad)

    def retain_grad(self) -> None:
        """Let a result collect derivatives as a leaf does."""
        self.grad = self.grad

    @property
    def is_leaf(self) -> bool:
        """Whether this Value was made of a number, not computed from other Values."""
        return True

    @property
    def op(self) -> str | None:
        """The name of the op that computed this Value; None for a leaf."""
        return None

    @property
    def operands(self) -> tuple[Value, ...]:
        """What the op was applied to; numbers, too, are Values here."""
        return ()

    def backward(self) -> None:
        """Add the derivative of this Value by each leaf it depends on to the leaf's `grad`."""
        if modes.state.watcher is not None:
            return modes.state.watcher.backward(self)
        modes.backward("value")(self)

    def __repr__(self) -> str:
        with modes.watched_by(None):
            return f"Value(data={self.data}, grad={self.grad})"

    def __float__(self) -> float:
        if modes.state.watcher is not None:
            modes.state.watcher.refuse("a Python number was asked of")
        return self._data

    def __reduce__(self) -> tuple[Any, ...]:
        return _copy, (self._data, self._grad)

    # -------------------------------------------------------------------------- operators

    __add__ = binary(ops.add)
    __radd__ = reflected(ops.add)
    __sub__ = binary(ops.sub)
    __rsub__ = reflected(ops.sub)
    __mul__ = binary(ops.mul)
    __rmul__ = reflected(ops.mul)
    __truediv__ = binary(ops.div)
    __rtruediv__ = reflected(ops.div)
    __mod__ = binary(ops.remainder)
    __rmod__ = reflected(ops.remainder)
    __pow__ = binary(ops.pow)
    __rpow__ = reflected(ops.pow)
    __neg__ = unary(ops.neg)
    __abs__ = unary(ops.abs)

    __hash__ = object.__hash__
    __eq__ = _question(ops.eq)
    __ne__ = _question(ops.ne)
    __lt__ = _question(ops.lt)
    __le__ = _question(ops.le)
    __gt__ = _question(ops.gt)
    __ge__ = _question(ops.ge)

    add, sub, mul, div, pow = __add__, __sub__, __mul__, __truediv__, __pow__
    neg, abs = __neg__, __abs__
    eq, ne, lt, le, gt, ge = __eq__, __ne__, __lt__, __le__, __gt__, __ge__

    # -------------------------------------------------------------------------- functions

    # Those of the op table that are not listed get a method below the class.

    exp = unary(ops.exp)
    expm1 = unary(ops.expm1)
    log = unary(ops.log)
    log1p = unary(ops.log1p)
    sqrt = unary(ops.sqrt)
    rsqrt = unary(ops.rsqrt)
    sin = unary(ops.sin)
    cos = unary(ops.cos)
    tan = unary(ops.tan)
    sinh = unary(ops.sinh)
    cosh = unary(ops.cosh)
    tanh = unary(ops.tanh)
    asin = unary(ops.asin)
    acos = unary(ops.acos)
    atan = unary(ops.atan)
    erf = unary(ops.erf)
    sigmoid = unary(ops.sigmoid)
    relu = unary(ops.relu)
    relu6 = unary(ops.relu6)
    selu = unary(ops.selu)
    silu = unary(ops.silu)
    mish = unary(ops.mish)
    gelu = unary(ops.gelu)
    gelu_tanh = unary(ops.gelu_tanh)
    softplus = unary(ops.softplus)
    softsign = unary(ops.softsign)
    hardswish = unary(ops.hardswish)

    def maximum(self, other: Value | Number) -> Value:
        """The larger one; a tie shares the gradient evenly, nan wins."""
        return record(ops.maximum, self, other)

    def minimum(self, other: Value | Number) -> Value:
        """The smaller one; a tie shares the gradient evenly, nan wins."""
        return record(ops.minimum, self, other)

    def clamp(self, min: Value | Number | None = None, max: Value | Number | None = None) -> Value:
        """self limited to [min, max]; at a bound the gradient still passes."""
        if min is None and max is None:
            raise ArgumentError("clamp: give min, max or both.")
        low, high = -math.inf if min is None else min, math.inf if max is None else max
        return record(ops.clamp, self, low, high)

    def where(self, condition: Value | Number, other: Value | Number) -> Value:
        """self where the condition is not 0, else `other`."""
        return record(ops.where, condition, self, other)

    def leaky_relu(self, negative_slope: float = 0.01) -> Value:
        """self above 0, negative_slope * self below."""
        return record(ops.leaky_relu, self, negative_slope)

    def elu(self, alpha: float = 1.0) -> Value:
        """self above 0, alpha (exp(self) - 1) below."""
        return record(ops.elu, self, alpha)

    def hardtanh(self, min_val: float = -1.0, max_val: float = 1.0) -> Value:
        """self between min_val and max_val, the bound outside."""
        return record(ops.hardtanh, self, min_val, max_val)


class Result(Value):
    """A Value that was computed from others; it is on the tape, and keeps its page alive."""

    __slots__ = ()
    if not TYPE_CHECKING:
        __init__ = object.__init__  # which costs nothing: whoever makes one fills its slots

    @classmethod
    def at(cls, page: Page, position: int) -> Result:
        """The Value at a position."""
        result = object.__new__(cls)
        result._data = page.value[position]
        result._page = page
        result._index = position
        return result

    @property
    def records(self) -> Records:
        """The records it is one of."""
        assert self._page is not None
        return self._page.records

    @property
    def data(self) -> float:
        """The number."""
        if modes.state.watcher is not None:
            number: float = modes.state.watcher.data_of(self)
            return number
        return self._data

    @data.setter
    def data(self, data: float) -> None:
        raise InPlaceError(
            f"data: this Value is the result of {self.op or 'a derivative'}, so its number cannot "
            "be assigned; assign to a leaf, or start from a new one with Value(x)."
        )

    @property
    def grad(self) -> float:
        """The derivatives added up here, if any were retained."""
        if modes.state.watcher is not None:
            modes.state.watcher.refuse("the grad was asked of a result,")
        return self.records.retained.get(self._index, 0.0)

    @grad.setter
    def grad(self, grad: float) -> None:
        if modes.state.watcher is not None:
            modes.state.watcher.refuse("a grad was assigned to a result,")
        self.records.retained[self._index] = float(grad)

    @property
    def is_leaf(self) -> bool:
        """Whether this Value was made of a number, not computed from other Values."""
        return False

    @property
    def op(self) -> str | None:
        """The name of the op that computed this Value."""
        op = OPS[self.records.op[self._index]]
        return None if op is None else op.name

    @property
    def operands(self) -> tuple[Value, ...]:
        """What the op was applied to; numbers, too, are Values here."""
        records = self.records
        return tuple(_found(records, place) for place in records.operands(self._index))

    def __reduce__(self) -> tuple[Any, ...]:
        raise InPlaceError(
            f"copy: this Value is the result of {self.op}, and a graph cannot be copied; copy its "
            "leaves, or make a new leaf with Value(x.data)."
        )


recording.connect(Value, Result)


def _method(op: Elementwise) -> Callable[..., Any]:
    """The method for any op: what has no derivative answers a question or makes a new leaf."""
    signature = inspect.signature(op.rule)

    def method(self: Value, *others: Any, **options: Any) -> Any:
        bound = signature.bind(None, self, *others, **options)
        bound.apply_defaults()
        _, *operands = bound.args
        return (record if op.differentiable else compute)(op, *operands)

    method.__name__, method.__doc__ = op.name, op.__doc__
    return method


for _op in ops.TABLE.values():
    if isinstance(_op, Elementwise) and not hasattr(Value, _op.name):
        setattr(Value, _op.name, _question(_op) if _op.result == "bool" else _method(_op))


def _copy(data: float, grad: float) -> Value:
    """A leaf with the same number and grad."""
    leaf = Value(data)
    leaf.grad = grad
    return leaf


def _found(records: Records, position: int) -> Value:
    """The Value at a position: the leaf itself, a result, or a new Value for a number."""
    while position in records.imports:
        records, position = records.imports[position]
    leaf = records.leaves.get(position)
    if leaf is not None:
        return leaf
    if records.op[position] > SOURCE:
        return Result.at(records.page(), position)
    return Value(float(records.value[position]))
