"""sin, cos and tan, in double precision.

x = n pi/2 + r with |r| <= pi/4: the sine or cosine of r, by the last bits of n. Near 0 the result
keeps all its digits only if r does, so r comes as a sum of two numbers.

Up to `FAR`, n times each part of pi/2 but the last is exact (Cody and Waite 1980). Beyond, which is
rare, each such lane by itself multiplies x by those 192 bits of 2/pi that matter, as integers
(Payne and Hanek 1983): higher ones give multiples of 4, lower ones are below 2^-130.
"""

from __future__ import annotations

import math

from llvmlite import ir

from tinygrad_edu.kernels.control import I64, loop
from tinygrad_edu.kernels.vector_math.arithmetic import (
    FORMATS,
    Condition,
    Number,
    fma,
    in_double,
    muladd,
    polynomial,
)
from tinygrad_edu.kernels.vector_math.coefficients import (
    COS,
    HALF_PI,
    HALF_PI_SUM,
    SIN,
    TWO_OVER_PI,
    TWO_OVER_PI_BITS,
)
from tinygrad_edu.kernels.vector_math.exponential import power_of_2

FAR = 2.0**15
"""Up to here n has no more bits than the parts of pi/2 leave it."""

TINY = 2.0**-28
"""Below it sin(x) and tan(x) round to x, and x may be a subnormal number or -0."""

INVERSE_HALF_PI = 0.6366197723675814


@in_double
def sin(x: Number) -> Number:
    """The sine of x in radians."""
    n, high, low = reduced(x)
    y = n.has(1).select(_cosine(high, low)[0], _sine(high, low)[0])
    return (x.abs() < TINY).select(x, n.has(2).select(-y, y))


@in_double
def cos(x: Number) -> Number:
    """The cosine of x in radians."""
    n, high, low = reduced(x)
    y = n.has(1).select(_sine(high, low)[0], _cosine(high, low)[0])
    return (n + 1).has(2).select(-y, y)


@in_double
def tan(x: Number) -> Number:
    """The tangent of x in radians: the quotient, less what both lost and the division did."""
    n, high, low = reduced(x)
    odd = n.has(1)
    (sine, sine_lost), (cosine, cosine_lost) = _sine(high, low), _cosine(high, low)
    top, top_lost = odd.select(-cosine, sine), odd.select(-cosine_lost, sine_lost)
    bottom, bottom_lost = odd.select(sine, cosine), odd.select(sine_lost, cosine_lost)
    inverse = 1.0 / bottom
    y = top * inverse
    missing = muladd(-y, bottom_lost, fma(-y, bottom, top) + top_lost)
    return (x.abs() < TINY).select(x, muladd(missing, inverse, y))


def _sine(r: Number, low: Number) -> tuple[Number, Number]:
    """sin(r + low), |r| <= pi/4, and what its rounding lost."""
    z = r * r
    rest = muladd(r * z, polynomial(z, SIN["float64"]), low * muladd(z, -0.5, z.constant(1.0)))
    y = r + rest
    return y, rest - (y - r)


def _cosine(r: Number, low: Number) -> tuple[Number, Number]:
    """cos(r + low), |r| <= pi/4, and what its rounding lost; what 1 - z/2 loses is added again."""
    z = r * r
    half = 0.5 * z
    near = 1.0 - half
    rest = muladd(z * z, polynomial(z, COS["float64"]), -r * low)
    rest = ((1.0 - near) - half) + rest
    y = near + rest
    return y, rest - (y - near)


# ------------------------------------------------------------------------------ reduction


def reduced(x: Number) -> tuple[Number, Number, Number]:
    """n as an integer, and r as a sum: the remainder and what its rounding lost."""
    magic = x.constant(1.5 * 2.0**x.format.fraction)
    shifted = muladd(x, INVERSE_HALF_PI, magic)
    n = shifted - magic
    first, second, third = HALF_PI
    exact = muladd(n, -first, x)
    high, lost = _difference(exact, n * second)
    low = muladd(n, -third, lost)
    total = high + low
    near = shifted.as_bits() - magic.as_bits(), total, low - (total - high)
    return _replaced(near, x)


def _is_far(x: Number) -> Condition:
    size = x.abs()
    return (size > FAR).and_(size < math.inf)  # infinity gives nan as it is


def _difference(a: Number, b: Number) -> tuple[Number, Number]:
    """a - b as a sum of two numbers (Knuth's TwoSum)."""
    total = a - b
    part = total - a
    return total, (a - (total - part)) - (b + part)


def _replaced(near: tuple[Number, Number, Number], x: Number) -> tuple[Number, Number, Number]:
    """The reduction, with that of `_far` in the lanes of far arguments."""
    b, kind = x.builder, x.value.type
    lanes = kind.count if isinstance(kind, ir.VectorType) else 1
    parts = [x, *near]
    with b.goto_entry_block():
        memory = [b.alloca(part.value.type) for part in parts]
    before = b.block
    with b.if_then(_is_far(x).anywhere(), likely=False):
        for place, part in zip(memory, parts, strict=True):
            b.store(part.value, place)
        first = [
            b.bitcast(place, part.element.as_pointer())
            for place, part in zip(memory, parts, strict=True)
        ]
        with loop(b, I64(0), I64(lanes), 1) as i:
            argument, *results = [b.gep(place, [i]) for place in first]
            value = Number(b, b.load(argument))
            with b.if_then(_is_far(value).value):
                b.call(_far(b.module), [value.value, *results])
        found = [b.load(place) for place in memory[1:]]
        inside = b.block
    merged = []
    for part, other in zip(near, found, strict=True):
        either = b.phi(part.value.type)
        either.add_incoming(part.value, before)
        either.add_incoming(other, inside)
        merged.append(part.of(either))
    return merged[0], merged[1], merged[2]


KEPT = 192
"""Bits of 2/pi that are multiplied: 53 for the argument, 62 that may cancel where it is next to a
multiple of pi/2, and more than 53 for what is left."""

INTEGER_BITS = 64
"""Zeros in front of the bits of 2/pi, so that arguments from 2^15 on shift them to the left."""


def _far(module: ir.Module) -> ir.Function:
    """``far(x, n*, high*, low*)``: the reduction of one large number."""
    name, double = "reduce_far", ir.DoubleType()
    if name in module.globals:
        return module.globals[name]
    pointers = [kind.as_pointer() for kind in (I64, double, double)]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [double, *pointers]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    b = ir.IRBuilder(function.append_basic_block())
    x, *results = function.args
    size = Number(b, x).abs()
    n, high, low = _of_size(size)
    negative = Number(b, x) < 0.0
    for number, place in zip((n, high, low), results, strict=True):
        b.store(negative.select(-number, number).value, place)
    b.ret_void()
    return function


def _of_size(x: Number) -> tuple[Number, Number, Number]:
    b, fraction, bias = x.builder, FORMATS["double"].fraction, FORMATS["double"].bias
    wide, whole = ir.IntType(INTEGER_BITS + TWO_OVER_PI_BITS), ir.IntType(KEPT)
    bits = x.as_bits().value
    # x = significand 2^exponent; bits of 2/pi above 2^(2 - exponent) would give multiples of 4.
    significand = b.or_(b.and_(bits, I64((1 << fraction) - 1)), I64(1 << fraction))
    exponent = b.sub(b.lshr(bits, I64(fraction)), I64(bias + fraction))
    shift = b.zext(b.add(exponent, I64(INTEGER_BITS - 2)), wide)
    window = b.lshr(b.shl(wide(TWO_OVER_PI), shift), wide(wide.width - KEPT))
    product = b.mul(b.trunc(window, whole), b.zext(significand, whole))
    # The two highest bits are n modulo 4, rounded down; the rest is behind the point.
    rounded = b.add(product, whole(1 << (KEPT - 3)))
    n = x.of(b.trunc(b.lshr(rounded, whole(KEPT - 2)), I64))
    rest = b.shl(product, whole(2))
    negative = b.icmp_signed("<", rest, whole(0))
    size = b.select(negative, b.neg(rest), rest)
    zeros = b.call(
        b.module.declare_intrinsic(
            "llvm.ctlz", (whole,), ir.FunctionType(whole, [whole, ir.IntType(1)])
        ),
        [size, ir.IntType(1)(1)],
    )
    size = b.shl(size, zeros)
    scale = power_of_2(-x.of(b.trunc(zeros, I64)))
    digits = fraction + 1
    upper = x.of(b.trunc(b.lshr(size, whole(KEPT - digits)), I64)).to_float() * 2.0**-digits
    size = b.lshr(b.shl(size, whole(digits)), whole(KEPT - digits))
    lower = x.of(b.trunc(size, I64)).to_float() * 2.0 ** (-2 * digits)
    first, second = HALF_PI_SUM
    high = upper * first
    low = fma(upper, first, -high) + muladd(upper, second, lower * first)
    sign = x.of(b.select(negative, x.constant(-1.0).value, x.constant(1.0).value)) * scale
    total = high + low
    return n, total * sign, (low - (total - high)) * sign
