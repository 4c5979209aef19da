"""A number that is known exactly, or as an inert expectation with a certified value."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import sympy as sp
from sympy import Expr

from analysis.errors import NotANumber
from analysis.symbolic.gaussian import GaussianExpectation
from analysis.symbolic.printing import latex

ROUNDING = 2.0**-52  # relative error of a double made from more digits, with room to spare


@dataclass(frozen=True)
class Quantity:
    """A number that is known exactly, or as an inert expectation with a certified value.

    Attributes:
        expression: a SymPy expression; it may contain `GaussianExpectation` nodes.
    """

    expression: Expr

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
        values = {node: evaluate(node, digits + 5) for node in self._nodes}
        return sp.N(self.expression.xreplace(values), digits)

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
        from analysis.symbolic.quadrature import estimate

        estimates = {node: estimate(node) for node in self._nodes}
        symbols = {node: sp.Dummy() for node in estimates}
        point = {symbols[node]: sp.Float(e.value, 20) for node, e in estimates.items()}
        expression = self.expression.xreplace(symbols)
        value = float(sp.N(expression.xreplace(point), 20))
        slopes = {
            node: abs(float(sp.N(sp.diff(expression, s).xreplace(point), 20)))
            for node, s in symbols.items()
        }
        error = sum(slopes[node] * e.error for node, e in estimates.items())
        return value, error + abs(value) * ROUNDING

    def _require_number(self) -> None:
        if self.expression.free_symbols:
            names = ", ".join(sorted(map(str, self.expression.free_symbols)))
            raise NotANumber(f"{self.expression} is not a number until {names} have values")
