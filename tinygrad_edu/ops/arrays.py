"""The array reader: what each primitive does to a NumPy array of any dtype.

Python numbers in a rule are weak scalars to NumPy, so float32 stays float32. Constants such as
`sqrt2` are therefore Python floats, never NumPy scalars, which would promote.
"""

from __future__ import annotations

from math import pi

import numpy as np
from numpy import (
    abs,
    cos,
    cosh,
    exp,
    expm1,
    floor,
    floor_divide,
    log,
    log1p,
    logical_and,
    logical_not,
    logical_or,
    maximum,
    minimum,
    remainder,
    sign,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)
from numpy import arccos as acos
from numpy import arcsin as asin
from numpy import arctan as atan
from numpy import equal as eq
from numpy import not_equal as ne
from numpy import power as pow

from tinygrad_edu.ops.floats import sqrt2, sqrtpi

__all__ = [
    "abs",
    "acos",
    "asin",
    "atan",
    "cos",
    "cosh",
    "eq",
    "erf",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "log",
    "log1p",
    "logical_and",
    "logical_not",
    "logical_or",
    "maximum",
    "minimum",
    "ne",
    "pi",
    "pow",
    "remainder",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "softplus",
    "sqrt",
    "sqrt2",
    "sqrtpi",
    "tan",
    "tanh",
    "where",
]


_BITS = {np.dtype(np.float32): np.int32, np.dtype(np.float64): np.int64}


def where(condition, a, b):
    """`a` where the condition holds, else `b`."""
    if b.__class__ is int and b == 0:
        return selected(condition, a, b)
    if a.__class__ is int and a == 0:
        return selected(np.logical_not(condition), b, a)
    return np.where(condition, a, b)


def selected(condition, x, zero):
    """x where the condition holds, else 0: the bits of x times 0 or 1, as integers, so that inf and
    nan vanish, too. NumPy multiplies with vector instructions and selects without."""
    bits = _BITS.get(x.dtype) if x.__class__ is condition.__class__ is np.ndarray else None
    if bits is None:
        return np.where(condition, x, zero)
    return np.multiply(x.view(bits), condition).view(x.dtype)


def sigmoid(x):
    """1 / (1 + exp(-x)); where exp overflows, 1 / inf is the right 0."""
    return 1 / (1 + np.exp(-x))


def softplus(x):
    """log(1 + exp(x)) without overflow: max(x, 0) + log1p(exp(-|x|))."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def erf(x):
    """The error function (SciPy's, loaded on first use: importing it costs more than NumPy)."""
    from scipy.special import erf

    return erf(x)
