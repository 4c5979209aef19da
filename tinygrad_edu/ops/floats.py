"""The float reader: what each primitive does to one Python float.

An elementwise rule reads its functions from a namespace; this module is that namespace for floats.
The bodies are plain enough for Numba to compile as they stand, so the compiled scalar engine runs
this same text (`tinygrad_edu.kernels.values.tape`) and no primitive has a second definition there.

Python floats raise where IEEE arithmetic returns inf or nan (``1 / 0``, ``exp(1000)``); the scalar
engine then reads the rule again with NumPy, so the exceptions never reach a user.
"""

from __future__ import annotations

import math
from math import (
    acos,
    asin,
    atan,
    cos,
    cosh,
    erf,
    exp,
    expm1,
    floor,
    log,
    log1p,
    pi,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)

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

sqrt2 = math.sqrt(2.0)
sqrtpi = math.sqrt(math.pi)
abs = math.fabs
pow = math.pow


def sigmoid(x):
    """1 / (1 + exp(-x)), by whichever branch keeps the exponential at most 1."""
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    z = math.exp(x)
    return z / (1.0 + z)


def softplus(x):
    """log(1 + exp(x)) without overflow: max(x, 0) + log1p(exp(-|x|))."""
    tail = math.log1p(math.exp(-math.fabs(x)))
    return x + tail if x > 0 else tail


def sign(x):
    """-1, 0 or 1; nan stays nan."""
    if x > 0:
        return 1.0
    if x < 0:
        return -1.0
    return x * 0.0


def remainder(a, b):
    """a - b floor(a / b), with the sign of b."""
    return a % b


def floor_divide(a, b):
    """floor(a / b)."""
    return a // b


def where(condition, a, b):
    """`a` where the condition holds, else `b`."""
    return a if condition else b


def maximum(a, b):
    """The larger operand; nan if either is nan."""
    return a if a > b or a != a else b


def minimum(a, b):
    """The smaller operand; nan if either is nan."""
    return a if a < b or a != a else b


def eq(a, b):
    """a == b, spelled so that symbolic readers can keep it unevaluated."""
    return a == b


def ne(a, b):
    """a != b, spelled so that symbolic readers can keep it unevaluated."""
    return a != b


def logical_and(a, b):
    """Both hold."""
    return a and b


def logical_or(a, b):
    """At least one holds."""
    return a or b


def logical_not(a):
    """Does not hold."""
    return not a
