"""Functions that act on each element: one for every elementwise op of the table."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, DTypeError
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

mul = _binary(ops.mul)
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


def add(a: Operand, b: Any, *, alpha: float = 1) -> Tensor:
    """a + alpha * b"""
    return apply(ops.add, a, b if alpha == 1 else b * alpha)


def sub(a: Operand, b: Any, *, alpha: float = 1) -> Tensor:
    """a - alpha * b"""
    return apply(ops.sub, a, b if alpha == 1 else b * alpha)


def div(a: Operand, b: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """a / b; integers divide to floats, unless the quotient is rounded: "floor" (as a // b) or
    "trunc" (towards 0)."""
    if rounding_mode is None:
        return apply(ops.div, a, b)
    if rounding_mode == "floor":
        return floor_divide(a, b)
    if rounding_mode != "trunc":
        raise ArgumentError(
            f"div: rounding_mode is None, 'floor' or 'trunc', not {rounding_mode!r}."
        )
    whole = fmod(a, b)  # and what is left divides without a rest
    if not dtypes.is_float(whole.dtype):
        return floor_divide(sub(a, whole), b)
    return trunc(apply(ops.div, a, b))


def gelu(x: Operand, approximate: str = "none") -> Tensor:
    """x Phi(x); `approximate="tanh"` uses the tanh formula instead of the error function."""
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f"gelu: approximate is 'none' or 'tanh', not {approximate!r}.")
    return apply(ops.gelu_tanh if approximate == "tanh" else ops.gelu, x)


def softplus(x: Operand, beta: float = 1.0, threshold: float | None = None) -> Tensor:
    """log(1 + exp(beta x)) / beta, exact over the whole range. torch's becomes x where beta x is
    above a threshold; that argument is accepted, and not needed."""
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
        raise ArgumentError("clamp: give min, max or both; with neither there is nothing to do.")
    x = as_tensor(x)
    bound: Any = max if min is None else min
    if (min is None or max is None) and getattr(bound, "requires_grad", False):
        keeps: Any = (le if min is None else ge)(x, bound)
        return where(logical_or(keeps, isnan(x)), x, bound)
    lowest, highest = _extremes(x.dtype)
    return apply(ops.clamp, x, lowest if min is None else min, highest if max is None else max)


def _extremes(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Bounds that limit nothing."""
    if dtypes.is_float(dtype):
        return -np.inf, np.inf
    if dtype == dtypes.boolean:
        return False, True
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def clip(x: Operand, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """NumPy's name of `clamp`."""
    return clamp(x, min, max)


def where(condition: Operand, a: Operand, b: Operand) -> Tensor:
    """`a` where the (bool) condition holds, else `b`."""
    return apply(ops.where, condition, a, b)


def masked_fill(x: Operand, mask: Operand, value: Operand) -> Tensor:
    """x with `value`, one number, wherever the (bool) mask holds; in the dtype of x."""
    x, number = as_tensor(x), as_tensor(value)
    if number.shape or dtypes.category(number.dtype) > dtypes.category(x.dtype):
        raise ArgumentError(
            f"masked_fill: the value must be one number that fits into {x.dtype}, got "
            f"{number.dtype} of shape {number.shape}; where(mask, value, x) takes any."
        )
    return where(mask, number.to(x.dtype), x)


# ------------------------------------------------------------------------------ division


def remainder(a: Operand, b: Operand) -> Tensor:
    """a - b floor(a / b), as Python's a % b: it has the sign of b."""
    return _divided(ops.remainder, a, b)


def floor_divide(a: Operand, b: Operand) -> Tensor:
    """floor(a / b), as Python's a // b."""
    return _divided(ops.floor_divide, a, b)


def fmod(a: Operand, b: Operand) -> Tensor:
    """a - b trunc(a / b), as C's fmod: it has the sign of a."""
    a = as_tensor(a)
    side = where(a < 0, -1, 1).to(a.dtype)
    unsigned: Any = b
    if getattr(b, "dtype", None) != dtypes.boolean:
        unsigned = builtins.abs(unsigned)
    return side * remainder(a * side, unsigned)


def _divided(op: ops.Op, a: Operand, b: Operand) -> Tensor:
    y = apply(op, a, b)
    divisor = as_tensor(b)
    if (
        not dtypes.is_float(y.dtype)
        and not divisor.node.is_abstract
        and not divisor.node.data.all()
    ):
        raise ArgumentError(
            f"{op.name}: integers cannot be divided by 0, and the divisor of shape {divisor.shape} "
            "holds one; convert with .float() to get nan or infinity there."
        )
    return y


# ------------------------------------------------------------------------------ rounding


def ceil(x: Operand) -> Tensor:
    """The smallest integer that is not below x."""
    return _rounded("ceil", x, lambda x: -floor(-x))


def trunc(x: Operand) -> Tensor:
    """x without its fraction: the next integer towards 0."""
    return _rounded("trunc", x, lambda x: sign(x) * floor(abs(x)))


def round(x: Operand, decimals: int = 0) -> Tensor:
    """The nearest integer, or number of that many decimals; from halfway to the even one."""
    if decimals:
        return _rounded("round", x, lambda x: round(x * 10.0**decimals) / 10.0**decimals)
    return _rounded("round", x, _nearest)


def _nearest(x: Tensor) -> Tensor:
    below = floor(x)
    beyond = x - below
    even = 2 * floor((below + 1) / 2)  # of below and below + 1
    return where(beyond < 0.5, below, where(beyond > 0.5, below + 1, even))


def _rounded(name: str, x: Operand, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Rounding has no derivative, and leaves integers as they are."""
    x = as_tensor(x).detach()
    if x.dtype == dtypes.boolean:
        raise DTypeError(f"{name}: not defined for bool; convert with .float().")
    return function(x) if dtypes.is_float(x.dtype) else x


# ------------------------------------------------------------------------------ questions


def isnan(x: Operand) -> Tensor:
    """Whether each element is not a number."""
    x = as_tensor(x)
    return x != x


def isinf(x: Operand) -> Tensor:
    """Whether each element is infinite, of either sign."""
    x = as_tensor(x)
    return abs(x) == np.inf if dtypes.is_float(x.dtype) else isnan(x)


def isfinite(x: Operand) -> Tensor:
    """Whether each element is neither infinite nor NaN."""
    x = as_tensor(x)
    return abs(x) < np.inf if dtypes.is_float(x.dtype) else ~isnan(x)


def logical_xor(a: Operand, b: Operand) -> Tensor:
    """Exactly one is not 0."""
    return (as_tensor(a) != 0) != (as_tensor(b) != 0)
