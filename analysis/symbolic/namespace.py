"""The SymPy reader: the namespace in which the engine's rules become formulas.

An elementwise rule of the engine takes its functions from a namespace `m`. This is the one that
lets SymPy symbols flow through it, so that what is analysed is the very function that is trained
with:

>>> from tinygrad_edu import ops
>>> ops.softplus.rule(symbolic, sp.Symbol("x", real=True))
log(exp(x) + 1)

It holds the textbook definition of every function; the numerically careful forms belong to the
readers that compute. What has branches becomes a `Piecewise` (also `abs`, `sign`, `maximum`), so
that one place (`pieces.py`) has to understand branches.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import sympy as sp
from sympy import Expr, Piecewise


def exact(expression: Any) -> Expr:
    """The expression with each float replaced by the rational number its author meant.

    That is the shortest decimal that rounds to the float (0.01 is 1/100), or the float's own binary
    value where this is the simpler fraction (2.0**-60 is 1/2**60).
    """
    expression = sp.sympify(expression)
    floats = expression.atoms(sp.Float)
    return expression.xreplace({f: _rational(float(f)) for f in floats}) if floats else expression


def _rational(x: float) -> sp.Rational:
    simplest = min(Fraction(repr(x)), Fraction(x), key=lambda q: q.denominator)
    return sp.Rational(simplest.numerator, simplest.denominator)


class SymbolicNamespace:
    """The functions and constants a rule may use, on SymPy expressions."""

    pi = sp.pi
    sqrt2 = sp.sqrt(2)
    sqrtpi = sp.sqrt(sp.pi)

    exp = staticmethod(sp.exp)
    log = staticmethod(sp.log)
    sqrt = staticmethod(sp.sqrt)
    sin = staticmethod(sp.sin)
    cos = staticmethod(sp.cos)
    tan = staticmethod(sp.tan)
    sinh = staticmethod(sp.sinh)
    cosh = staticmethod(sp.cosh)
    tanh = staticmethod(sp.tanh)
    asin = staticmethod(sp.asin)
    acos = staticmethod(sp.acos)
    atan = staticmethod(sp.atan)
    erf = staticmethod(sp.erf)
    floor = staticmethod(sp.floor)
    pow = staticmethod(sp.Pow)
    eq = staticmethod(sp.Eq)
    ne = staticmethod(sp.Ne)
    logical_and = staticmethod(sp.And)
    logical_or = staticmethod(sp.Or)
    logical_not = staticmethod(sp.Not)

    @staticmethod
    def expm1(x: Any) -> Expr:
        """exp(x) - 1"""
        return sp.exp(x) - 1

    @staticmethod
    def log1p(x: Any) -> Expr:
        """log(1 + x)"""
        return sp.log(1 + x)

    @staticmethod
    def sigmoid(x: Any) -> Expr:
        """1 / (1 + exp(-x))"""
        return 1 / (1 + sp.exp(-x))

    @staticmethod
    def softplus(x: Any) -> Expr:
        """log(1 + exp(x))"""
        return sp.log(1 + sp.exp(x))

    @staticmethod
    def floor_divide(a: Any, b: Any) -> Expr:
        """floor(a / b)"""
        return sp.floor(a / b)

    @staticmethod
    def remainder(a: Any, b: Any) -> Expr:
        """a - b floor(a / b)"""
        return a - b * sp.floor(a / b)

    @staticmethod
    def where(condition: Any, a: Any, b: Any) -> Expr:
        """`a` where the condition holds, else `b`."""
        return Piecewise((a, condition), (b, True))

    @staticmethod
    def maximum(a: Any, b: Any) -> Expr:
        """The larger of the two."""
        return Piecewise((a, sp.Ge(a, b)), (b, True))

    @staticmethod
    def minimum(a: Any, b: Any) -> Expr:
        """The smaller of the two."""
        return Piecewise((a, sp.Le(a, b)), (b, True))

    @staticmethod
    def abs(x: Any) -> Expr:
        """x or -x, whichever is not negative."""
        return Piecewise((x, sp.Ge(x, 0)), (-x, True))

    @staticmethod
    def sign(x: Any) -> Expr:
        """1, -1 or 0."""
        return Piecewise((1, sp.Gt(x, 0)), (-1, sp.Lt(x, 0)), (0, True))


symbolic = SymbolicNamespace()
