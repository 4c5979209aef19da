"""asin, acos and atan, in double precision: a polynomial near 0, and what they are elsewhere by an
argument near 0 (Muller, *Elementary Functions*). That argument's rounding error is kept beside it.
"""

from __future__ import annotations

from tinygrad_edu.kernels.vector_math.arithmetic import (
    Condition,
    Number,
    fma,
    in_double,
    muladd,
    polynomial,
)
from tinygrad_edu.kernels.vector_math.coefficients import ASIN, ATAN, HALF_PI_SUM

TAN_EIGHTH, TAN_THREE_EIGHTHS = 0.41421356237309503, 2.414213562373095
"""tan(pi/8) and tan(3 pi/8)."""

LARGE = 2.0**64
"""From here on atan(x) rounds to pi/2."""


@in_double
def asin(x: Number) -> Number:
    """The inverse sine; beyond 1/2 it is pi/2 - 2 asin(sqrt((1 - x) / 2))."""
    size = x.abs()
    near, root, lost, rest = _half_angle(size)
    high, low = HALF_PI_SUM
    small = size + rest
    large = high - (2.0 * root - (low - 2.0 * (rest + lost)))
    return near.select(small, large).copysign(x)


@in_double
def acos(x: Number) -> Number:
    """The inverse cosine, pi/2 - asin(x); beyond 1/2 it is twice an angle, or pi less that."""
    near, root, lost, rest = _half_angle(x.abs())
    high, low = HALF_PI_SUM
    small = high - (x - (low - rest.copysign(x)))
    twice = 2.0 * (root + (rest + lost))
    large = (x < 0.0).select(2.0 * high - (2.0 * root - (2.0 * low - 2.0 * (rest + lost))), twice)
    return near.select(small, large)


def _half_angle(size: Number) -> tuple[Condition, Number, Number, Number]:
    """Whether |x| is up to 1/2; else the root sqrt((1 - |x|) / 2) and what its rounding lost; and
    the difference of asin to its argument, which is |x| or the root."""
    near = size <= 0.5
    z = near.select(size * size, (1.0 - size) * 0.5)
    root = z.sqrt()
    # 0 has no error, and 0/0 would be nan.
    lost = (z > 0.0).select(fma(-root, root, z) / (root + root), 0.0)
    rest = near.select(size, root) * z * polynomial(z, ASIN["float64"])
    return near, root, lost, rest


@in_double
def atan(x: Number) -> Number:
    """The inverse tangent. Beyond tan(pi/8) it is pi/4 + atan((x - 1) / (x + 1)), beyond
    tan(3 pi/8) pi/2 + atan(-1 / x)."""
    size = x.abs().minimum(LARGE)
    middle, far = size > TAN_EIGHTH, size > TAN_THREE_EIGHTHS
    one = size.constant(1.0)
    above, below = size - 1.0, size + 1.0
    numerator = far.select(-1.0, middle.select(above, size))
    denominator = far.select(size, middle.select(below, one))
    inverse = 1.0 / denominator
    t = numerator * inverse
    lost = (size - (above + 1.0)) - t * (size - (below - 1.0))  # by the rounding of both
    between = far.select(0.0, middle.select(lost, one - one))
    correction = (fma(-t, denominator, numerator) + between) * inverse
    high, low = HALF_PI_SUM
    z = t * t
    tail = muladd(t * z, polynomial(z, ATAN["float64"]), correction)
    tail = tail + far.select(low, middle.select(0.5 * low, one - one))
    start = far.select(high, middle.select(0.5 * high, one - one))
    return (start + (t + tail)).copysign(x)
