"""What Python's operators, and NumPy's functions, mean on tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.errors import DTypeError
from tinygrad_edu.graph import functions
from tinygrad_edu.graph.reader import apply, is_operand

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor

_UFUNC_NAMES = {
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "power": "pow",
    "negative": "neg",
    "absolute": "abs",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arctan2": "atan2",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "less": "lt",
    "less_equal": "le",
    "greater": "gt",
    "greater_equal": "ge",
    "equal": "eq",
    "not_equal": "ne",
    "rint": "round",
}
_LOGIC = {
    "&": ops.logical_and,
    "|": ops.logical_or,
    "^": ops.ne,
    "~": ops.logical_not,
}
_UFUNC_SYMBOLS = {"bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^", "invert": "~"}


class Operators:
    """The base of `Tensor` that gives it operators; each records one op."""

    __slots__ = ()
    __array_priority__ = 1000

    # -------------------------------------------------------------------------- arithmetic

    def __add__(self, other: Operand) -> Tensor:
        return apply(ops.add, self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return apply(ops.add, other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return apply(ops.sub, self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return apply(ops.sub, other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return apply(ops.mul, self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return apply(ops.mul, other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return apply(ops.div, self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return apply(ops.div, other, self)

    def __floordiv__(self, other: Operand) -> Tensor:
        return functions.floor_divide(self, other)  # type: ignore[arg-type]

    def __rfloordiv__(self, other: Operand) -> Tensor:
        return functions.floor_divide(other, self)  # type: ignore[arg-type]

    def __mod__(self, other: Operand) -> Tensor:
        return functions.remainder(self, other)  # type: ignore[arg-type]

    def __rmod__(self, other: Operand) -> Tensor:
        return functions.remainder(other, self)  # type: ignore[arg-type]

    def __pow__(self, other: Operand) -> Tensor:
        return apply(ops.pow, self, other)

    def __rpow__(self, other: Operand) -> Tensor:
        return apply(ops.pow, other, self)

    def __matmul__(self, other: Operand) -> Tensor:
        return functions.matmul(self, other)  # type: ignore[arg-type]

    def __rmatmul__(self, other: Operand) -> Tensor:
        return functions.matmul(other, self)  # type: ignore[arg-type]

    def __neg__(self) -> Tensor:
        return apply(ops.neg, self)

    def __pos__(self) -> Tensor:
        return self  # type: ignore[return-value]

    def __abs__(self) -> Tensor:
        return apply(ops.abs, self)

    # -------------------------------------------------------------------------- comparison

    def __lt__(self, other: Operand) -> Tensor:
        return apply(ops.lt, self, other)

    def __le__(self, other: Operand) -> Tensor:
        return apply(ops.le, self, other)

    def __gt__(self, other: Operand) -> Tensor:
        return apply(ops.gt, self, other)

    def __ge__(self, other: Operand) -> Tensor:
        return apply(ops.ge, self, other)

    def __eq__(self, other: Operand) -> Tensor:  # type: ignore[override]
        return apply(ops.eq, self, other) if is_operand(other) else NotImplemented

    def __ne__(self, other: Operand) -> Tensor:  # type: ignore[override]
        return apply(ops.ne, self, other) if is_operand(other) else NotImplemented

    # -------------------------------------------------------------------------- logic

    def __invert__(self) -> Tensor:
        return _logic("~", self)

    def __and__(self, other: Operand) -> Tensor:
        return _logic("&", self, other)

    def __rand__(self, other: Operand) -> Tensor:
        return _logic("&", other, self)

    def __or__(self, other: Operand) -> Tensor:
        return _logic("|", self, other)

    def __ror__(self, other: Operand) -> Tensor:
        return _logic("|", other, self)

    def __xor__(self, other: Operand) -> Tensor:
        return _logic("^", self, other)

    def __rxor__(self, other: Operand) -> Tensor:
        return _logic("^", other, self)

    # -------------------------------------------------------------------------- NumPy's protocol

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Tensor:
        """NumPy's functions stay in the graph: ``np.exp(t)`` is a Tensor."""
        symbol = _UFUNC_SYMBOLS.get(ufunc.__name__)
        if symbol and method == "__call__" and not kwargs:
            return _logic(symbol, *inputs)
        name = _UFUNC_NAMES.get(ufunc.__name__, ufunc.__name__)
        function = getattr(functions, name, None)
        if method != "__call__" or kwargs or function is None:
            raise DTypeError(
                f"np.{ufunc.__name__}: has no differentiable counterpart here"
                f"{' with ' + ', '.join(kwargs) if kwargs else ''}; use a tg function, or "
                "t.detach().numpy() to leave the graph."
            )
        return function(*inputs)  # type: ignore[no-any-return]


def _logic(symbol: str, *operands: Any) -> Tensor:
    """Logic of truth values; on integers these operators mean bits, which are not provided."""
    for operand in operands:
        dtype = getattr(operand, "dtype", None)
        if not isinstance(operand, bool) and dtype != np.bool_:
            found = type(operand).__name__ if dtype is None else dtype
            raise DTypeError(
                f"{symbol}: combines bool tensors, not {found}; compare first, as in "
                f"(x > 0) {symbol} (x < 1), or use tg.{_LOGIC[symbol].name}."
            )
    return apply(_LOGIC[symbol], *operands)
