"""Fixed points of the variance and the correlation map, and the edge of chaos.

Fixed points are looked for where the map crosses the diagonal on a grid of variances, and where it
approaches the diagonal between two grid points and turns back. The crossing is then bisected, and
its error is what the error of the map becomes: an error e of the map moves the fixed point by
e / |1 - slope|.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from analysis.dynamics.expectations import GRID, Array, Expectations
from analysis.dynamics.number import Number
from analysis.errors import NoFixedPoint

if TYPE_CHECKING:
    from analysis.dynamics.maps import Maps

SAME = 1e-9
"""Relative: fixed points closer than this are one."""
FLAT = 1e-12
"""Relative: a map this near the diagonal lies on it, as far as double precision can tell."""


@dataclass(frozen=True)
class FixedPoint:
    """A variance that a layer reproduces.

    Attributes:
        q: the variance; infinite where it grows without bound.
        slope: of the variance map there; the fixed point attracts if it is between -1 and 1.
        stable: whether it attracts.
        chi_1: what a small perturbation's square is multiplied by; above 1 the phase is chaotic.
        c: the correlation that two inputs end with; nan where the variance vanishes.
        c_slope: the slope of the correlation map there.
        message: in words.
        others: the other fixed points, 0 and infinity among them.
    """

    q: Number
    slope: Number
    stable: bool
    chi_1: Number
    c: Number
    c_slope: Number
    message: str
    others: tuple[FixedPoint, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Critical:
    """A point on the edge of chaos: chi_1 = 1 at a fixed point of the variance map.

    Attributes:
        sigma_w2, sigma_b2: the variances of weights (times fan_in) and biases.
        q: the fixed point; None if any variance is one.
        slope: of the variance map there.
        stable: whether the variance is attracted to q.
        message: in words.
        others: further solutions.
    """

    sigma_w2: Number
    sigma_b2: float
    q: Number | None
    slope: Number
    stable: bool
    message: str
    others: tuple[Critical, ...] = field(default=(), repr=False)


# ------------------------------------------------------------------------------ variance


def fixed_points(maps: Maps, w: float, b: float, start: float) -> FixedPoint:
    """The fixed point that the variance reaches from `start`, with the others."""
    expect = maps._expect
    excess = _significant(w * expect.on_grid.second + b - GRID)
    if not np.any(excess):
        return _described(maps, w, b, start, "the variance stays where it is, whatever it is")
    found = list(_roots(expect, excess, w, b))
    ends = _ends(expect, w, b, excess)
    reached = _reached(expect, sorted({*found, *ends}), w, b, start)
    values = sorted({*found, *ends, reached})
    points = {q: _described(maps, w, b, q) for q in values}
    others = tuple(point for q, point in points.items() if q != reached)
    return replace(points[reached], others=others)


def _significant(difference: Array) -> Array:
    """A difference from the grid's variances, 0 where it is only rounding."""
    return np.where(np.abs(difference) > FLAT * GRID, difference, 0.0)


def _roots(expect: Expectations, excess: Array, w: float, b: float) -> Iterator[float]:
    """Where w V(q) + b = q, between the ends of the grid."""

    def above(q: float) -> float:
        return float(w * expect.curves(np.array([q])).second[0] + b - q)

    def steeper(q: float) -> float:
        return float(w * expect.curves(np.array([q])).slope[0] - 1)

    with np.errstate(all="ignore"):
        slopes = w * expect.on_grid.slope - 1
    yield from (bisected(above, low, high) for low, high in crossings(excess))
    signs, turns = np.sign(excess), np.sign(slopes)
    back = (signs[:-1] == signs[1:]) & (signs[:-1] * turns[:-1] < 0) & (signs[1:] * turns[1:] > 0)
    for i in np.flatnonzero(back):
        turn = bisected(steeper, GRID[i], GRID[i + 1])
        if above(turn) * signs[i] < 0:
            yield bisected(above, GRID[i], turn)
            yield bisected(above, turn, GRID[i + 1])


def crossings(values: Array) -> Iterator[tuple[float, float]]:
    """Grid points between which the values change sign; zeros between them do not count."""
    places = np.flatnonzero(values)
    for i, j in pairwise(places):
        if (values[i] > 0) != (values[j] > 0):
            yield float(GRID[i]), float(GRID[j])


def bisected(f: Callable[[float], float], low: float, high: float) -> float:
    """A root of f between two points at which it has opposite signs: bisection, made quick by the
    secant (the rule of Illinois)."""
    at_low, at_high = f(low), f(high)
    if at_low == 0:
        return float(low)
    if not math.isfinite(at_high) or not math.isfinite(at_low):
        at_high, at_low = math.copysign(1.0, at_high), math.copysign(1.0, at_low)
    kept = 0
    for _ in range(200):
        middle = (low * at_high - high * at_low) / (at_high - at_low) if at_high != at_low else low
        if not low < middle < high:
            middle = (low + high) / 2
        value = f(middle)
        if value == 0 or high - low <= 4e-16 * high:
            return float(middle)
        if (value > 0) == (at_low > 0):
            low, at_low = middle, value
            at_high, kept = (at_high / 2, -1) if kept == -1 else (at_high, -1)
        else:
            high, at_high = middle, value
            at_low, kept = (at_low / 2, 1) if kept == 1 else (at_low, 1)
    return float((low + high) / 2)


def bisect(left_of: Callable[[float], bool], low: float, high: float) -> float:
    """Where a condition that holds at `low` and not at `high` ends."""
    while high - low > 4e-16 * max(abs(low), abs(high)):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if left_of(middle) else (low, middle)
    return float(low + high) / 2


def _ends(expect: Expectations, w: float, b: float, excess: Array) -> list[float]:
    """0 if it is a fixed point, infinity if the largest variances grow."""
    ends = []
    if b == 0 and expect.fixes_0:
        ends.append(0.0)
    if not excess[-1] < 0:
        ends.append(math.inf)
    return ends


def _reached(expect: Expectations, values: list[float], w: float, b: float, start: float) -> float:
    """Where iteration from `start` ends. An increasing map moves q towards the next fixed point; of
    any other, layers are counted."""
    q = start
    rise = float(w * expect.curves(np.array([q])).second[0] + b - q)
    close = [v for v in values if abs(v - q) <= SAME * q]
    if close or abs(rise) <= FLAT * q:
        return close[0] if close else q
    if np.all(expect.on_grid.slope >= 0):
        rises = rise > 0
        beyond = [v for v in values if (v > q) == rises]
        return (min if rises else max)(beyond, default=math.inf if rises else 0.0)
    for _ in range(1000):
        q = min(float(w * expect.curves(np.array([q])).second[0] + b), 1e30)
    return min(values, key=lambda v: abs(math.log(max(v, 1e-30) / max(q, 1e-30))))


def _described(maps: Maps, w: float, b: float, q: float, message: str = "") -> FixedPoint:
    """The fixed point at q, with its errors."""
    if q in (0.0, math.inf):
        return _at_an_end(maps, w, b, q)
    slope = maps.second_slope(q)
    slope = Number(w * slope, w * slope.error)
    value = maps.second(q)
    off = abs(w * value + b - q) + w * value.error
    value_q = Number(q, off / abs(1 - slope) if abs(1 - slope) > SAME else 0.0)
    chi = maps.chi(q, w)
    c, c_slope = _correlation(maps, w, b, q, chi)
    stable = bool(abs(slope) + slope.error < 1)
    message = message or (
        "the variance is attracted" if stable else "the variance leaves it, to either side"
    )
    return FixedPoint(value_q, slope, stable, chi, c, c_slope, _phase(message, chi))


def _phase(message: str, chi: Number) -> str:
    if abs(chi - 1) <= SAME + chi.error:
        return f"{message}; on the edge of chaos"
    return f"{message}; {'chaotic: inputs part' if chi > 1 else 'ordered: inputs become alike'}"


def _at_an_end(maps: Maps, w: float, b: float, q: float) -> FixedPoint:
    """0 and infinity: the slope is the limit of V(q) / q, at infinity read off the grid's end."""
    expect = maps._expect
    excess = _significant(w * expect.on_grid.second + b - GRID)
    nan = Number(math.nan)
    if q == 0:
        slope = chi = Number(w * expect.chi_at_0)
        stable = bool(slope < 1 - FLAT or (slope <= 1 + FLAT and _first(excess) < 0))
        message = "the variance vanishes" if stable else "no variance at all; any other leaves it"
    else:
        end = expect.on_grid
        slope, chi = (Number(float(w * values[-1])) for values in (end.second / GRID, end.chi))
        stable, message = True, "the variance grows without bound"
    return FixedPoint(Number(q), slope, stable, chi, nan, nan, message)


def _first(values: Array) -> float:
    """The first that is not 0; 0 if all are."""
    return float(next((v for v in values if v), 0.0))


# ------------------------------------------------------------------------------ correlation


def _correlation(maps: Maps, w: float, b: float, q: float, chi: Number) -> tuple[Number, Number]:
    """The correlation that inputs end with, and the slope of its map there.

    The map's series has no negative coefficient, so on [0, 1] it is convex and ends at 1. With
    chi_1 <= 1 it stays above the diagonal and all inputs end alike; with chi_1 > 1 it crosses once
    below 1, where Newton's method from 0 arrives from one side.
    """
    if chi <= 1 + max(SAME, chi.error):
        return Number(1.0), chi
    c, last = 0.0, math.inf
    while True:
        value, slope = maps.kernel(q, c), maps.kernel(q, c, of_slope=True)
        step = ((w * value + b) / q - c) / max(1 - w * slope, FLAT)
        if not 0 < step < last:  # from here on rounding moves it
            break
        c, last = min(c + step, 1.0), step
    slope = maps.kernel(q, c, of_slope=True)
    steep = Number(w * slope, w * slope.error)
    error = w * value.error / q / max(1 - steep, 1e-9)
    return Number(max(c, 0.0), error), steep


# ------------------------------------------------------------------------------ edge of chaos


def critical_points(maps: Maps, b: float) -> Critical:
    """All (sigma_w2, q) with chi_1 = 1 and q fixed, the first attracting one in front.

    Along w = 1 / X(q) the edge asks for h(q) = q - V(q) / X(q) - b = 0.
    """
    expect = maps._expect
    if expect.jumps:
        raise NoFixedPoint(
            f"{maps.activation.name} jumps, so that chi is infinite: every such network is chaotic"
        )
    with np.errstate(all="ignore"):
        h = GRID - expect.on_grid.second / expect.on_grid.chi
    if not np.any(_significant(h)):
        return _of_a_rectifier(maps, b)

    def edge(q: float) -> float:
        at = expect.curves(np.array([q]))
        return float(q - at.second[0] / at.chi[0] - b)

    found = [bisected(edge, low, high) for low, high in crossings(_significant(h - b))]
    if b == 0 and expect.fixes_0 and 0 < expect.chi_at_0 < math.inf:
        found = [0.0, *found]
    solutions = sorted((_edge_at(maps, b, q) for q in found), key=lambda e: not e.stable)
    if not solutions:
        raise NoFixedPoint(
            f"{maps.activation.name} has no edge of chaos with sigma_b2 = {b:g}: no fixed point of "
            "the variance map has chi_1 = 1"
        )
    return replace(solutions[0], others=tuple(solutions[1:]))


def _of_a_rectifier(maps: Maps, b: float) -> Critical:
    if b != 0:
        raise NoFixedPoint(
            f"{maps.activation.name} has its edge of chaos at sigma_b2 = 0 only: with chi_1 = 1 "
            f"the variance map is q + sigma_b2, so that the variance grows by {b:g} a layer"
        )
    chi = maps.derivative_second(1.0)
    return Critical(
        Number(1 / chi, chi.error / chi**2),
        b,
        None,
        Number(1.0),
        False,
        "any variance stays where it is; without biases only",
    )


def _edge_at(maps: Maps, b: float, q: float) -> Critical:
    if q == 0:
        w = Number(1 / maps._expect.chi_at_0)
        point = _at_an_end(maps, w, b, 0.0)
        falls = "the variance falls to 0, slower than exponentially"
        message = falls if point.stable else "the variance does not stay near 0"
        return Critical(w, b, Number(0.0), Number(1.0), point.stable, message)
    second, chi, slope = maps.second(q), maps.derivative_second(q), maps.second_slope(q)
    bend = maps._expect.chi_slope(q)
    off = abs(q - second / chi - b) + second.error / chi + second * chi.error / chi**2
    steep = abs(1 - slope / chi + second * bend / chi**2)
    moved = off / max(steep, 1e-12)
    w = Number(1 / chi, (chi.error + abs(bend) * moved) / chi**2)
    steepness = Number(w * slope, w * slope.error + slope * w.error)
    stable = bool(steepness < 1)
    message = "the variance is attracted" if stable else "the variance leaves this fixed point"
    return Critical(w, b, Number(q, moved), steepness, stable, message)
