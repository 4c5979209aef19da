"""How the tests of the topics read a derivation: by the words of its steps."""

from __future__ import annotations

import sympy as sp

from analysis.symbolic.derivation import Step
from analysis.symbolic.expectation import written_out
from analysis.symbolic.quantity import Quantity
from analysis.topics import derive


def step(name: str, words: str) -> Step:
    """The only step of a derivation whose reason contains these words."""
    (found,) = (s for s in derive(name).steps if words in s.name)
    return found


def stated(name: str, words: str) -> sp.Expr:
    """What that step comes to; of an equation, the right side."""
    rhs = step(name, words).rhs
    return rhs.rhs if isinstance(rhs, sp.Equality) else rhs


def result(name: str) -> sp.Expr:
    """What a derivation results in; of an equation, the right side."""
    found = derive(name).result
    return found.rhs if isinstance(found, sp.Equality) else found


def number(expression: sp.Expr, **values: float) -> float:
    """The value, with numbers for symbols and moments, which are found as they are printed."""
    parts = set(sp.preorder_traversal(expression))
    put = {part: sp.sympify(values[str(part)]) for part in parts if str(part) in values}
    value = expression.xreplace(put)
    return float(Quantity(written_out(value).doit()))
