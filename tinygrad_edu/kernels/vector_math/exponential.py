"""The exponential and what is made of it: expm1, sigmoid, tanh, sinh, cosh.

exp(x) = 2^k exp(r) with k the integer nearest to x / ln 2 and r = x - k ln 2, |r| <= ln(2)/2, so
that a short polynomial gives exp(r) (Tang 1989; Muller, *Elementary Functions*). ln 2 comes in two
parts, of which the first has so few bits that k times it is exact, and so is its difference to x
(Cody and Waite 1980).
"""

from __future__ import annotations

from tinygrad_edu.kernels.vector_math.arithmetic import (
    Number,
    fma,
    in_double,
    muladd,
    polynomial,
)
from tinygrad_edu.kernels.vector_math.coefficients import EXP, LN2, SINH, TANH

INVERSE_LN2 = 1.4426950408889634

# Beyond these exp is infinite or rounds to 0 (the true bounds are 88.72.. and -103.97.., 709.78..
# and -745.13..), and between them k keeps within the bits that LN2 leaves it.
HIGHEST = {"float32": 89.0, "float64": 710.0}
LOWEST = {"float32": -104.0, "float64": -746.0}

EXPM1_LOWEST = {"float32": -18.0, "float64": -38.0}
"""Down to here exp(x) - 1 is more than -1 by something that rounding keeps."""

TANH_SMALL = 0.625
"""Up to here tanh is a polynomial; from here on 1 - 2 / (exp(2x) + 1) loses no digits."""

TANH_ONE = {"float32": 10.0, "float64": 20.0}
"""From here on tanh rounds to 1, as 2 exp(-2x) is below a quarter of 2^-24 (2^-53)."""


def exp(x: Number) -> Number:
    """The exponential. 2^k comes as two factors, of which only the second can leave the range of
    normal numbers: it rounds once, to infinity or a subnormal number where it must."""
    name = x.format.name
    k, r, _ = reduced(x.minimum(HIGHEST[name]).maximum(LOWEST[name]))
    half = k >> 1
    return mantissa(r) * power_of_2(half) * power_of_2(k - half)


def exp_within(x: Number) -> Number:
    """The exponential of what lies so near to 0 that the result is a normal number."""
    k, r, _ = reduced(x)
    return mantissa(r) * power_of_2(k)


def expm1(x: Number) -> Number:
    """exp(x) - 1 = 2^k (r + tail) + (2^k - 1), with tail = exp(r) - 1 - r.

    It is computed as its half, since 2^k itself may overflow where the result does not. What rounds
    to x is x: so 0 keeps its sign, and subnormal numbers pass.
    """
    name = x.format.name
    k, r, rest = reduced(x.minimum(HIGHEST[name]).maximum(EXPM1_LOWEST[name]))
    scale = power_of_2(k - 1)
    tail = muladd(r * r, polynomial(r, EXP[name]), rest)
    y = fma(scale, tail, fma(scale, r, scale - 0.5))
    return (x.abs() < 2.0 ** -(x.format.fraction + 2)).select(x, y + y)


def sigmoid(x: Number) -> Number:
    """1 / (1 + exp(-x)), by the exponential of -|x|: it is the numerator where x < 0.

    1 + e is kept as a sum of two numbers, and one step of Newton's makes up for the second and for
    the rounding of the quotient, so that of all errors only that of e is left.
    """
    e = exp(-x.abs())
    total = 1.0 + e
    lost = e - (total - 1.0)
    numerator = (x < 0.0).select(e, 1.0)
    inverse = 1.0 / total
    y = numerator * inverse
    missing = fma(-y, lost, fma(-y, total, numerator))
    return fma(missing, inverse, y)


def tanh(x: Number) -> Number:
    """The hyperbolic tangent."""
    name = x.format.name
    size, z = x.abs(), x * x
    small = muladd(size * z, polynomial(z, TANH[name]), size)
    bounded = size.minimum(TANH_ONE[name])
    large = 1.0 - 2.0 / (exp_within(bounded + bounded) + 1.0)
    return (size < TANH_SMALL).select(small, large).copysign(x)


HALF_HIGHEST = 711.0
"""From here on half of exp(x) is infinite in double precision, as its true bound is 710.47..."""

SINH_SMALL = 1.0
"""Up to here sinh is a polynomial; from here on exp(x)/2 - exp(-x)/2 loses a third of a bit."""


@in_double
def sinh(x: Number) -> Number:
    """The hyperbolic sine."""
    size, z = x.abs(), x * x
    small = muladd(size * z, polynomial(z, SINH["float64"]), size)
    half = _half_exp(size)
    return (size < SINH_SMALL).select(small, half - 0.25 / half).copysign(x)


@in_double
def cosh(x: Number) -> Number:
    """The hyperbolic cosine."""
    half = _half_exp(x.abs())
    return half + 0.25 / half


def _half_exp(x: Number) -> Number:
    """exp(x) / 2, x not below 0, which does not overflow where sinh and cosh do not."""
    k, r, _ = reduced(x.minimum(HALF_HIGHEST))
    half = k >> 1
    return mantissa(r) * power_of_2(half) * power_of_2(k - half - 1)


# ------------------------------------------------------------------------------ the pieces


def reduced(x: Number) -> tuple[Number, Number, Number]:
    """k, r and a rest: x = k ln 2 + r + rest, the rest being what rounding took from r. x must lie
    in [LOWEST, HIGHEST].

    Adding 3/2 2^fraction leaves no bits for what is behind the point, so the sum's lowest bits are
    k, and taking it away again leaves k as a float.
    """
    magic = x.constant(1.5 * 2.0**x.format.fraction)
    shifted = muladd(x, INVERSE_LN2, magic)
    n = shifted - magic
    high, low = LN2[x.format.name]
    exact = muladd(n, -high, x)
    r = muladd(n, -low, exact)
    rest = muladd(n, -low, exact - r)
    return shifted.as_bits() - magic.as_bits(), r, rest


def mantissa(r: Number) -> Number:
    """exp(r), between sqrt(1/2) and sqrt(2)"""
    return 1.0 + muladd(r * r, polynomial(r, EXP[r.format.name]), r)


def power_of_2(k: Number) -> Number:
    """2^k, for the exponents of normal numbers."""
    return ((k + k.format.bias) << k.format.fraction).as_float()
