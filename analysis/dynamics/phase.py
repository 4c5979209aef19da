"""Fixed points over a whole grid of weight and bias variances at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.dynamics.expectations import GRID, Array, Expectations
from analysis.dynamics.fixed_points import FLAT

NEWTON_STEPS = 3
"""From an error of some 1e-5, the cubic's, to that of double precision."""
CHUNK = 4_000
"""Fixed points that are refined at once, so that their nodes fit into memory."""


@dataclass(frozen=True)
class Phase:
    """A phase diagram. Arrays have a row for each sigma_b2 and a column for each sigma_w2.

    Attributes:
        sigma_w2, sigma_b2: the grid, one-dimensional.
        q: the variance that a signal of variance 1 settles at; infinite where it grows, 0 where it
            vanishes.
        slope: of the variance map there; nan at 0 and infinity.
        chi_1: at the fixed point; above 1 is chaos. nan where q is infinite.
    """

    sigma_w2: Array
    sigma_b2: Array
    q: Array
    slope: Array
    chi_1: Array

    @property
    def xi_q(self) -> Array:
        """The depth scale of the variance, -1 / log|slope|; infinite where it does not shrink."""
        return _scale(np.abs(self.slope))

    @property
    def xi_1(self) -> Array:
        """The depth scale at which a perturbation shrinks (ordered) or grows (chaotic):
        1 / |log(chi_1)|. In the ordered phase it is that of the correlation."""
        with np.errstate(all="ignore"):
            return 1 / np.abs(np.log(self.chi_1))


def _scale(size: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.where(size < 1, -1 / np.log(size), np.where(np.isnan(size), np.nan, np.inf))


def phase(expect: Expectations, sigma_w2: Array, sigma_b2: Array) -> Phase:
    """The phase diagram of an activation."""
    w, b = (a.ravel() for a in np.meshgrid(sigma_w2, sigma_b2))
    parts = [_fixed(expect, w[i : i + CHUNK], b[i : i + CHUNK]) for i in range(0, len(w), CHUNK)]
    q, slope, chi = (np.concatenate(part) for part in zip(*parts, strict=True))
    shape = (len(sigma_b2), len(sigma_w2))
    return Phase(sigma_w2, sigma_b2, *(a.reshape(shape) for a in (q, slope, chi)))


def _fixed(expect: Expectations, w: Array, b: Array) -> tuple[Array, Array, Array]:
    """q, slope and chi_1 for pairs (w, b): the first crossing from variance 1 on."""
    cell, up, settles, stays = _cells(expect, w, b)
    q = _within(expect, cell, w, b)
    for _ in range(NEWTON_STEPS):
        at = expect.curves(q)
        steep = w * at.slope - 1
        moved = q - (w * at.second + b - q) / np.where(np.abs(steep) > 1e-9, steep, -1.0)
        q = np.where(settles, moved, 1.0)
    q = np.where(stays, 1.0, q)
    at = expect.curves(q)
    slope, chi = (np.where(settles, w * values, np.nan) for values in (at.slope, at.chi))
    vanishes = ~settles & ~up
    q = np.where(settles, q, np.where(up, np.inf, 0.0))
    return q, slope, np.where(vanishes, w * expect.chi_at_0, chi)


def _cells(expect: Expectations, w: Array, b: Array) -> tuple[Any, Any, Any, Any]:
    """The grid cell with the crossing, whether the variance rises from 1, whether it settles at
    all, and whether it stays at 1."""
    with np.errstate(all="ignore"):
        excess = w[:, None] * expect.on_grid.second + b[:, None] - GRID
    rises, falls = excess > FLAT * GRID, excess < -FLAT * GRID
    start = int(np.searchsorted(GRID, 1.0))
    up = rises[:, start]
    above, below = falls[:, start:], rises[:, : start + 1][:, ::-1]
    cell = np.where(up, start + above.argmax(1) - 1, start - below.argmax(1))
    settles = np.where(up, above.any(1), below.any(1))
    stays = np.abs(excess[:, start]) <= FLAT
    return np.clip(cell, 0, len(GRID) - 2), up, settles | stays, stays


def _within(expect: Expectations, cell: Array, w: Array, b: Array) -> Array:
    """The crossing inside the cell, of the cubic that has V and V' of both ends."""
    low, width = GRID[cell], GRID[cell + 1] - GRID[cell]
    f, d = expect.on_grid.second, expect.on_grid.slope
    f0, f1, d0, d1 = f[cell], f[cell + 1], d[cell] * width, d[cell + 1] * width
    left, right = np.zeros_like(w), np.ones_like(w)
    for _ in range(30):
        t = (left + right) / 2
        second = f0 + t * (d0 + t * (3 * (f1 - f0) - 2 * d0 - d1 + t * (d0 + d1 - 2 * (f1 - f0))))
        rises = (w * second + b > low + t * width) == (w * f0 + b > low)
        left, right = np.where(rises, t, left), np.where(rises, right, t)
    crossing: Array = low + width * (left + right) / 2
    return crossing
