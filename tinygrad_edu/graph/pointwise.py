"""Functions that act on each element: one for every elementwise op of the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.graph.reader import apply, as_tensor
from tinygrad_edu.ops import dtypes

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor

F = TypeVar("F", bound=Callable[..., Any])


def _unary(op: ops.Op) -> Callable[[Operand], Tensor]:
    def function(x: Operand) -> Tensor:
        return apply(op, x)

    return _named(function, op)


def _binary(op: ops.Op) -> Callable[[Operand, Operand], Tensor]:
    def function(a: Operand, b: Operand) -> Tensor:
        return apply(op, a, b)

    return _named(function, op)


def _named(function: F, op: ops.Op) -> F:
    function.__name__ = function.__qualname__ = op.name
    function.__doc__ = op.__doc__
    return function


exp = _unary(ops.exp)
expm1 = _unary(ops.expm1)
log = _unary(ops.log)
log1p = _unary(ops.log1p)
sqrt = _unary(ops.sqrt)
rsqrt = _unary(ops.rsqrt)
neg = _unary(ops.neg)
abs = _unary(ops.abs)
sin = _unary(ops.sin)
cos = _unary(ops.cos)
tan = _unary(ops.tan)
sinh = _unary(ops.sinh)
cosh = _unary(ops.cosh)
tanh = _unary(ops.tanh)
asin = _unary(ops.asin)
acos = _unary(ops.acos)
atan = _unary(ops.atan)
erf = _unary(ops.erf)
sigmoid = _unary(ops.sigmoid)
relu = _unary(ops.relu)
relu6 = _unary(ops.relu6)
selu = _unary(ops.selu)
silu = _unary(ops.silu)
mish = _unary(ops.mish)
softsign = _unary(ops.softsign)
hardswish = _unary(ops.hardswish)
sign = _unary(ops.sign)
floor = _unary(ops.floor)
logical_not = _unary(ops.logical_not)

add = _binary(ops.add)
sub = _binary(ops.sub)
mul = _binary(ops.mul)
div = _binary(ops.div)
pow = _binary(ops.pow)
maximum = _binary(ops.maximum)
minimum = _binary(ops.minimum)
lt = _binary(ops.lt)
le = _binary(ops.le)
gt = _binary(ops.gt)
ge = _binary(ops.ge)
eq = _binary(ops.eq)
ne = _binary(ops.ne)
logical_and = _binary(ops.logical_and)
logical_or = _binary(ops.logical_or)


def gelu(x: Operand, approximate: str = "none") -> Tensor:
    """x Phi(x); `approximate="tanh"` uses the tanh formula instead of the error function."""
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f"gelu: approximate is 'none' or 'tanh', not {approximate!r}.")
    return apply(ops.gelu_tanh if approximate == "tanh" else ops.gelu, x)


def softplus(x: Operand, beta: float = 1.0) -> Tensor:
    """log(1 + exp(beta x)) / beta, exact over the whole range (torch's becomes x above 20)."""
    if beta == 1:
        return apply(ops.softplus, x)
    return apply(ops.softplus, as_tensor(x) * beta) / beta


def elu(x: Operand, alpha: float = 1.0) -> Tensor:
    """x above 0, alpha (exp(x) - 1) below."""
    return apply(ops.elu, x, alpha=float(alpha))


def leaky_relu(x: Operand, negative_slope: float = 0.01) -> Tensor:
    """x above 0, negative_slope * x below."""
    return apply(ops.leaky_relu, x, negative_slope=float(negative_slope))


def hardtanh(x: Operand, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x between min_val and max_val, the bound outside."""
    return apply(ops.hardtanh, x, low=float(min_val), high=float(max_val))


def clamp(x: Operand, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """x limited to [min, max]; at a bound the gradient still passes to x, beyond it to the bound.
    Where min > max the result is max."""
    if min is None and max is None:
        raise ArgumentError("clamp: give min, max or both.")
    x = as_tensor(x)
    lowest, highest = _extremes(x.dtype)
    return apply(ops.clamp, x, lowest if min is None else min, highest if max is None else max)


def _extremes(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Bounds that limit nothing."""
    if dtypes.is_float(dtype):
        return -np.inf, np.inf
    if dtype == dtypes.boolean:
        return False, True
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def where(condition: Operand, a: Operand, b: Operand) -> Tensor:
    """`a` where the (bool) condition holds, else `b`."""
    return apply(ops.where, condition, a, b)
