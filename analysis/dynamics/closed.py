"""Kernels in closed form: piecewise linear functions with one kink at 0, and error functions.

With (u, v) normal, of variance q and correlation c:

    relu   E[phi(u) phi(v)] = q (sqrt(1 - c^2) + c (pi - acos c)) / (2 pi)      Cho and Saul 2009
           E[phi'(u) phi'(v)] = (pi - acos c) / (2 pi)
    erf    E[phi(u) phi(v)] = (2/pi) asin(2qc / (1 + 2q))                       Williams 1997
           E[phi'(u) phi'(v)] = (4/pi) / sqrt((1 + 2q)^2 - (2qc)^2)

(`analysis.derive("arccosine-kernel")` and `"arcsine-kernel"` prove them.) A function of slope a
below 0 and b above is a x + (b - a) relu(x).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp
from sympy import Expr

from analysis.symbolic.pieces import split
from analysis.symbolic.reading import X


@dataclass(frozen=True)
class Rectifier:
    """phi(x) = below * x for x < 0 and above * x for x > 0."""

    below: Expr
    above: Expr

    @property
    def half(self) -> Expr:
        """V(q) / q = X(q), the same for all q."""
        return (self.below**2 + self.above**2) / 2

    def kernel(self, q: Any, c: Any) -> Expr:
        """E[phi(u) phi(v)]"""
        a, d = self.below, self.above - self.below
        relu = (sp.sqrt(1 - c**2) + c * (sp.pi - sp.acos(c))) / (2 * sp.pi)
        return q * (a * (a + d) * c + d**2 * relu)

    def slope_kernel(self, q: Any, c: Any) -> Expr:
        """E[phi'(u) phi'(v)]"""
        a, d = self.below, self.above - self.below
        return a * (a + d) + d**2 * (sp.pi - sp.acos(c)) / (2 * sp.pi)


@dataclass(frozen=True)
class ErrorFunction:
    """phi(x) = height * erf(rate * x)"""

    height: Expr
    rate: Expr

    def kernel(self, q: Any, c: Any) -> Expr:
        """E[phi(u) phi(v)]"""
        t = 2 * self.rate**2 * q
        return 2 * self.height**2 / sp.pi * sp.asin(t * c / (1 + t))

    def slope_kernel(self, q: Any, c: Any) -> Expr:
        """E[phi'(u) phi'(v)]"""
        t = 2 * self.rate**2 * q
        return 4 * (self.height * self.rate) ** 2 / (sp.pi * sp.sqrt((1 + t) ** 2 - (t * c) ** 2))


def closed_kernel(f: Expr) -> Rectifier | ErrorFunction | None:
    """The closed form of f's kernels, if it is one of these."""
    height, function = f.as_coeff_Mul()
    if isinstance(function, sp.erf) and (function.args[0] / X).is_number:
        return ErrorFunction(height, function.args[0] / X)
    if f.free_symbols != {X}:
        return None
    pieces = split(f, X)
    slopes = [piece.expression / X for piece in pieces]
    if len(pieces) > 2 or any(slope.has(X) for slope in slopes):
        return None
    if len(pieces) == 2 and pieces[0].high != 0:
        return None
    return Rectifier(slopes[0], slopes[-1])
