"""Elementwise rules whose derivative is zero wherever it exists: comparisons, logic, rounding."""

from __future__ import annotations

from tinygrad_edu.ops.kinds import constant


@constant(2)
def lt(m, a, b):
    """a < b"""
    return a < b


@constant(2)
def le(m, a, b):
    """a <= b"""
    return a <= b


@constant(2)
def gt(m, a, b):
    """a > b"""
    return a > b


@constant(2)
def ge(m, a, b):
    """a >= b"""
    return a >= b


@constant(2)
def eq(m, a, b):
    """a == b"""
    return m.eq(a, b)


@constant(2)
def ne(m, a, b):
    """a != b"""
    return m.ne(a, b)


@constant(2)
def logical_and(m, a, b):
    """Both hold."""
    return m.logical_and(a, b)


@constant(2)
def logical_or(m, a, b):
    """At least one holds."""
    return m.logical_or(a, b)


@constant(1)
def logical_not(m, a):
    """Does not hold."""
    return m.logical_not(a)


# ------------------------------------------------------------------------------ steps


@constant(1, result="same", numeric=True)
def sign(m, x):
    """-1, 0 or 1; NaN stays NaN."""
    return m.sign(x)


@constant(1, result="same", numeric=True)
def floor(m, x):
    """The largest integer that is not above x."""
    return m.floor(x)


@constant(2, result="same", numeric=True, quiet=False)
def floor_divide(m, a, b):
    """floor(a / b), without the rounding of a / b; integers stay integers."""
    return m.floor_divide(a, b)
