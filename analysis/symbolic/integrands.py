"""What a quadrature evaluates: a function of x, in double and in any precision.

In double precision it is the rule that the engine would run (`rules.py`), which keeps its digits;
in mpmath's the formula as it stands, but for 1 + erf(u), and for exponentials whose result would
not fit into the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
import sympy as sp
from sympy import Expr, Symbol

from analysis.errors import NotANumber, UnsupportedActivation
from analysis.symbolic.pieces import split
from analysis.symbolic.rules import rule_of
from tinygrad_edu.ops import arrays

Array = npt.NDArray[np.float64]

PRECISE = 120  # digits; enough for what tanh(50) lacks to 1, squared
COMPLEMENT = sp.Function("complement")
HUGE = 1e15  # exponents beyond it


@dataclass(frozen=True)
class Integrand:
    """A real function of x in double and in any precision, and where it changes its formula."""

    double: Callable[[Array], Array]
    precise: Callable[[Any], Any]
    kinks: tuple[float, ...]
    precise_kinks: tuple[Expr, ...] = ()

    def at(self, x: Array) -> Array:
        """f in double precision, recomputed with many digits where doubles over- or underflow."""
        with np.errstate(all="ignore"):
            values = np.array(np.broadcast_to(self.double(x), x.shape), dtype=np.float64)
        lost = ~np.isfinite(values)
        if lost.any():
            values[lost] = self.precisely_at(x[lost])
        return values

    def precisely_at(self, x: Array) -> Array:
        """f with PRECISE digits, rounded to doubles at the end."""
        with mpmath.workdps(PRECISE):
            return np.array([float(self.real(mpmath.mpf(float(t)))) for t in x])

    def real(self, x: Any) -> Any:
        """f(x) in the current precision of mpmath; infinite at a pole."""
        try:
            value = self.precise(x)
        except (ZeroDivisionError, ValueError):  # the latter by gamma
            return mpmath.inf
        if isinstance(value, mpmath.mpc) and value.imag != 0:
            raise UnsupportedActivation(f"the function is not real at {mpmath.nstr(x, 6)}")
        return mpmath.mpf(value.real)


@lru_cache(maxsize=512)
def integrand(f: Expr, x: Symbol) -> Integrand:
    """Compile a SymPy expression in x.

    Raises:
        NotANumber: f contains other symbols.
        UnsupportedActivation: its branches cannot be read (`pieces.split`).
    """
    if f.free_symbols - {x}:
        names = ", ".join(sorted(map(str, f.free_symbols - {x})))
        raise NotANumber(f"{f} has no numerical expectation until {names} have values")
    ends = tuple(piece.low for piece in split(f, x)[1:])
    return Integrand(_double(f, x), guarded(f, x), tuple(map(float, ends)), ends)


def _double(f: Expr, x: Symbol) -> Callable[[Array], Array]:
    """In double precision: by the engine's ops where it has them, as they lose no digits."""
    try:
        rule = rule_of(f, x)
    except UnsupportedActivation:
        return _lambdified(f, x, ["scipy", "numpy"])
    return lambda t: rule(NUMERIC, t)


class _Numeric:
    """The engine's functions of arrays, and erfc."""

    def __getattr__(self, name: str) -> Any:
        return getattr(arrays, name)

    def erfc(self, x: Array) -> Array:
        """1 - erf(x)"""
        from scipy.special import erfc  # not at the top: it costs more than NumPy

        return np.asarray(erfc(x))


NUMERIC = _Numeric()


def guarded(f: Expr, x: Symbol) -> Callable[[Any], Any]:
    """In mpmath's precision, but with exp(u) infinite or 0 where |u| > 1e15: mpmath would fill the
    memory with the digits of u / log(2)."""
    careful = {"exp": _exp, "sinh": _sinh, "cosh": _cosh, "complement": mpmath.erfc}
    careful |= {name: _periodic(getattr(mpmath, name)) for name in ("sin", "cos", "tan")}
    return _lambdified(_with_complements(f), x, [careful, "mpmath"])


def _with_complements(f: Expr) -> Expr:
    """1 + erf(u) as erfc(-u), of which mpmath has all digits; SymPy would turn it back."""

    def joined(e: Expr) -> Expr:
        constant, rest = e.as_coeff_Add()
        factor, function = rest.as_coeff_Mul()
        if isinstance(function, sp.erf) and constant in (factor, -factor):
            return constant * COMPLEMENT(-factor / constant * function.args[0])
        return e

    return f.replace(lambda e: isinstance(e, sp.Add), joined)


def _lambdified(f: Expr, x: Symbol, modules: list[Any]) -> Callable[[Any], Any]:
    try:
        function: Callable[[Any], Any] = sp.lambdify(x, f, modules, cse=True)
        with np.errstate(all="ignore"):  # branches that are not taken are computed all the same
            function(1.5)
    except (NameError, TypeError, NotImplementedError, AttributeError) as error:
        raise UnsupportedActivation(f"{f} cannot be computed: {error}") from None
    except (ArithmeticError, ValueError):
        pass  # no value at this one point
    return function


def _periodic(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """NaN where the argument alone has more than some 5000 digits before the point."""
    return lambda u: function(u) if mpmath.mag(u) < 16_000 else mpmath.nan


def _exp(u: Any) -> Any:
    if abs(mpmath.re(u)) <= HUGE:
        return mpmath.exp(u)
    return mpmath.inf if mpmath.re(u) > 0 else mpmath.mpf(0)


def _sinh(u: Any) -> Any:
    return mpmath.sinh(u) if abs(mpmath.re(u)) <= HUGE else mpmath.sign(u) * mpmath.inf


def _cosh(u: Any) -> Any:
    return mpmath.cosh(u) if abs(mpmath.re(u)) <= HUGE else mpmath.inf
