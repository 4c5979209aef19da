"""Gaussian expectations of one activation for many variances at once, and of pairs.

With x = sqrt(q) z and z ~ N(0, 1):

    second  V(q) = E[phi(x)^2]              slope  V'(q) = E[z phi(x) phi'(x)] / sqrt(q)
    chi     X(q) = E[phi'(x)^2]             kernel E[phi(u) phi(v)], (u, v) with correlation c

V' is Stein's lemma. All are Gauss-Legendre sums over panels that end at the kinks of phi and halve
towards 0, so that every scale on which an activation bends has a panel of its own. Two orders give
an estimate of the error.

The kernel is Mehler's series: with a_k = E[phi(sqrt(q) z) h_k(z)], h_k the normalised Hermite
polynomials, E[phi(u) phi(v)] = sum a_k^2 c^k. What is left after K terms is at most
|c|^(K+1) (V - sum a_k^2), which is known. Where that is too much (kinks, c near 1) the kernel is an
iterated integral over v given u.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import sympy as sp

from analysis.symbolic.pieces import kinks, split
from analysis.symbolic.reading import Activation, X
from analysis.symbolic.rules import derivative, rule_of
from tinygrad_edu.ops import arrays

Array = np.ndarray[Any, np.dtype[np.float64]]
Function = Callable[[Array], Array]

REACH = 12.0
"""Standard deviations to which integrals go; the weight beyond is 4e-33."""
OUTER = (REACH, 9.0, 6.5, 4.5, 3.0, 2.0)
GRID = np.logspace(-10, 10, 161)
"""Variances: eight to a decade."""
FINEST = 0.25
"""In x: the panels that halve towards 0 end there."""
ORDERS = (28, 20)
PAIR_ORDERS = (18, 14)
TERMS = 160
"""Of Mehler's series."""
NEGLIGIBLE = 1e-13
"""The part of V that the rest of the series may be."""


@dataclass(frozen=True)
class Curves:
    """V, V' and X at an array of variances."""

    q: Array
    second: Array
    slope: Array
    chi: Array


class Expectations:
    """The expectations of one activation."""

    def __init__(self, activation: Activation) -> None:
        f = activation.expression
        self.phi = function_of(f)
        self._derivative = derivative(f, X)
        self.slope = function_of(self._derivative)
        self.kinks = kinks(f, X)
        self.jumps = has_jumps(f)

    def curves(self, q: Array, order: int = ORDERS[0]) -> Curves:
        """V, V' and X; infinite where the activation overflows."""
        q = np.asarray(q, np.float64)
        z, weight = gaussian_rule(np.sqrt(q), self.kinks, order=order)
        x = np.sqrt(q)[:, None] * z
        with np.errstate(all="ignore"):
            f, d = self.phi(x), self.slope(x)
            second, chi = (_sum(g * g, weight) for g in (f, d))
            slope = (
                _sum(f * f * (z * z - 1), weight) / (2 * q)
                if self.jumps
                else _sum(f * d * z, weight) / np.sqrt(q)
            )
        return Curves(q, second, slope, np.full_like(q, np.inf) if self.jumps else chi)

    @cached_property
    def on_grid(self) -> Curves:
        """The curves on GRID, where fixed points are looked for."""
        return self.curves(GRID)

    @cached_property
    def chi_at_0(self) -> float:
        """The limit of X(q) for q -> 0, from the slopes of phi on either side of 0; infinite if
        they are. Where phi(0) = 0 it is the limit of V(q) / q, too."""
        if self.jumps:
            return math.inf
        pieces = split(self._derivative, X)
        left = next(p.expression for p in pieces if not p.high < 0)
        right = next(p.expression for p in reversed(pieces) if not p.low > 0)
        limits = [complex(slope.subs(X, 0).evalf(20)) for slope in (left, right)]
        finite = all(math.isfinite(abs(limit)) for limit in limits)
        return float(np.mean([limit.real**2 for limit in limits])) if finite else math.inf

    @cached_property
    def fixes_0(self) -> bool:
        """Whether phi(0) = 0."""
        return bool(self.phi(np.zeros(1))[0] == 0)

    def chi_slope(self, q: float) -> float:
        """dX/dq = E[phi'^2 (z^2 - 1)] / (2q)"""
        z, weight = gaussian_rule(np.sqrt(np.array([q])), self.kinks)
        d = self.slope(math.sqrt(q) * z)
        return float(_sum(d * d * (z * z - 1), weight)[0] / (2 * q))

    # -------------------------------------------------------------------------- pairs

    def kernel(self, q: float, c: float, of_slope: bool = False) -> tuple[float, float]:
        """E[phi(u) phi(v)], or E[phi'(u) phi'(v)], and its error; u and v have variance q and
        correlation c."""
        f = self.slope if of_slope else self.phi
        coefficients, total = self._hermite(q, of_slope)
        rest = max(total - float(coefficients @ coefficients), 0.0)
        bound = abs(c) ** len(coefficients) * rest
        if bound <= NEGLIGIBLE * total:
            value = float(np.polynomial.polynomial.polyval(c, coefficients**2))
            return value, bound + 4e-15 * total
        fine, coarse = (self._iterated(f, q, c, order) for order in PAIR_ORDERS)
        return fine, abs(fine - coarse) + 4e-15 * total

    @lru_cache(maxsize=64)  # noqa: B019 - the few objects live as long as the process
    def _hermite(self, q: float, of_slope: bool) -> tuple[Array, float]:
        """a_k, k < TERMS, and E[f^2]."""
        z, weight = (a[0] for a in gaussian_rule(np.sqrt(np.array([q])), self.kinks, parts=2))
        f = (self.slope if of_slope else self.phi)(math.sqrt(q) * z)
        weighted = f * weight
        coefficients = np.empty(TERMS)
        before, h = np.zeros_like(z), np.ones_like(z)
        for k in range(TERMS):
            coefficients[k] = weighted @ h
            before, h = h, (z * h - math.sqrt(k) * before) / math.sqrt(k + 1)
        return coefficients, float(weighted @ f)

    def _iterated(self, f: Function, q: float, c: float, order: int) -> float:
        """E[f(u) E[f(v) | u]], v = c u + sqrt(1 - c^2) w."""
        sigma, spread = math.sqrt(q), math.sqrt(max((1 - c) * (1 + c), 0.0))
        steps = np.array([0.0, 1.0, 2.5, 6.0]) * spread
        near = [k / sigma + sign * step for k in self.kinks for step in steps for sign in (-1, 1)]
        z, weight = gaussian_rule(
            np.array([sigma]), [*self.kinks, *(sigma * np.array(near))], order=order
        )
        u = sigma * z[0]
        if spread == 0:
            return float(weight[0] @ (f(u) * f(c * u)))
        scale = sigma * spread
        w, inner_weight = gaussian_rule(np.full(len(u), scale), self.kinks, c * u, order=order)
        inner = _sum(f(c * u[:, None] + scale * w), inner_weight)
        return float(weight[0] @ (f(u) * inner))


def gaussian_rule(
    sigma: Array,
    kinks: Sequence[float],
    mean: Array | float = 0.0,
    order: int = ORDERS[0],
    parts: int = 1,
) -> tuple[Array, Array]:
    """Nodes z and weights, a row for each sigma, for expectations of g(mean + sigma z).

    Args:
        sigma: (rows,), not negative.
        kinks: where g changes its formula.
        mean: (rows,) or a number.
        order: of the Gauss-Legendre rule on each panel.
        parts: into which each panel is cut.
    """
    finest = FINEST / max(float(sigma.max(initial=0.0)), FINEST)
    halves = 2.0 ** -np.arange(math.ceil(-math.log2(finest)) + 1.0)
    edges = np.concatenate([OUTER, halves, [0.0], -halves, [-edge for edge in OUTER]])
    center = -np.asarray(mean, np.float64) / np.maximum(sigma, 1e-300)
    rows = np.broadcast_to(edges, (len(sigma), len(edges)))
    if np.any(center):
        near = np.concatenate([halves, [0.0], -halves])
        rows = np.concatenate([rows, near + center[:, None]], axis=1)
    if len(kinks):
        at = (np.asarray(kinks) - np.reshape(mean, (-1, 1))) / np.maximum(sigma, 1e-300)[:, None]
        rows = np.concatenate([rows, np.broadcast_to(at, (len(sigma), len(kinks)))], axis=1)
    rows = np.sort(np.clip(rows, -REACH, REACH), axis=1)
    if parts > 1:
        inner = [rows[:, :-1] + np.diff(rows) * i / parts for i in range(parts)]
        rows = np.sort(np.concatenate([*inner, rows[:, -1:]], axis=1), axis=1)
    nodes, weights = _legendre(order)
    half = np.diff(rows, axis=1)[:, :, None] / 2
    z = ((rows[:, 1:] + rows[:, :-1])[:, :, None] / 2 + half * nodes).reshape(len(sigma), -1)
    w = (half * weights).reshape(len(sigma), -1)
    return z, w * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


_legendre = lru_cache(np.polynomial.legendre.leggauss)


def _sum(g: Array, weight: Array) -> Array:
    total: Array = np.einsum("bn,bn->b", g, weight)
    return np.where(np.isnan(total), np.inf, total)


def function_of(f: sp.Expr) -> Function:
    """A formula in X as a function of arrays."""
    if not f.has(X):
        number = float(f)
        return lambda x: np.full_like(x, number)
    rule = rule_of(f, X)

    def function(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(rule(arrays, x), np.float64)

    return function


def has_jumps(f: sp.Expr) -> bool:
    """Whether f is discontinuous at a kink."""
    pieces = split(f, X)
    for left, right in pairwise(pieces):
        difference = (left.expression - right.expression).subs(X, left.high).evalf(20, chop=True)
        if not abs(difference) < 1e-15:
            return True
    return False
