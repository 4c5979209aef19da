"""Where an activation works: how often a unit is saturated, near-linear, or off.

For a pre-activation x ~ N(mean, variance):

    saturated   P(|phi'(x)| < eps)                    hardly any gradient comes through
    off         P(phi'(x) = 0)                        none at all (relu below 0)
    linear      P(|phi'(x) - s| <= tolerance |s|)     the slope is that of the best straight line
    alignment   s^2 Var(x) / Var(phi(x))              how much of the output that line explains

s = Cov(phi(x), x) / Var(x) is the slope of the least-squares line through phi, E[phi'(x)] where phi
does not jump (Stein's lemma). So a unit counts as linear where it runs parallel to the line that
describes it best, and not where it merely has some constant slope: a relu at mean 0 is made of two
lines, and has no near-linear region. `alignment` is the squared correlation of phi(x) with x; 1
means that the layer is linear for this input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import sympy as sp

from analysis.dynamics.expectations import Array, Function, function_of, has_jumps
from analysis.dynamics.fixed_points import bisect
from analysis.dynamics.number import EPSILON, Number
from analysis.errors import DivergentMoment, InputError
from analysis.symbolic.activations import Moments, moments
from analysis.symbolic.pieces import split
from analysis.symbolic.reading import X
from analysis.symbolic.rules import derivative

SPAN = 10.0
"""Standard deviations that are searched; the rest has probability 2e-23."""
SAMPLES = 4001
"""Points between which a boundary is looked for."""
BENDS = np.concatenate([[0.0], np.logspace(-3, 3, 241)])
"""In x, where activations bend, whatever the variance is."""


@dataclass(frozen=True)
class Regions:
    """Probabilities under x ~ N(mean, variance); see the module.

    Attributes:
        saturated, off, linear: probabilities.
        alignment: between 0 and 1.
        slope: s, the slope of the best straight line.
    """

    saturated: Number
    off: Number
    linear: Number
    alignment: Number
    slope: Number


def regions(
    activation: Any,
    mean: float = 0.0,
    variance: float = 1.0,
    *,
    eps: float = 0.05,
    tolerance: float = 0.05,
    **parameters: Any,
) -> Regions:
    """How often a unit is saturated, near-linear or off, for a pre-activation N(mean, variance).

    Args:
        activation, parameters: as for `analysis.moments`.
        mean, variance: of the pre-activation.
        eps: a slope below it counts as saturated.
        tolerance: a slope this near that of the best line, relatively, counts as linear.

    Raises:
        UnknownActivation, UnsupportedActivation, InputError: the activation cannot be read, or
            eps or tolerance is not in (0, 1).
        InvalidLaw: the variance is negative.
    """
    for name, value in (("eps", eps), ("tolerance", tolerance)):
        if not 0 < value < 1:
            raise InputError(f"{name} must lie between 0 and 1, not {value}.")
    of_x = moments(activation, mean, variance, **parameters)
    s = _best_slope(of_x)
    region = _Line(derivative(of_x.activation.expression, X), float(mean), float(variance))
    return Regions(
        saturated=region.probability((-eps, eps), lambda d: abs(d) < eps),
        off=region.off(),
        linear=region.probability(
            (s * (1 - tolerance), s * (1 + tolerance)), lambda d: abs(d - s) <= tolerance * abs(s)
        ),
        alignment=_alignment(s, float(variance), of_x),
        slope=s,
    )


def _best_slope(of_x: Moments) -> Number:
    phi, (mean, variance) = of_x.activation, of_x.at
    if has_jumps(phi.expression) and variance != 0:
        found = of_x.expectation((X - mean) * phi.expression)
        return Number(float(found) / float(variance), found.error / float(variance))
    found = of_x.expectation(phi.derivative)
    return Number(float(found), found.error)


def _alignment(s: Number, variance: float, of_x: Moments) -> Number:
    try:
        spread = of_x.variance
    except DivergentMoment:
        return Number(0.0)
    if variance == 0 or float(spread) == 0:
        return Number(1.0)
    value = s**2 * variance / float(spread)
    relative = 2 * s.error / abs(s) if s else 0.0
    return Number(min(value, 1.0), value * (relative + spread.error / float(spread)))


class _Line:
    """phi' along the line of x, and the normal law on it."""

    def __init__(self, slope: sp.Expr, mean: float, variance: float) -> None:
        self.mean, self.sigma = mean, math.sqrt(variance)
        self.pieces = [(p.expression, float(p.low), float(p.high)) for p in split(slope, X)]
        reach = SPAN * self.sigma
        x = np.concatenate([mean + np.linspace(-reach, reach, SAMPLES), BENDS, -BENDS])
        self.x = np.unique(x[np.abs(x - mean) <= reach])

    def off(self) -> Number:
        """The probability of the pieces on which phi' is 0."""
        return Number(
            sum(self.weight(low, high) for expression, low, high in self.pieces if expression == 0)
        )

    def probability(self, levels: Sequence[float], holds: Callable[[float], bool]) -> Number:
        """The probability that a condition on phi' holds, which changes only where phi' crosses a
        level: the crossings are looked for between the samples of each piece, and bisected."""
        total, count = 0.0, 0
        for expression, low, high in self.pieces:
            f = function_of(expression)
            x = self.x[(self.x > low) & (self.x < high)]
            edges = sorted(edge for level in levels for edge in _crossings(f, x, level))
            ends = [low, *edges, high]
            count += len(edges)
            for a, b in pairwise(ends):
                near_a, near_b = max(a, self.x[0]), min(b, self.x[-1])
                if near_a <= near_b and holds(float(f(np.array([(near_a + near_b) / 2]))[0])):
                    total += self.weight(a, b)
        return Number(min(total, 1.0), count * 4 * EPSILON)

    def weight(self, low: float, high: float) -> float:
        """P(low < x < high)"""
        if self.sigma == 0:
            return float(low < self.mean <= high)
        a, b = ((t - self.mean) / (self.sigma * math.sqrt(2)) for t in (low, high))
        if a > 0:  # by the smaller tails, which keep their digits
            return (math.erfc(a) - math.erfc(b)) / 2
        return (math.erfc(-b) - math.erfc(-a)) / 2


def _crossings(f: Function, x: Array, level: float) -> Iterator[float]:
    """Where f crosses a level between two of the points."""

    def above(t: float) -> bool:
        return bool(f(np.array([t]))[0] > level)

    def not_above(t: float) -> bool:
        return not above(t)

    sides = f(x) > level
    for i in np.flatnonzero(sides[1:] != sides[:-1]):
        yield bisect(above if sides[i] else not_above, x[i], x[i + 1])
