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
    where,
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
