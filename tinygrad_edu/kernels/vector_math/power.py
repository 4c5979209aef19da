"""The power, exp(y log(x)).

An error in the exponent is a relative one of the result, so that in double precision the logarithm
and its product with y are sums of two numbers, good to 2^-64 (Tang 1990, with the first two terms
of atanh in twice the precision). In single precision those of double precision are enough.
"""

from __future__ import annotations

import math

from tinygrad_edu.kernels.vector_math.arithmetic import Number, fma, muladd, polynomial
from tinygrad_edu.kernels.vector_math.coefficients import EXP, LN2, LOG_TAIL, THIRD_SUM
from tinygrad_edu.kernels.vector_math.exponential import (
    HIGHEST,
    LOWEST,
    exp,
    power_of_2,
    reduced,
)
from tinygrad_edu.kernels.vector_math.logarithm import exponent_and_rest, log

BOUNDED = 2000.0
"""An exponent beyond it needs no second number: the result is 0 or infinite."""


def pow(x: Number, y: Number) -> Number:
    """x to the power y, with IEEE 754's special values."""
    size = x.abs()
    if x.format.bits == 32:
        power = exp(y.widened() * log(size.widened())).narrowed()
    else:
        power = _double(size, y)
    power = size.is_equal(1.0).and_(y.is_equal(y)).select(1.0, power)
    whole, half = y.nearest_integer(), y * 0.5
    is_whole = whole.is_equal(y)
    is_odd = is_whole.and_(half.nearest_integer().differs(half))
    power = is_odd.select(power.copysign(x), power)
    undefined = (x < 0.0).and_(x > -math.inf).and_(whole.differs(y))
    power = undefined.select(math.nan, power)
    return x.is_equal(1.0).or_(y.is_equal(0.0)).select(1.0, power)


def _double(x: Number, y: Number) -> Number:
    """x to the power y for x that are not negative."""
    first = log(x)
    high, low = _logarithm(x)
    special = (first.abs() < math.inf).not_()  # 0, infinity, nan
    high = special.select(first, high)
    t = y * high
    rest = muladd(y, low, fma(y, high, -t))
    rest = (t.abs() < BOUNDED).and_(special.not_()).select(rest, 0.0)
    return _exponential(t, rest)


def _logarithm(x: Number) -> tuple[Number, Number]:
    """log(x) of a positive number as a sum: e ln 2 + 2 atanh(s), s = f / (2 + f)."""
    fraction = x.format.fraction
    subnormal = x < x.format.smallest_normal
    exponent, f = exponent_and_rest(subnormal.select(x * 2.0**fraction, x))
    e = exponent.to_float() - subnormal.select(float(fraction), x.constant(0.0))
    below = 2.0 + f
    s = f / below
    s_low = muladd(-s, f - (below - 2.0), fma(-s, below, f)) / below
    z = s * s
    z_low = muladd(s + s, s_low, fma(s, s, -z))
    third, third_low = THIRD_SUM
    u = z * third
    u_low = muladd(z_low, third, muladd(z, third_low, fma(z, third, -u)))
    tail = z * z * polynomial(z, LOG_TAIL["float64"])
    q = u + tail
    q_low = ((u - q) + tail) + u_low
    p = s * q
    p_low = muladd(s_low, q, muladd(s, q_low, fma(s, q, -p)))
    half = s + p
    half_low = ((s - half) + p) + (p_low + s_low)
    ln2, ln2_low = LN2["float64"]
    whole, double = e * ln2, half + half
    total = whole + double
    return total, ((whole - total) + double) + muladd(e, ln2_low, half_low + half_low)


def _exponential(x: Number, low: Number) -> Number:
    """exp(x + low)."""
    k, r, rest = reduced(x.minimum(HIGHEST["float64"]).maximum(LOWEST["float64"]))
    rest = rest + low
    near = r + rest
    rest = rest - (near - r)
    y = 1.0 + (near + muladd(near * near, polynomial(near, EXP["float64"]), rest))
    half = k >> 1
    return y * power_of_2(half) * power_of_2(k - half)
