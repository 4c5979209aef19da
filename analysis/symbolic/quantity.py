"""A number that is known exactly, or as an inert expectation with a certified value."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import sympy as sp
from sympy import Expr

from analysis.errors import NotANumber
from analysis.symbolic.expectation import parts
from analysis.symbolic.gaussian import GaussianExpectation
from analysis.symbolic.printing import latex

if TYPE_CHECKING:
    from analysis.symbolic.quadrature import Estimate

ROUNDING = 2.0**-52  # relative error of a double made from more digits, with room to spare

WANTED = 1e-11
"""Relative error above which a number is computed again, in a form or with digits that cost
more."""


@dataclass(frozen=True)
class Quantity:
    """A number that is known exactly, or as an inert expectation with a certified value.

    Attributes:
        expression: a SymPy expression; it may contain `GaussianExpectation` nodes.
        computed_as: the same number by a formula that loses fewer digits, if there is one.
    """

    expression: Expr
    computed_as: Expr | None = None

    @property
    def exact(self) -> Expr | None:
        """The closed form, or None if none was found."""
        return None if self._nodes else self.expression

    def __float__(self) -> float:
        return self._estimate[0]

    @property
    def error(self) -> float:
        """A bound of the absolute error of `float()`."""
        return self._estimate[1]

    def evalf(self, digits: int = 15) -> Expr:
        """The value with a number of digits."""
        from analysis.symbolic.quadrature import evaluate

        self._require_number()
        formula = self.computed_as or self.expression
        values = {node: evaluate(node, digits + 5) for node in formula.atoms(GaussianExpectation)}
        return sp.N(formula.xreplace(values), digits)

    def latex(self) -> str:
        """The expression in LaTeX."""
        return latex(self.expression)

    def __repr__(self) -> str:
        if self.expression.free_symbols:
            return f"Quantity({self.expression})"
        return f"Quantity({self.expression} = {float(self):.12g})"

    @property
    def _nodes(self) -> set[GaussianExpectation]:
        return set(self.expression.atoms(GaussianExpectation))

    @cached_property
    def _estimate(self) -> tuple[float, float]:
        """Value and error; the error of each inert expectation enters by its derivative."""
        self._require_number()
        if not self._nodes:
            value = float(sp.N(self.expression, 20))
            return value, abs(value) * ROUNDING
        from analysis.symbolic.quadrature import estimate, precise_estimate

        formulas = [self.expression, self.computed_as or self.expression]
        attempts = ((f, how) for how in (estimate, precise_estimate) for f in formulas)
        found = (math.nan, math.inf)
        for formula, how in attempts:
            value, error = _combined(formula, how)
            if error < found[1]:
                found = value, error
            if error <= WANTED * abs(value):
                break
        return found

    def _require_number(self) -> None:
        if self.expression.free_symbols:
            names = ", ".join(sorted(parts(self.expression)))
            raise NotANumber(f"{self.expression} is not a number until {names} have values")


def _combined(
    formula: Expr, estimate: Callable[[GaussianExpectation], Estimate]
) -> tuple[float, float]:
    """Value and error of a formula; the error of each expectation enters by its derivative."""
    estimates = {node: estimate(node) for node in formula.atoms(GaussianExpectation)}
    symbols = {node: sp.Dummy() for node in estimates}
    point = {symbols[node]: sp.Float(e.value, 40) for node, e in estimates.items()}
    expression = formula.xreplace(symbols)
    value = float(sp.N(expression.xreplace(point), 20))
    slopes = {
        node: abs(float(sp.N(sp.diff(expression, s).xreplace(point), 20)))
        for node, s in symbols.items()
    }
    error = sum(slopes[node] * e.error for node, e in estimates.items())
    return value, error + abs(value) * ROUNDING
