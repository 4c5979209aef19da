"""A function of one variable as smooth pieces on intervals.

Gaussian moments need to know where a function changes its formula: a closed form integrates each
piece on its own, a quadrature must not step over a kink. Branch conditions may be any
(in)equalities of x with numbers. Between two neighbouring roots of what they compare no condition
changes, so one test point decides which formula holds there. Roots of polynomials are exact, others
numbers of many digits (`crossings`), and then nothing that is computed from them is called exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import sympy as sp
from sympy import Expr, Piecewise, Symbol
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean

from analysis.errors import UnsupportedActivation
from analysis.symbolic.crossings import crossings

BRANCHING = (sp.Max, sp.Min, sp.Abs, sp.sign, sp.Heaviside)  # what SymPy can write as Piecewise


@dataclass(frozen=True)
class Piece:
    """A formula and the open interval on which it holds."""

    expression: Expr
    low: Expr
    high: Expr


def split(f: Expr, x: Symbol) -> tuple[Piece, ...]:
    """The pieces of f, from left to right, covering the real line but for finitely many points.

    Raises:
        UnsupportedActivation: f has infinitely many pieces, or a branch condition depends on
            something else than x.
    """
    if f.has(sp.floor, sp.ceiling, sp.frac, sp.Mod):
        raise UnsupportedActivation(
            f"{f} has infinitely many pieces; write the few that matter as a Piecewise"
        )
    if f.has(*BRANCHING):
        f = _as_piecewise(f)
    if not f.has(Piecewise):
        return (Piece(f, -sp.oo, sp.oo),)
    ends = [-sp.oo, *_breakpoints(f, x), sp.oo]
    return tuple(
        Piece(_formula_at(f, x, _between(low, high)), low, high) for low, high in pairwise(ends)
    )


def _as_piecewise(f: Expr) -> Expr:
    try:
        return f.rewrite(Piecewise)
    except RecursionError:  # SymPy tries to solve the conditions
        raise UnsupportedActivation(
            f"the branches of {f} depend on each other in a way that cannot be followed; write its "
            "pieces as one Piecewise"
        ) from None


def kinks(f: Expr, x: Symbol) -> tuple[float, ...]:
    """Where f may change its formula."""
    return tuple(float(piece.low) for piece in split(f, x)[1:])


def is_odd(f: Expr, x: Symbol) -> bool:
    """Whether f(-x) = -f(x) is seen by expanding it, piece by piece."""
    pieces = split(f, x)
    mirrored = [(-p.expression.xreplace({x: -x}), -p.high, -p.low) for p in reversed(pieces)]
    return all(
        (p.low, p.high) == (low, high) and sp.expand(p.expression - expression) == 0
        for p, (expression, low, high) in zip(pieces, mirrored, strict=True)
    )


def _breakpoints(f: Expr, x: Symbol) -> list[Expr]:
    """The roots of everything that is compared with zero in a branch condition."""
    points: set[Expr] = set()
    for relation in f.atoms(Relational):
        difference = sp.expand(relation.lhs - relation.rhs)
        if difference.free_symbols != {x}:
            raise UnsupportedActivation(
                f"the branch condition {relation} depends on something else than {x}; give the "
                "parameters values"
            )
        if difference.is_polynomial(x):
            points |= set(sp.real_roots(sp.Poly(difference, x)))
        else:
            points |= set(crossings(relation.lhs - relation.rhs, x))
    return sorted(points)


def _between(low: Expr, high: Expr) -> Expr:
    """A rational number in the open interval."""
    if low == -sp.oo:
        return sp.floor(high) - 1
    if high == sp.oo:
        return sp.ceiling(low) + 1
    return sp.Rational(float((low + high) / 2))


def _formula_at(f: Expr, x: Symbol, point: Expr) -> Expr:
    """The formula that holds around the point: each Piecewise replaced by its branch there."""

    def branch(*branches: tuple[Expr, Boolean]) -> Expr:
        for expression, condition in branches:
            if _holds(condition, x, point):
                return expression
        raise UnsupportedActivation(f"{f} is not defined at {x} = {point}; add a branch for it")

    return f.replace(Piecewise, branch)


def _holds(condition: Boolean, x: Symbol, point: Expr) -> bool:
    """Whether it does. Branches of one that is not taken may have no value there."""
    try:
        return bool(condition.subs(x, point))
    except TypeError:
        return False
