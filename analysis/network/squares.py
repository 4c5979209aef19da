"""How squares at different positions of one unit depend on each other: Cov(x_p^2, x_q^2).

A mean square over the positions that a kernel reaches, or over a whole map, scatters over units by
the average of these covariances: by more than if positions were independent, because neighbours are
made of the same weights and inputs. For Gaussian positions Cov = 2 Cov(x_p, x_q)^2 + 4 m_p m_q
Cov(x_p, x_q) (Isserlis); through an activation it is followed by Mehler's formula for f^2.

Given the inputs of a convolution, that covariance is Var(W) times a sum of n taps products of them,
which scatters about its mean: two positions of a unit of fan-in 1 are w x and w x', and their
squares have w^2 in common even if x and x' are independent. So E[rho^2] = rho^2 + (1 - rho^2) times
1/fan_in, where the fan-in counts the taps that both positions use.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from analysis.network.context import Context
from analysis.network.fields import Pairs, correlated, covariances, expanded, pairs_of
from analysis.network.records import Array, Signal
from analysis.network.roots import GaussianRoot
from analysis.network.sources import Form, Key

_MOST = 4_000_000
"""Numbers in one table of pairs: corrections of order 1/width are not worth more."""


class Reach(Protocol):
    """Which positions each position of an output adds up."""

    def reach(self) -> Array:
        """1 where an output position uses an input position: (outputs, inputs)."""

    def gathered(self, values: Array) -> Array:
        """For each output position the sum of the inputs it reaches."""

    def in_common(self) -> Array:
        """Taps that two output positions both use, by the product of those that each uses."""


def square_pairs(x: Signal, context: Context) -> Pairs | None:
    """Cov(x_p^2, x_q^2) within a unit, (cases, places, places); None where it is not followed."""
    own = _spread(x).reshape(-1, x.places)
    if len(x.second) * x.places > _MOST:
        return None
    element = x.element
    if element is not None and isinstance(element.root, GaussianRoot | None):
        gaussian = element.form if element.root is None else element.root.form
        covariance = covariances(gaussian, x.places, context)
        if covariance is None:
            return _by_correlation(x, own, context)
        rho, square = _correlations(gaussian, covariance, x.places, context)
        if element.root is None:
            mean = element.form.mean.reshape(-1, x.places)
            together = 4 * mean[:, :, None] * mean[:, None, :]
            sizes = np.einsum("cpp->cp", covariance)
            squares = square * sizes[:, :, None] * sizes[:, None, :]
            return np.asarray(2 * squares + together * covariance)
        if element.form.constant:
            grid, ((f, _),) = element.root.values(element.index)
            values = (f + element.form.mean[:, None]) ** 2
            values = values - grid.expect(values)[:, None]
            return expanded(values, grid, rho, x.places, square)
    return _by_correlation(x, own, context)


def remember_taps(key: Key, geometry: Reach, channels: int, context: Context) -> None:
    """A source is made by a convolution of so many channels."""
    context.notes.setdefault("taps", {})[key] = (geometry, channels)


def _correlations(
    form: Form, covariance: Pairs, places: int, context: Context
) -> tuple[Pairs, Pairs]:
    """The mean and the mean square of the correlation of two places over units."""
    variance = form.variance
    rho = correlated(covariance, variance)
    square = rho * rho
    sizes = np.maximum(variance, np.finfo(float).tiny).reshape(-1, places)
    for key, (geometry, channels) in context.notes.get("taps", {}).items():
        if key in form.terms:
            share = form.terms[key].reshape(-1, places) ** 2 / sizes
            both = share[:, :, None] * share[:, None, :]
            square = square + both * (1 - rho * rho) * geometry.in_common() / channels
    return rho, np.minimum(square, 1.0)


def _by_correlation(x: Signal, own: Array, context: Context) -> Pairs | None:
    """As if squares went together by the square of the correlation, which Gaussian ones do."""
    table = pairs_of(x, context)
    if table is None:
        return None
    mean = x.mean.reshape(-1, x.places)
    rho = correlated(table - mean[:, :, None] * mean[:, None, :], x.variance)
    deviation = np.sqrt(own)
    return np.asarray(rho**2 * deviation[:, :, None] * deviation[:, None, :])


def _spread(x: Signal) -> Array:
    """Var(x_p^2)."""
    return np.asarray(np.maximum(x.fourth - x.second**2, 0.0))


def of_reached(x: Signal, geometry: Reach, context: Context) -> tuple[Array, Array]:
    """Variance over units of the squares that each output position adds up, and by how much it may
    be wrong: where dependence is not followed it is half way between that of independent positions
    and that of equal ones."""
    table = square_pairs(x, context)
    if table is not None:
        reached = geometry.reach()
        total = np.asarray(((reached @ table) * reached).sum(axis=2)).reshape(-1)
        return total, np.zeros_like(total)
    own = _spread(x)
    least, most = geometry.gathered(own), geometry.gathered(np.sqrt(own)) ** 2
    return (least + most) / 2, (most - least) / 2


def of_average(x: Signal, context: Context) -> Array:
    """Variance over units of the average square over all positions, beyond that of independent
    ones; 0 where dependence is not followed."""
    table = None if x.fixed else square_pairs(x, context)
    if table is None:
        return np.zeros(len(x.second) // x.places)
    return np.asarray((table.sum(axis=(1, 2)) - np.einsum("cpp->c", table)) / x.places**2)
