"""Indexed quantities, such as y[i], and a normal form for sums over them.

`expand_sums` multiplies out under each sum and takes constants before it, writes powers of the
index in closed form (Faulhaber), and resolves Kronecker deltas. Two expressions in such sums are
equal if their difference becomes 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp
from sympy import Expr, KroneckerDelta, Symbol
from sympy.core.function import UndefinedFunction

Ranges = Mapping[Symbol, tuple[Expr, Expr]]


def depending(name: str, quantity: Expr, **assumptions: bool) -> Expr:
    """Something that changes with a quantity, printed by its name alone."""

    def print_name(self: Expr, printer: Any) -> str:
        return str(printer._print(Symbol(name)))

    printers = {"_sympystr": print_name, "_latex": print_name}
    return UndefinedFunction(name, __dict__=printers, **assumptions)(quantity)


def expand_sums(expression: Expr, ranges: Ranges | None = None) -> Expr:
    """The normal form; `ranges` are those of the indices that are summed over further out."""
    ranges = ranges or {}
    if not expression.has(sp.Sum, KroneckerDelta):
        return _multiply_out(expression)
    if isinstance(expression, sp.Sum):
        summand = expression.function
        for limits in expression.limits:
            summand = _sum_of_terms(summand, limits, ranges)
        return summand
    return _multiply_out(expression.func(*(expand_sums(a, ranges) for a in expression.args)))


def _sum_of_terms(summand: Expr, limits: tuple[Symbol, Expr, Expr], ranges: Ranges) -> Expr:
    i, low, high = limits
    terms = sp.Add.make_args(expand_sums(summand, {**ranges, i: (low, high)}))
    return _multiply_out(sp.Add(*(_sum_of_term(term, limits, ranges) for term in terms)))


def _sum_of_term(term: Expr, limits: tuple[Symbol, Expr, Expr], ranges: Ranges) -> Expr:
    i, low, high = limits
    constant, varying = term.as_independent(i, as_Add=False)
    for delta in varying.atoms(KroneckerDelta):
        (other,) = set(delta.args) - {i}
        if i in delta.args and _lies_within(other, low, high, ranges):
            return constant * varying.subs(i, other)  # there the delta is 1
    if varying.is_polynomial(i) and not varying.has(sp.Sum):
        return constant * sp.summation(varying, limits)
    bound = Symbol(f"_{1 + len(varying.atoms(sp.Sum))}", integer=True)  # one name, to compare by
    return constant * sp.Sum(varying.subs(i, bound), (bound, low, high))


def _multiply_out(expression: Expr) -> Expr:
    """`expand`, without the rules for logarithms and exponents."""
    return expression.expand(basic=False, log=False, power_base=False, power_exp=False)


def _lies_within(index: Expr, low: Expr, high: Expr, ranges: Ranges) -> bool:
    """Whether low <= index <= high, as far as is known."""
    first, last = ranges.get(index, (index, index))
    return all(a == b or (b - a).is_nonnegative for a, b in ((low, first), (last, high)))
