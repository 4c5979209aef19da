"""How formulas and prose become plain text and LaTeX.

Prose (titles, reasons, assumptions) is written once, with formulas between backticks in the plain
notation: "the weights `W_j` have `E[W] = 0`".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.printing.latex import LatexPrinter
from sympy.printing.str import StrPrinter

from analysis.symbolic.expectation import SumOfCopies


class _PositiveFirst:
    """Sums begin with a positive term, where there is one."""

    def _as_ordered_terms(self, expr: Any, order: Any = None) -> list[Any]:
        terms: list[Any] = super()._as_ordered_terms(expr, order=order)  # type: ignore[misc]
        return sorted(terms, key=lambda term: term.could_extract_minus_sign())


class _Plain(_PositiveFirst, StrPrinter):  # type: ignore[misc]
    def _print_Relational(self, expr: Any) -> str:
        if isinstance(expr, sp.Equality):
            return f"{self._print(expr.lhs)} = {self._print(expr.rhs)}"
        return str(super()._print_Relational(expr))

    def _print_Piecewise(self, expr: Any) -> str:
        *branches, (last, condition) = expr.args
        parts = [f"{self._print(e)} if {self._print(c)}" for e, c in branches]
        parts.append(
            f"{self._print(last)} otherwise"
            if condition == sp.true
            else f"{self._print(last)} if {self._print(condition)}"
        )
        return "{" + ", ".join(parts) + "}"

    def _print_Sum(self, expr: Any) -> str:
        ranges = [
            f"{i}={self._print(low)}..{self._print(high)}".replace("oo", "infinity")
            for i, low, high in expr.limits
        ]
        name = type(expr).__name__
        return f"{name}({', '.join([self._print(expr.function), *ranges])})"

    _print_Product = _print_Sum

    def _print_Exp1(self, expr: Any) -> str:
        return "e"

    def _print_Limit(self, expr: Any) -> str:
        of, x, end, _ = expr.args
        return f"lim({self._print(of)}, {x} -> {str(end).replace('oo', 'infinity')})"

    def _print_KroneckerDelta(self, expr: Any) -> str:
        i, k = map(self._print, expr.args)
        return f"[{i} = {k}]"

    def _print_Derivative(self, expr: Any) -> str:
        of, order = self._print(expr.expr), len(expr.variables)
        d = f"d**{order}" if order > 1 else "d"
        by = [f"d{self._print(x)}" + (f"**{n}" if n > 1 else "") for x, n in expr.variable_count]
        below = f"({' '.join(by)})" if len(by) > 1 else by[0]
        if of.isalnum():
            return f"{d}{of}/{below}"
        bracketed = f"({of})" if expr.expr.is_Add or expr.expr.is_Mul else of
        return f"{d}/{below} {bracketed}"


class _Latex(_PositiveFirst, LatexPrinter):  # type: ignore[misc]
    def _print_Pow(self, expr: Any) -> str:
        if isinstance(expr.base, SumOfCopies):
            base, exponent = self._print(expr.base), self._print(expr.exp)
            return rf"\left({base}\right)^{{{exponent}}}"
        return str(super()._print_Pow(expr))

    def _print_Symbol(self, expr: Any, style: str = "plain") -> str:
        """A name that is a formula in the notation of prose prints as one."""
        if expr.name == "eps" or re.search(r"\W", expr.name):
            return latex_formula(expr.name)
        return str(super()._print_Symbol(expr, style))

    def _print_KroneckerDelta(self, expr: Any, exp: Any = None) -> str:
        i, k = map(self._print, expr.args)
        bracket = rf"\left[{i} = {k}\right]"
        return bracket if exp is None else rf"{bracket}^{{{exp}}}"

    def _print_Function(self, expr: Any, exp: Any = None) -> str:
        """An unknown function may be a derivative: phi' prints as one."""
        name = expr.func.__name__
        if not (isinstance(expr, AppliedUndef) and name.endswith("'")):
            return str(super()._print_Function(expr, exp))
        symbol = self._print(sp.Symbol(name.rstrip("'"))) + "'" * name.count("'")
        applied = rf"{symbol}\left({self._print(expr.args[0])}\right)"
        return applied if exp is None else rf"{applied}^{{{exp}}}"


def plain(expression: Any) -> str:
    """A formula as one line of ASCII, with ^ for powers."""
    return str(_Plain().doprint(expression)).replace("**", "^")


def latex(expression: Any) -> str:
    """A formula in LaTeX's math mode."""
    return str(_Latex().doprint(expression))


def plain_prose(text: str) -> str:
    """Prose without the marks around its formulas."""
    return text.replace("`", "")


def latex_prose(text: str) -> str:
    """Prose in LaTeX's text mode, its formulas in math mode."""
    parts = text.split("`")
    return "".join(
        f"${latex_formula(part)}$" if i % 2 else _escape(part) for i, part in enumerate(parts)
    )


_SPECIAL = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
_SPECIAL |= {c: "\\" + c for c in "&%$#_{}"}

_GREEK = "alpha|beta|gamma|delta|eta|kappa|lambda|mu|phi|pi|rho|sigma|tau|chi|Phi|Gamma"
_FORMULA: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"\b[a-z]+(?:_[a-z]+)*_(?=\()", lambda name: rf"\mathtt{{{_escape(name[0])}}}"),  # code
    (r"\bE\[", r"\\mathbb{E}["),
    (r"\b(Var|Cov)\(", r"\\operatorname{\1}("),
    (rf"(?<![A-Za-z\\])({_GREEK})(?![A-Za-z])", r"\\\1"),
    (rf"(?<![A-Za-z\\])d({_GREEK})(?![A-Za-z])", r"d\\\1"),
    (r"(?<![A-Za-z\\])eps(?![A-Za-z])", r"\\epsilon"),
    (r"(?<![A-Za-z\\])(exp|log|max|tanh)(?![A-Za-z])", r"\\\1"),
    (r"(?<![A-Za-z\\])([a-z])hat(?![A-Za-z])", r"\\hat{\1}"),
    (r"\binfinity\b", r"\\infty"),
    (r"\bsum_", r"\\sum_"),
    (r"\bsqrt\(([^()]*)\)", r"\\sqrt{\1}"),
    (r"\^\(([^()]*)\)", r"^{\1}"),
    (r"->", r"\\to "),
    (r"(?<![\\\w{])([a-z]{2,})\(", r"\\operatorname{\1}("),
    (r"(?<!\\)_(\w\w+)", r"_{\\mathrm{\1}}"),
    (r"<=", r"\\le "),
    (r">=", r"\\ge "),
    (r"~", r"\\sim "),
    (r"\*", r" "),
)


def _escape(text: str) -> str:
    return "".join(_SPECIAL.get(c, c) for c in text)


def latex_formula(text: str) -> str:
    """A formula in the plain notation of prose, as LaTeX."""
    for pattern, replacement in _FORMULA:
        text = re.sub(pattern, replacement, text)
    return text
