"""The logarithm and what is made of it: log1p, softplus.

log(x) = e ln 2 + log(1 + f) with x = 2^e (1 + f) and sqrt(1/2) <= 1 + f < sqrt(2), so that nothing
cancels near x = 1 (Muller, *Elementary Functions*). In float32 a polynomial
of f gives log(1 + f); in float64 it would be long, and one of s = f / (2 + f) is not, since
log(1 + f) = 2 atanh(s) (Tang 1990).
"""

from __future__ import annotations

import math

from tinygrad_edu.kernels.vector_math.arithmetic import Number, muladd, polynomial
from tinygrad_edu.kernels.vector_math.coefficients import LN2, LOG
from tinygrad_edu.kernels.vector_math.exponential import exp, power_of_2

ROOT_HALF_BITS = {"float32": 0x3F3504F3, "float64": 0x3FE6A09E667F3BCD}
"""The bits of sqrt(1/2)."""


def log(x: Number) -> Number:
    """The natural logarithm."""
    fraction = x.format.fraction
    subnormal = x < x.format.smallest_normal
    e, f = exponent_and_rest(subnormal.select(x * 2.0**fraction, x))
    e = e.to_float() - subnormal.select(float(fraction), x.constant(0.0))
    y = log_of_parts(e, f)
    y = (x < math.inf).select(y, x)  # inf and nan stay
    return (x < x.format.smallest_subnormal).select(
        (x.is_equal(0.0)).select(-math.inf, x.constant(math.nan)), y
    )


def log1p(x: Number) -> Number:
    """log(1 + x). What the sum u = 1 + x lost is x - (u - 1), exactly, unless x is so large that it
    does not matter; it is added to u's mantissa, where there is room for it."""
    total = 1.0 + x
    e, f = exponent_and_rest(total)
    f = f + (x - (total - 1.0)) * power_of_2(-e.minimum(x.format.bias - 1))
    y = log_of_parts(e.to_float(), f)
    y = (x.abs() < 2.0 ** -(x.format.fraction + 2)).select(x, y)
    y = (x < math.inf).select(y, x)
    return (x > -1.0).select(y, (x.is_equal(-1.0)).select(-math.inf, x * math.nan))


def softplus(x: Number) -> Number:
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))"""
    return x.maximum(0.0) + log1p(exp(-x.abs()))


def exponent_and_rest(x: Number) -> tuple[Number, Number]:
    """e and f of a normal number x = 2^e (1 + f)."""
    bits = ROOT_HALF_BITS[x.format.name]
    offset = x.as_bits() - bits
    significand = (offset & ((1 << x.format.fraction) - 1)) + bits
    return offset >> x.format.fraction, significand.as_float() - 1.0


def log_of_parts(e: Number, f: Number) -> Number:
    """e ln 2 + log(1 + f), the small terms first."""
    high, low = LN2[f.format.name]
    if f.format.name == "float32":
        z = f * f
        y = muladd(f * z, polynomial(f, LOG["float32"]), e * low)
        return muladd(e, high, f + muladd(z, -0.5, y))
    s, half = f / (2.0 + f), 0.5 * f * f
    z = s * s
    y = s * (half + z * polynomial(z, LOG["float64"]))
    return muladd(e, high, f - (half - muladd(e, low, y)))
