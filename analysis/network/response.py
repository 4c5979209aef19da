"""How an elementwise function responds to Gaussian input: every expectation that propagation needs.

All are integrals E[g(sqrt(q) z)], z ~ N(0, 1), for a whole array of variances q at once, by
Gauss-Legendre panels that are split at the function's kinks and where a saturating function turns
over. Derivatives with respect to q come from the Hermite weights (Stein's lemma), so the function
is never differentiated more than its own rule is, and kinks need no care:

    d/dq E[g] = E[g He2(z)] / (2 q),      d2/dq2 E[g] = E[g He4(z)] / (4 q^2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

_REACH = 10.0
"""Panels end at 10 standard deviations: what lies beyond has weight 2e-23."""
_STANDARD = (-6.0, -4.0, -2.5, -1.25, 0.0, 1.25, 2.5, 4.0, 6.0)
_TURNS = (0.5, 1.5, 4.0, 10.0, 25.0)
"""Where saturating functions change character, in units of their input."""
SMALLEST = 1e-140
"""The variance at which the limits at 0 are taken: below what any dying signal comes to, but so
that its square is still a double."""
_LEGENDRE = np.polynomial.legendre.leggauss(20)
NOT_POSITIVE = -np.array([0.0, 1e-9, 1e-3, 0.1, 1.0, 5.0, 30.0, 1e3])


@dataclass(frozen=True)
class Response:
    """Expectations of phi and its derivative under N(0, q), one for each q.

    `second` is V(q) = E[phi^2] with its first two derivatives in q; `slope` is chi(q) = E[phi'^2]
    with its; `cross` = E[phi^2 phi'^2]; `tilt` = E[z phi^2] and `slope_tilt` = E[z phi'^2] with
    the standardised z; `radial` = E[z phi phi'] and `stretch` = E[z^2 phi'^2] in
    terms of the unstandardised input z.
    """

    q: Array
    mean: Array
    second: Array
    second_1: Array
    second_2: Array
    fourth: Array
    slope: Array
    slope_1: Array
    slope_2: Array
    cross: Array
    radial: Array
    stretch: Array
    tilt: Array
    slope_tilt: Array
    off_below_0: bool = False
    """phi is 0, and flat, for every input that is not positive: a unit is off with probability 1/2,
    and stays off where all inputs are 0."""

    def moment(self, order: int) -> Array:
        """E[phi^order] for order 1, 2 or 4; 0 where it is no more than a variance of SMALLEST,
        which stands for 0, lets through."""
        value = {1: self.mean, 2: self.second, 4: self.fourth}[order]
        return np.where(np.abs(value) <= (100 * SMALLEST) ** (order / 2), 0.0, value)


@dataclass(frozen=True)
class Grid:
    """Quadrature nodes x of N(mean, q) and their weights, a row for each law; z is x standardised.
    For another law z is None and q its second moment."""

    x: Array
    weight: Array
    q: Array
    z: Array | None = None
    mean: Array | None = None

    @staticmethod
    def gaussian(mean: Array, q: Array, kinks: Sequence[float] = ()) -> Grid:
        """Gauss-Legendre panels, split at the kinks."""
        q = np.maximum(np.asarray(q, np.float64), SMALLEST)
        sigma = np.sqrt(q)
        z, weight = _grid(mean, sigma, kinks)
        return Grid(mean[:, None] + sigma[:, None] * z, weight, q, z, mean)

    def expect(self, g: Array) -> Array:
        """E[g(x)] from the values of g at the nodes."""
        total: Array = np.einsum("bn,bn->b", g, self.weight)
        return total


def expectations(f: Array, d: Array, grid: Grid, off_below_0: bool = False) -> Response:
    """The response from the values of a function and of its derivative at the nodes."""
    f2, d2, q, expect = f * f, d * d, grid.q, grid.expect
    assert grid.z is not None
    assert grid.mean is not None
    he2 = grid.z * grid.z - 1
    he4 = (grid.z * grid.z - 6) * grid.z * grid.z + 3
    centred = grid.x - grid.mean[:, None]
    return Response(
        q=q,
        mean=expect(f),
        second=expect(f2),
        second_1=expect(f2 * he2) / (2 * q),
        second_2=expect(f2 * he4) / (4 * q * q),
        fourth=expect(f2 * f2),
        slope=expect(d2),
        slope_1=expect(d2 * he2) / (2 * q),
        slope_2=expect(d2 * he4) / (4 * q * q),
        cross=expect(f2 * d2),
        radial=expect(centred * f * d),
        stretch=expect(centred * centred * d2),
        tilt=expect(f2 * grid.z),
        slope_tilt=expect(d2 * grid.z),
        off_below_0=off_below_0,
    )


STRETCH = 0.1
"""Relative change of a variance by which derivatives are taken as differences."""

Values = tuple[Array, Array]


def differences(f: Array, d: Array, grid: Grid, ends: Sequence[tuple[Grid, Values]]) -> Response:
    """The response to a law that is not Gaussian from the function and its derivative on its grid,
    and on the grids of the same law with a larger and a smaller second moment: derivatives in q are
    differences. They enter corrections of order 1/width only."""
    expect, q = grid.expect, np.maximum(grid.q, np.finfo(float).tiny)
    second, slope = expect(f * f), expect(d * d)
    (up, steep), (down, flat) = ((g.expect(y * y), g.expect(y1 * y1)) for g, (y, y1) in ends)
    h = np.maximum(np.abs(ends[0][0].q - ends[1][0].q) / 2, np.finfo(float).tiny)
    return Response(
        q=grid.q,
        mean=expect(f),
        second=second,
        second_1=(up - down) / (2 * h),
        second_2=(up - 2 * second + down) / h**2,
        fourth=expect(f**4),
        slope=slope,
        slope_1=(steep - flat) / (2 * h),
        slope_2=(steep - 2 * slope + flat) / h**2,
        cross=expect(f * f * d * d),
        radial=expect(grid.x * f * d),
        stretch=expect((grid.x * d) ** 2),
        tilt=expect(f * f * grid.x) / np.sqrt(q),
        slope_tilt=expect(d * d * grid.x) / np.sqrt(q),
    )


def _grid(mean: Array, sigma: Array, kinks: Sequence[float]) -> tuple[Array, Array]:
    """Nodes z and Gaussian weights, a row for each mean and sigma."""
    scaled = np.array([*kinks, *_TURNS, *(-turn for turn in _TURNS)])
    edges = np.concatenate(
        [
            np.broadcast_to(np.array([-_REACH, *_STANDARD, _REACH]), (sigma.size, 11)),
            np.clip((scaled - mean[:, None]) / sigma[:, None], -_REACH, _REACH),
        ],
        axis=1,
    )
    edges.sort(axis=1)
    nodes, weights = _LEGENDRE
    half = np.diff(edges, axis=1)[:, :, None] / 2
    middle = (edges[:, 1:] + edges[:, :-1])[:, :, None] / 2
    z = (middle + half * nodes).reshape(sigma.size, -1)
    w = (half * weights).reshape(sigma.size, -1)
    return z, w * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def linear(q: Array) -> Response:
    """The response of the identity, in closed form."""
    one, zero = np.ones_like(q), np.zeros_like(q)
    return Response(
        q=q,
        mean=zero,
        second=q,
        second_1=one,
        second_2=zero,
        fourth=3 * q * q,
        slope=one,
        slope_1=zero,
        slope_2=zero,
        cross=q,
        radial=q,
        stretch=q,
        tilt=zero,
        slope_tilt=zero,
    )
