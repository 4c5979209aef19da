"""Functions of each element that are made of others, in forms that lose no digits.

They have no derivative of their own. Where a formula would give up digits or overflow for some
arguments, another takes over there; what is not selected is computed of harmless numbers, so that
no derivative of any order is spoiled by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.graph.pointwise import (
    abs,
    atan,
    clamp,
    isfinite,
    isinf,
    isnan,
    log,
    log1p,
    maximum,
    neg,
    sign,
    softplus,
    sqrt,
    trunc,
    where,
)
from tinygrad_edu.graph.reader import apply, as_tensor
from tinygrad_edu.ops import dtypes

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor


def _floats(x: Operand) -> Tensor:
    """Integers and truth values as float32."""
    x = as_tensor(x)
    return x if dtypes.is_float(x.dtype) else x.to(dtypes.default_float)


# ------------------------------------------------------------------------------ powers, logarithms


def square(x: Operand) -> Tensor:
    """x * x"""
    x = as_tensor(x)
    return x * x


def reciprocal(x: Operand) -> Tensor:
    """1 / x; of integers, too, it is a float."""
    return 1 / as_tensor(x)


def exp2(x: Operand) -> Tensor:
    """2 to the power x."""
    return apply(ops.pow, 2.0, _floats(x))


def log2(x: Operand) -> Tensor:
    """The logarithm to base 2."""
    return log(x) / math.log(2)


def log10(x: Operand) -> Tensor:
    """The logarithm to base 10."""
    return log(x) / math.log(10)


def logaddexp(a: Operand, b: Operand) -> Tensor:
    """log(exp(a) + exp(b)), without overflow."""
    a, b = as_tensor(a), as_tensor(b)
    larger, smaller = where(a >= b, a, b), where(a >= b, b, a)
    both = (a == b) & isinf(a)  # infinities are not subtracted
    return larger + softplus(where(both, 0, smaller - where(both, 0, larger)))


def xlogy(x: Operand, y: Operand) -> Tensor:
    """x log(y), which is 0 where x is 0, unless y is NaN."""
    x, y = _floats(x), _floats(y)
    nothing = (x == 0) & ~isnan(y)
    return where(nothing, 0, x * log(where(nothing, 1, y)))


def logit(x: Operand, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), the inverse of sigmoid; with `eps`, of x limited to [eps, 1 - eps]."""
    x = _floats(x)
    if eps is not None:
        x = clamp(x, eps, 1 - eps)
    return log(x) - log1p(-x)


# ------------------------------------------------------------------------------ hyperbolic inverses

_LARGE = 1e8
"""From here on x^2 + 1 is x^2 to the last digit of a double, and log(2 x) is what is left."""


def _odd(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """An odd function, from its values at positive arguments."""
    side = where(x < 0, -1, 1).to(x.dtype)
    return side * function(x * side)


def asinh(x: Operand) -> Tensor:
    """The inverse of sinh."""
    return _odd(_asinh, _floats(x))


def _asinh(x: Tensor) -> Tensor:
    large = x > _LARGE
    small = where(large, 1, x)
    near = log1p(small + small * small / (1 + sqrt(small * small + 1)))
    return where(large, log(where(large, x, 1)) + math.log(2), near)


def acosh(x: Operand) -> Tensor:
    """The inverse of cosh, at least 0; NaN below 1."""
    x = _floats(x)
    large = x > _LARGE
    beyond = where(large, 1, x - 1)
    near = log1p(beyond + sqrt(beyond * (2 + beyond)))
    return where(large, log(where(large, x, 1)) + math.log(2), near)


def atanh(x: Operand) -> Tensor:
    """The inverse of tanh; infinite at -1 and 1, NaN beyond."""
    return _odd(lambda x: 0.5 * log1p(2 * x / (1 - x)), _floats(x))


# ------------------------------------------------------------------------------ right triangles


def hypot(a: Operand, b: Operand) -> Tensor:
    """sqrt(a^2 + b^2), without overflow: the hypotenuse."""
    a, b = _floats(a), _floats(b)
    infinite = isinf(a) | isinf(b)
    size = maximum(abs(a), abs(b)).detach()
    unit = where((size > 0) & isfinite(size), size, 1)
    within = [where(infinite, 1, x) / unit for x in (a, b)]
    return where(infinite, math.inf, unit * sqrt(within[0] * within[0] + within[1] * within[1]))


def atan2(y: Operand, x: Operand) -> Tensor:
    """The angle of the point (x, y), from -pi to pi. Its gradient at (0, 0) is 0."""
    y, x = _floats(y), _floats(x)
    corner = isinf(x) & isinf(y)  # seen from far away, as the diagonal
    y, x = where(corner, sign(y), y), where(corner, sign(x), x)
    up, left = where(_is_below(y), -1, 1).to(y.dtype), _is_below(x)
    nowhere = (x == 0) & (y == 0)
    x = where(nowhere, 1, x)
    steep = abs(y) > abs(x)
    angle = atan(where(steep, x, y) / where(steep, y, x))
    level = where(left, up * math.pi + angle, angle)
    angle = where(steep, up * (math.pi / 2) - angle, level)
    return where(nowhere, where(left, up * math.pi, y.detach()), angle)


def _is_below(x: Tensor) -> Tensor:
    """Whether x is negative, or the negative zero."""
    x = x.detach()
    return where(x == 0, 1 / x, x) < 0


# ------------------------------------------------------------------------------ between, within


def lerp(x: Operand, end: Operand, weight: Operand) -> Tensor:
    """x + weight (end - x): x at weight 0, `end` at weight 1, exactly."""
    x, end = as_tensor(x), as_tensor(end)
    way = end - x
    if isinstance(weight, int | float):
        return x + weight * way if weight < 0.5 else end - way * (1 - weight)
    weight = as_tensor(weight)
    return where(weight < 0.5, x + weight * way, end - way * (1 - weight))


def addcmul(x: Operand, a: Operand, b: Operand, *, value: float = 1) -> Tensor:
    """x + value * a * b"""
    product = as_tensor(a) * b
    return as_tensor(x) + (product if value == 1 else value * product)


def addcdiv(x: Operand, a: Operand, b: Operand, *, value: float = 1) -> Tensor:
    """x + value * a / b"""
    quotient = as_tensor(a) / b
    return as_tensor(x) + (quotient if value == 1 else value * quotient)


def nan_to_num(
    x: Operand, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """x with numbers in place of NaN and of the infinities (the largest and the least number of
    the dtype by default). What is replaced receives no gradient."""
    x = as_tensor(x)
    if not dtypes.is_float(x.dtype):
        return x.clone()
    bounds = np.finfo(x.dtype)
    highest = float(bounds.max) if posinf is None else posinf
    lowest = float(bounds.min) if neginf is None else neginf
    x = where(x == math.inf, highest, where(x == -math.inf, lowest, x))
    return where(isnan(x), nan, x)


def frac(x: Operand) -> Tensor:
    """What is left of x without its whole part; it has the sign of x."""
    x = as_tensor(x)
    return x - trunc(x)


def clamp_min(x: Operand, min: Operand) -> Tensor:
    """x, or `min` where that is larger: `clamp` with one bound."""
    return clamp(x, min=min)


def clamp_max(x: Operand, max: Operand) -> Tensor:
    """x, or `max` where that is smaller: `clamp` with one bound."""
    return clamp(x, max=max)


def logsigmoid(x: Operand) -> Tensor:
    """log(sigmoid(x)), accurate where sigmoid underflows or rounds to 1."""
    return neg(softplus(neg(x)))


def celu(x: Operand, alpha: float = 1.0) -> Tensor:
    """x above 0, alpha (exp(x / alpha) - 1) below: an elu whose slope has no jump. Barron 2017.

    Raises:
        ArgumentError: `alpha` is not positive.
    """
    if not alpha > 0:
        raise ArgumentError(f"celu: alpha is a positive number, not {alpha!r}.")
    return alpha * apply(ops.elu, as_tensor(x) / alpha)


def erfc(x: Operand) -> Tensor:
    """1 - erf(x)."""
    return 1 - apply(ops.erf, x)


# ------------------------------------------------------------------------------ near each other


def isclose(
    x: Operand,
    other: Operand,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> Tensor:
    """Whether |x - other| <= atol + rtol |other|, element by element. Infinities are close to
    themselves alone, NaN to NaN if `equal_nan`."""
    a, b = as_tensor(x).detach(), as_tensor(other).detach()
    if a.dtype == b.dtype == dtypes.boolean:
        return a == b
    if not dtypes.is_float(a.dtype) and not dtypes.is_float(b.dtype):
        near = abs(a - b) <= atol + rtol * abs(b).double()
    else:
        near = isfinite(a) & isfinite(b) & (abs(a - b) <= atol + rtol * abs(b))
    close = (a == b) | near
    return close | (isnan(a) & isnan(b)) if equal_nan else close


def allclose(
    x: Operand,
    other: Operand,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> bool:
    """Whether `isclose` holds everywhere: one Python bool."""
    close = isclose(x, other, rtol, atol, equal_nan)
    return bool(close._values("allclose").all())


def equal(x: Operand, other: Operand) -> bool:
    """Whether shape and all elements are the same: one Python bool. NaN equals nothing."""
    a, b = as_tensor(x), as_tensor(other)
    return a.shape == b.shape and bool((a == b)._values("equal").all())
