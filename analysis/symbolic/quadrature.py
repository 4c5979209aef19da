"""Certified numbers for Gaussian expectations that have no known closed form.

E[f(x)], x ~ N(mean, variance), is integrated over x = mean + sigma z by Gauss-Legendre rules of two
orders on panels of z. The panels end at the kinks of f, at the scale on which activation functions
bend, and at fixed steps of z, so that each panel sees an analytic function; where the two orders
still disagree, panels are halved.

The stated error has three parts: how far the two orders differ, how far double precision is from
40-digit arithmetic at the nodes that matter most, and the rounding of the sum. A value that cannot
be bounded is not returned: integrals that do not converge raise `DivergentMoment`, all else that
fails raises `QuadratureError`.

Gauss-Hermite rules are deliberately absent: at a kink they lose most of their digits (64 nodes give
elu to 7e-5 only), and they do not say so.
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
from sympy.codegen.cfunctions import expm1, log1p

from analysis.errors import DivergentMoment, NotANumber, QuadratureError, UnsupportedActivation
from analysis.symbolic.gaussian import GaussianExpectation
from analysis.symbolic.pieces import kinks

Array = npt.NDArray[np.float64]

ORDERS = (24, 32)
RULES = [np.polynomial.legendre.leggauss(order) for order in ORDERS]
NODES = np.concatenate([nodes for nodes, _ in RULES])
WEIGHTS = np.zeros((len(ORDERS), len(NODES)))  # one row for each order
WEIGHTS[0, : ORDERS[0]] = RULES[0][1]
WEIGHTS[1, ORDERS[0] :] = RULES[1][1]

REACH = 37.0  # beyond it the normal density is below the smallest normal double
STEPS = np.array([0.0, 1.2, 2.5, 4.0, 6.0, 9.0, 14.0, 22.0, REACH])
STEPS = np.concatenate([-STEPS[:0:-1], STEPS])
BENDS = np.array([0.0, 1.0, 3.0, 8.0, 20.0])  # of activation functions, in x
BENDS = np.concatenate([-BENDS[:0:-1], BENDS])

EPSILON = float(np.finfo(np.float64).eps)
TARGET = 64 * EPSILON  # disagreement of the orders, relative to E|f|, that is left alone
DEEPEST = 60  # halvings, after which the smallest panel is 1e-18 of the first
MOST_PANELS = 4_000
PROBES = 5  # nodes at which double precision is compared with 40 digits
TRUSTED = 1e-12  # largest relative error there for which double precision is good enough


@dataclass(frozen=True)
class Estimate:
    """A value and a bound of its absolute error."""

    value: float
    error: float


@dataclass(frozen=True)
class Integrand:
    """A real function of x in double and in any precision, and where it changes its formula."""

    double: Callable[[Array], Array]
    precise: Callable[[Any], Any]
    kinks: tuple[float, ...]

    def at(self, x: Array) -> Array:
        """f in double precision, recomputed with 40 digits where doubles over- or underflow."""
        with np.errstate(all="ignore"):
            values = np.array(np.broadcast_to(self.double(x), x.shape), dtype=np.float64)
        lost = ~np.isfinite(values)
        if lost.any():
            values[lost] = self.precisely_at(x[lost])
        return values

    def precisely_at(self, x: Array) -> Array:
        """f with 40 digits, rounded to doubles at the end."""
        with mpmath.workdps(40):
            return np.array([float(self.real(mpmath.mpf(float(t)))) for t in x])

    def real(self, x: Any) -> Any:
        """f(x) in the current precision of mpmath; infinite at a pole."""
        try:
            value = self.precise(x)
        except ZeroDivisionError:
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
    modules: list[Any] = ["numpy"]
    if f.has(sp.erf, sp.erfc):
        from scipy.special import erf, erfc  # not at the top: it costs more than NumPy

        modules.insert(0, {"erf": erf, "erfc": erfc})
    return Integrand(
        sp.lambdify(x, _careful(f), modules, cse=True),
        sp.lambdify(x, f, "mpmath", cse=True),
        kinks(f, x),
    )


def _careful(f: Expr) -> Expr:
    """The same function with log(1 + u) and exp(u) - 1 as C99's functions, which do not cancel."""

    def minus_one(e: Expr) -> Expr:
        for term in e.args:
            coefficient, function = term.as_coeff_Mul()
            if isinstance(function, sp.exp) and e == term - coefficient:
                return coefficient * expm1(function.args[0])
        return e

    f = f.replace(
        lambda e: isinstance(e, sp.log) and e.args[0].is_Add and 1 in e.args[0].args,
        lambda e: log1p(e.args[0] - 1),
    )
    return f.replace(lambda e: isinstance(e, sp.Add) and len(e.args) == 2, minus_one)


# ------------------------------------------------------------------------------ double precision


def expectation(f: Integrand, mean: float = 0.0, variance: float = 1.0) -> Estimate:
    """E[f(x)] for x ~ N(mean, variance), with a bound of the error.

    Raises:
        DivergentMoment: the integral does not converge.
        QuadratureError: it may converge, but the error could not be bounded.
    """
    sigma = float(np.sqrt(variance))
    if sigma == 0.0:
        value = float(f.at(np.array([mean]))[0])
        return Estimate(value, 4 * EPSILON * abs(value))
    features = (np.concatenate([BENDS, f.kinks]) - mean) / sigma
    ends = np.unique(np.concatenate([STEPS, features[np.abs(features) < REACH]]))
    panels = _measure(f.at, mean, sigma, ends[:-1], ends[1:])
    _require_decay(panels)
    evaluation_error = _evaluation_error(f, panels)
    if evaluation_error <= TRUSTED:
        return _refine(f.at, mean, sigma, panels, evaluation_error)
    panels = _measure(f.precisely_at, mean, sigma, ends[:-1], ends[1:])
    return _refine(f.precisely_at, mean, sigma, panels, EPSILON)


@dataclass
class _Panels:
    """The integral of |f phi| and f phi over each panel, by both orders."""

    low: Array
    high: Array
    coarse: Array
    fine: Array
    absolute: Array
    x: Array
    terms: Array

    @property
    def disagreement(self) -> Array:
        return np.abs(self.fine - self.coarse)

    def select(self, mask: npt.NDArray[np.bool_]) -> _Panels:
        return _Panels(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))


def _measure(
    f: Callable[[Array], Array], mean: float, sigma: float, low: Array, high: Array
) -> _Panels:
    half = (high - low)[:, None] / 2
    z = half * NODES + (high + low)[:, None] / 2
    x = mean + sigma * z
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    with np.errstate(over="ignore", invalid="ignore"):
        terms = f(x.ravel()).reshape(x.shape) * density * half
        coarse, fine = (terms @ row for row in WEIGHTS)
        absolute = np.abs(terms) @ WEIGHTS[1]
    return _Panels(low, high, coarse, fine, absolute, x, terms)


def _refine(
    f: Callable[[Array], Array], mean: float, sigma: float, panels: _Panels, evaluation_error: float
) -> Estimate:
    """Halve the panels on which the orders disagree, until none is left."""
    count = len(panels.low)
    settled: list[_Panels] = []
    scales: list[float] = []
    while True:
        measured = [*settled, panels]
        scales.append(scale := sum(float(p.absolute.sum()) for p in measured))
        bad = panels.disagreement > TARGET * scale / count
        if not bad.any():
            break
        worst = panels.select(bad)
        settled.append(panels.select(~bad))
        middle = (worst.low + worst.high) / 2
        low, high = np.concatenate([worst.low, middle]), np.concatenate([middle, worst.high])
        panels = _measure(f, mean, sigma, low, high)
        if len(settled) == DEEPEST or len(low) > MOST_PANELS:
            where = float(panels.x[panels.absolute.argmax()].mean())
            raise _failure(scales, where)
    disagreement = sum(float(p.disagreement.sum()) for p in measured)
    rounding = (4 * EPSILON + 2 * evaluation_error) * scale
    return Estimate(sum(float(p.fine.sum()) for p in measured), disagreement + rounding)


def _require_decay(panels: _Panels) -> None:
    """The outermost panels must not matter, or what lies beyond them would."""
    total = panels.absolute.sum()
    for edge in (0, -1):
        if panels.absolute[edge] <= EPSILON * total < np.inf:
            continue
        outward = np.abs(panels.terms[edge, ORDERS[0] :])[:: -1 if edge == 0 else 1]
        if np.isfinite(outward[-1]) and outward[-1] < outward[0]:
            raise QuadratureError("the integrand decays too slowly to be cut off anywhere")
        raise DivergentMoment(
            "the integrand does not decay: the function grows as fast as the normal density "
            "falls, or faster; a smaller variance may help"
        )


def _evaluation_error(f: Integrand, panels: _Panels) -> float:
    """How wrong double precision is at the nodes that contribute most, relative to their sum."""
    contribution = np.abs(panels.terms).ravel()
    probes = np.argpartition(contribution, -PROBES)[-PROBES:]
    x = panels.x.ravel()[probes]
    precise = f.precisely_at(x)
    size = np.abs(precise).sum()
    return float(np.abs(f.at(x) - precise).sum() / size) if size else 0.0


def _failure(scales: list[float], where: float) -> Exception:
    """Halving did not end: either E|f| grew at a steady pace, or it settles too slowly.

    The last third of the halvings is not looked at; there, x itself runs out of digits.
    """
    third = len(scales) // 3
    early, late = (np.median(np.diff(scales[i : i + third])) for i in (0, third))
    if late > max(early / 2, scales[third + third // 2] / 1000):
        return DivergentMoment(f"the function cannot be integrated near x = {where:.6g}")
    return QuadratureError(f"the quadrature does not settle near x = {where:.6g}")


# ------------------------------------------------------------------------------ any precision


def precise_expectation(f: Integrand, mean: Any, variance: Any, digits: int = 30) -> Any:
    """E[f(x)] for x ~ N(mean, variance) in any precision (some 0.1 s for 30 digits).

    Args:
        mean, variance: SymPy numbers, so that they have as many digits as needed.
        digits: of the value if it is above 1, behind the point otherwise.

    Returns:
        An mpmath number.

    Raises:
        QuadratureError: the quadrature's own error estimate is larger than asked for.
    """
    with mpmath.workdps(digits + 15):
        mu, sigma = (v._to_mpmath(mpmath.mp.prec) for v in (mean, sp.sqrt(variance)))
        if sigma == 0:
            return f.real(mu)
        reach = mpmath.sqrt(2 * mpmath.log(10) * (digits + 15)) + 4
        features = [(mpmath.mpf(float(x)) - mu) / sigma for x in (*BENDS, *f.kinks)]
        inner = {*map(mpmath.mpf, (-8, -3, -1, 0, 1, 3, 8)), *features}
        ends = [-reach, *sorted(z for z in inner if abs(z) < reach), reach]
        for method in ("gauss-legendre", "tanh-sinh"):  # the second is for singular ends
            value, error = mpmath.quad(
                lambda z: f.real(mu + sigma * z) * mpmath.npdf(z), ends, error=True, method=method
            )
            if error <= mpmath.mpf(10) ** -digits * max(1, abs(value)):
                return +value
        raise QuadratureError(f"only an error of {mpmath.nstr(error, 2)} could be reached")


# ------------------------------------------------------------------------------ SymPy nodes


def estimate(node: GaussianExpectation) -> Estimate:
    """The certified double-precision value of an inert expectation.

    Raises:
        NotANumber: mean, variance or function contain symbols.
    """
    f, x, mean, variance = node.args
    _require_numbers(node)
    return expectation(integrand(f, x), float(mean), float(variance))


def evaluate(node: GaussianExpectation, digits: int = 30) -> sp.Float:
    """The value of an inert expectation to a number of digits.

    Raises:
        NotANumber: mean, variance or function contain symbols.
        DivergentMoment: the integral does not converge.
    """
    f, x, mean, variance = node.args
    rough = estimate(node)  # refuses what diverges; mpmath would give a number all the same
    size = max(abs(rough.value), rough.error)
    leading_zeros = max(0, -int(np.log10(size))) if size else 0
    value = precise_expectation(integrand(f, x), mean, variance, digits + leading_zeros)
    return sp.Float(value, digits)


def _require_numbers(node: GaussianExpectation) -> None:
    if node.free_symbols:
        names = ", ".join(sorted(map(str, node.free_symbols)))
        raise NotANumber(f"{node} has no numerical value until {names} have values")
