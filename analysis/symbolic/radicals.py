"""Whether an expression with square roots and exponentials is 0, by algebra alone.

Each root sqrt(b) becomes a symbol r with r^2 = b. If the numerator of what is left is the zero
polynomial, the expression is 0 wherever it is defined. Exponentials become powers of symbols, other
functions symbols. The converse fails only if some of all these depend on each other, as sqrt(2)
sqrt(3) and sqrt(6) do; factoring what is under a root splits most of these.
"""

from __future__ import annotations

import sympy as sp
from sympy import Expr, Symbol


def vanishes(expression: Expr) -> bool:
    """Whether the expression is 0; False means that this was not shown."""
    roots: dict[Expr, Symbol] = {}

    def named(root: Expr) -> Expr:
        return roots.setdefault(root.base, sp.Dummy()) ** (2 * root.exp)

    expression = _powers_of_exponentials(expression)
    expression = expression.replace(_is_root, lambda root: sp.factor(root.base) ** root.exp)
    expression = expression.replace(_is_root, named)
    numerator = sp.expand(sp.together(expression).as_numer_denom()[0])
    for inside, r in reversed(roots.items()):  # the innermost root was named first
        numerator = sp.expand(numerator.replace(sp.Pow, _Reduced(r, inside)))
    return bool(numerator == 0)


def _powers_of_exponentials(expression: Expr) -> Expr:
    """exp(2 a), exp(-a/2) and such as powers of one symbol."""
    if expression.has(sp.tanh, sp.sinh, sp.cosh):
        expression = expression.rewrite(sp.exp)
    if not expression.has(sp.exp):
        return expression
    terms = sp.Add.make_args(expression.expand(power_base=False, power_exp=False))
    expression = sp.Add(*map(_with_one_exponential, terms))
    exponents = {e: sp.cancel(e.args[0]).as_coeff_Mul() for e in expression.atoms(sp.exp)}
    new: dict[Expr, Expr] = {}
    for base in {base for _, base in exponents.values()}:
        step = sp.gcd_list([r for r, b in exponents.values() if b == base])
        symbol = sp.Dummy()
        new |= {e: symbol ** (r / step) for e, (r, b) in exponents.items() if b == base}
    return expression.xreplace(new)


def _with_one_exponential(term: Expr) -> Expr:
    """exp(a) exp(b) as exp(a + b)."""
    factors = sp.Mul.make_args(term)
    exponent = sp.Add(*(f.args[0] for f in factors if isinstance(f, sp.exp)))
    return sp.Mul(*(f for f in factors if not isinstance(f, sp.exp)), sp.exp(sp.cancel(exponent)))


def _is_root(e: Expr) -> bool:
    return bool(e.is_Pow and e.exp.is_Rational and e.exp.q == 2)


class _Reduced:
    """r^(2 j + i) as inside^j r^i."""

    def __init__(self, r: Symbol, inside: Expr) -> None:
        self.r, self.inside = r, inside

    def __call__(self, base: Expr, exponent: Expr) -> Expr:
        if base != self.r:
            return base**exponent
        return self.inside ** (exponent // 2) * base ** (exponent % 2)
