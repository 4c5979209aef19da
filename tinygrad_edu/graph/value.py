"""`Value`: one number that remembers how it was computed.

The operators below are the op table's rules (`ops/elementwise.py`), recorded on a tape (`tape.py`).
`backward` reads the tape from its end and adds up derivatives (`derive/scalar.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, DTypeError, InPlaceError
from tinygrad_edu.graph import recording
from tinygrad_edu.graph.recording import (
    Number,
    binary,
    evaluate,
    is_number,
    record,
    reflected,
    unary,
)
from tinygrad_edu.graph.tape import OPS, SOURCE, Page, Records
from tinygrad_edu.ops.kinds import Elementwise

differentiate: Any = None
"""What `Value.backward` does; set by `derive/scalar.py`, which is built on this module."""


def _question(op: Elementwise) -> Callable[[Value, Any], bool]:
    """The method that answers a comparison of two numbers."""

    def method(self: Value, other: Any) -> Any:
        if isinstance(other, Value):
            return bool(evaluate(op.rule, self._data, other._data))
        if is_number(other):
            return bool(evaluate(op.rule, self._data, float(other)))
        return NotImplemented

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

    # `_page` is the page of the tape a Value is on, `_index` its position there; a leaf is on the
    # page that used it last, or on none. `_grad` is set on leaves only: that makes them leaves.
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
        return self._data

    @data.setter
    def data(self, data: float) -> None:
        if not self.is_leaf:
            raise InPlaceError(
                f"data: this Value is the result of {self.op}, so its number cannot be assigned; "
                "assign to a leaf, or start from a new one with Value(x)."
            )
        self._data = float(data)
        self._page = None  # the tape holds the old number: the next use must write a new record

    @property
    def grad(self) -> float:
        """The derivatives that `backward` added up here, 0.0 to begin with.

        Results collect none unless `retain_grad` was called or their `grad` was assigned."""
        if self.is_leaf:
            return self._grad
        return self._records.retained.get(self._index, 0.0)

    @grad.setter
    def grad(self, grad: float) -> None:
        if self.is_leaf:
            self._grad = float(grad)
        else:
            self._records.retained[self._index] = float(grad)

    def retain_grad(self) -> None:
        """Let this result keep the derivatives that pass through it, as a leaf does."""
        self.grad = self.grad

    @property
    def is_leaf(self) -> bool:
        """Whether this Value was made from a number rather than computed from other Values."""
        return hasattr(self, "_grad")

    @property
    def op(self) -> str | None:
        """The name of the op that computed this Value; None for a leaf."""
        op = None if self.is_leaf else OPS[self._records.op[self._index]]
        return op and op.name

    @property
    def operands(self) -> tuple[Value, ...]:
        """The Values (numbers as Values, too) that this one was computed from."""
        if self.is_leaf:
            return ()
        records = self._records
        return tuple(_found(records, place) for place in records.operands(self._index))

    @property
    def _records(self) -> Records:
        assert self._page is not None
        return self._page.records

    @classmethod
    def _at(cls, page: Page, position: int) -> Value:
        """The Value at a position that is not a leaf's."""
        value = object.__new__(cls)
        value._data = page.value[position]
        value._page = page
        value._index = position
        return value

    def backward(self) -> None:
        """Add the derivative of this Value by each leaf it depends on to the leaf's `grad`."""
        differentiate(self)

    def __repr__(self) -> str:
        return f"Value(data={self.data}, grad={self.grad})"

    def __float__(self) -> float:
        return self._data

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.is_leaf:
            raise InPlaceError(
                f"copy: this Value is the result of {self.op}, and a graph cannot be copied; copy "
                "its leaves, or make a new leaf with Value(x.data)."
            )
        return _leaf, (self._data, self._grad)

    # -------------------------------------------------------------------------- operators

    __add__ = binary(ops.add)
    __radd__ = reflected(ops.add)
    __sub__ = binary(ops.sub)
    __rsub__ = reflected(ops.sub)
    __mul__ = binary(ops.mul)
    __rmul__ = reflected(ops.mul)
    __truediv__ = binary(ops.div)
    __rtruediv__ = reflected(ops.div)
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

    logical_and = _question(ops.logical_and)
    logical_or = _question(ops.logical_or)

    def logical_not(self) -> bool:
        """Whether this is 0."""
        return not self._data

    # -------------------------------------------------------------------------- functions

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

    def clamp(self, min: Number | None = None, max: Number | None = None) -> Value:
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

    def sign(self) -> Value:
        """-1, 0 or 1, as a new leaf: its derivative is 0 wherever it exists."""
        return Value(evaluate(ops.sign.rule, self._data))

    def floor(self) -> Value:
        """The largest integer that is not above self, as a new leaf: its derivative is 0."""
        return Value(evaluate(ops.floor.rule, self._data))


recording.connect(Value)


def _leaf(data: float, grad: float) -> Value:
    """A leaf as it was, for copies and pickles."""
    leaf = Value(data)
    leaf._grad = grad
    return leaf


def _found(records: Records, position: int) -> Value:
    """The Value at a position: the leaf itself, a result, or a constant as a new Value."""
    while position in records.imports:
        records, position = records.imports[position]
    leaf = records.leaves.get(position)
    if leaf is not None:
        return leaf
    if records.op[position] > SOURCE:
        return Value._at(records.page(), position)
    return Value(float(records.value[position]))
