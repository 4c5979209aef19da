"""Certified numbers for Gaussian expectations that have no known closed form.

E[f(x)], x ~ N(mean, variance), is integrated over x = mean + sigma z by Gauss-Legendre rules of two
orders on panels of z. The panels end at the kinks of f, at the scale on which activation functions
bend, and at fixed steps of z, so that each panel sees an analytic function; where the two orders
still disagree, panels are halved.

The stated error has three parts: how far the two orders differ, how far double precision is from
many-digit arithmetic at the nodes that matter most, and the rounding of the sum. A value that
cannot be bounded is not returned: integrals that do not converge raise `DivergentMoment`, all else
that fails raises `QuadratureError`.

Gauss-Hermite rules are deliberately absent: at a kink they lose most of their digits (64 nodes give
elu to 7e-5 only), and they do not say so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
import sympy as sp

from analysis.errors import DivergentMoment, NotANumber, QuadratureError
from analysis.symbolic.gaussian import GaussianExpectation
from analysis.symbolic.integrands import Array, Integrand
from analysis.symbolic.integrands import integrand as integrand

ORDERS = (24, 32)
RULES = [np.polynomial.legendre.leggauss(order) for order in ORDERS]
NODES = np.concatenate([nodes for nodes, _ in RULES])
WEIGHTS = np.zeros((len(ORDERS), len(NODES)))  # one row for each order
WEIGHTS[0, : ORDERS[0]] = RULES[0][1]
WEIGHTS[1, ORDERS[0] :] = RULES[1][1]

REACH = 37.0  # beyond it the normal density is below the smallest normal double
STEPS = np.array([0.0, 1.2, 2.5, 4.0, 6.0, 9.0, 14.0, 22.0, 26.0, 30.0, 34.0, REACH])
STEPS = np.concatenate([-STEPS[:0:-1], STEPS])
BENDS = np.array([0.0, 1.0, 3.0, *8 * 2.5 ** np.arange(24)])  # of activation functions, in x
BENDS = np.concatenate([-BENDS[:0:-1], BENDS])

EPSILON = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).tiny)  # what may have become 0
TARGET = 64 * EPSILON  # disagreement of the orders, relative to E|f|, that is left alone
DEEPEST = 60  # halvings, after which the smallest panel is 1e-18 of the first
MOST_PANELS = 4_000
PROBES = 5  # nodes at which double precision is compared with PRECISE digits
FINE = 25  # digits of a precise estimate
MOST_DECIMALS = 200  # of one; the time grows with their square
TRUSTED = 1e-12  # largest relative error there for which double precision is good enough


@dataclass(frozen=True)
class Estimate:
    """A value and a bound of its absolute error."""

    value: float
    error: float


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
    if _decays(panels):
        evaluation_error = _evaluation_error(f, panels)
        if evaluation_error <= TRUSTED:
            return _refine(f.at, mean, sigma, panels, evaluation_error)
    panels = _measure(f.precisely_at, mean, sigma, ends[:-1], ends[1:])
    _require_decay(panels)
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

    @property
    def collapsed(self) -> npt.NDArray[np.bool_]:
        """Where x itself has too few digits to tell the nodes apart: the orders agree by that."""
        spacing = np.spacing(np.abs(self.x).max(axis=1))
        close: npt.NDArray[np.bool_] = np.ptp(self.x, axis=1) < 64 * spacing
        return close

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
        if not np.isfinite(scale):
            where = float(panels.x[~np.isfinite(panels.terms)][0])
            raise DivergentMoment(f"the function is infinite at x = {where:.6g}")
        bad = panels.disagreement > TARGET * scale / count
        bad |= panels.collapsed & (panels.absolute > TARGET * scale / count)
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
    rounding = (4 * EPSILON + 2 * evaluation_error) * scale + TINY
    return Estimate(sum(float(p.fine.sum()) for p in measured), disagreement + rounding)


def _decays(panels: _Panels) -> bool:
    """Whether double precision sees it. It may not: tanh(x) - tanh(50) is 0 but for far nodes."""
    try:
        _require_decay(panels)
    except (DivergentMoment, QuadratureError):
        return False
    return True


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
        kinks = [sp.N(x, digits + 15)._to_mpmath(mpmath.mp.prec) for x in f.precise_kinks]
        features = [(x - mu) / sigma for x in (*map(mpmath.mpf, BENDS), *kinks)]
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
    compiled = integrand(f, x)
    return expectation(compiled, float(mean), float(variance))


def precise_estimate(node: GaussianExpectation) -> Estimate:
    """The value as `estimate` gives it, with an error far below rounding where it is small: for
    differences of which little is left."""
    f, x, mean, variance = node.args
    rough = estimate(node)
    if _decimals(rough, FINE) > MOST_DECIMALS:
        return rough
    try:
        value = precise_expectation(integrand(f, x), mean, variance, _decimals(rough, FINE))
    except QuadratureError:
        return rough
    return Estimate(float(value), abs(float(value)) * EPSILON + 10.0 ** -_decimals(rough, FINE - 3))


def _decimals(rough: Estimate, digits: int) -> int:
    """How many decimals a value needs in order to have these digits."""
    size = max(abs(rough.value), rough.error)
    return digits + max(0, -int(np.log10(size)))


def evaluate(node: GaussianExpectation, digits: int = 30) -> sp.Float:
    """The value of an inert expectation to a number of digits.

    Raises:
        NotANumber: mean, variance or function contain symbols.
        DivergentMoment: the integral does not converge.
    """
    f, x, mean, variance = node.args
    _require_numbers(node)
    compiled = integrand(f, x)  # the rough value refuses what diverges; mpmath would give a number
    rough = expectation(compiled, float(mean), float(variance))
    decimals = _decimals(rough, digits) if rough.value or rough.error else digits
    value = precise_expectation(compiled, mean, variance, decimals)
    return sp.Float(value, digits)


def _require_numbers(node: GaussianExpectation) -> None:
    if node.free_symbols:
        names = ", ".join(sorted(map(str, node.free_symbols)))
        raise NotANumber(f"{node} has no numerical value until {names} have values")
