"""Batch norm of data: what it does to a unit is known once the covariances of all examples are.

Given the layers before, a unit's values on the examples are one draw of N(mean, C) with the matrix
C of covariances, and units are independent. Batch norm takes away the draw's mean and divides by
its length; if few directions dominate C (clusters, or a few large examples), these lengths differ
much and the quotient is far from Gaussian. So units are drawn, and averages taken over the draws.

Backward, dy/dz = (I - 1 1^T/m - y y^T/m) / sqrt(v + eps) for each unit (Ioffe, Szegedy 2015). With
u = c(y) d, where d comes from above and is independent of y, E[dz dz^T] needs the products
E[d d'] of all pairs of examples, which go down the network as covariances go up.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from analysis.network.context import Context
from analysis.network.cotangent import Coefficient, Cotangent
from analysis.network.examples import Partners
from analysis.network.records import Array, Signal
from analysis.network.samples import DrawnRoot
from analysis.network.sources import Key

_PAIRS = 1024
"""Draws and their negatives: averages over units of a layer twice as wide."""


@dataclass(frozen=True)
class Drawn:
    """Units behind batch norm, with arrays (repeats, examples, draws).

    y        their values
    inverse  1 / sqrt(v + eps) of each draw, (repeats, 1, draws)
    """

    y: Array
    inverse: Array
    partners: Partners

    @property
    def rows(self) -> Array:
        """The values by case, (cases, draws)."""
        return by_case(self.y)

    def back(self, arriving: Array, slopes: Array) -> tuple[Array, Array]:
        """E[dz dz'] of all pairs of examples, (repeats, examples, examples), if E[d d'] arrives
        (the same) and is met by slopes c (repeats, examples, draws or 1) at y; and E|dz|^2 of each
        draw, (repeats, draws)."""
        m, draws = self.y.shape[1:]
        y, c = self.y, slopes * self.inverse
        along = c * (arriving @ (c * y))
        crossed = along @ y.transpose(0, 2, 1) / (m * draws)
        both = (along * y).sum(axis=1) / m
        total = arriving * (c @ c.transpose(0, 2, 1)) / draws
        total = total - crossed - crossed.transpose(0, 2, 1)
        total = total + (y * both[:, None] / m) @ y.transpose(0, 2, 1) / draws
        squares = np.einsum("ree,ren->rn", arriving, c * c) - (c * (arriving @ c)).sum(axis=1) / m
        squares = squares - 2 * both + both * np.mean(y * y, axis=1)
        return centred(total), squares

    @property
    def draws(self) -> int:
        """How many."""
        return int(self.y.shape[2])

    @property
    def uneven(self) -> float:
        """The relative variance over units of the factor 1 / (v + eps)."""
        return _unevenness(self.inverse[:, 0] ** 2)


def _unevenness(values: Array) -> float:
    """Relative variance over draws."""
    mean = np.maximum(values.mean(axis=1), _TINY)
    return float(np.max(values.var(axis=1) / mean**2))


def centred(matrices: Array) -> Array:
    """H A H with H = I - 1 1^T / m."""
    about = matrices - matrices.mean(axis=1, keepdims=True)
    return np.asarray(about - about.mean(axis=2, keepdims=True))


def by_case(values: Array) -> Array:
    """(repeats, examples, draws) in the order of cases."""
    return values.transpose(1, 0, 2).reshape(-1, values.shape[2])


def by_repeat(rows: Array, partners: Partners) -> Array:
    """(cases, draws) as (repeats, examples, draws)."""
    return rows.reshape(partners.examples, -1, rows.shape[1]).transpose(1, 0, 2)


# ------------------------------------------------------------------------------ forward


def draw(x: Signal, eps: float, context: Context) -> Drawn | None:
    """Units of Gaussian values on all examples; None for a law, or where pairs are not followed."""
    partners = context.partners
    if partners is None or x.places > 1 or not x.gaussian:
        return None
    assert x.partner is not None
    covariance = x.partner - x.mean * context.partner(x.mean)
    size, axes = np.linalg.eigh(about_average(covariance, x.variance, partners))
    root = axes * np.sqrt(np.maximum(size, 0.0))[:, None, :]
    half = root @ _standard(partners.examples, context)
    z = by_repeat(x.mean[:, None], partners) + np.concatenate([half, -half], axis=2)
    z = z - z.mean(axis=1, keepdims=True)
    inverse = 1 / np.sqrt(np.maximum(np.mean(z**2, axis=1, keepdims=True) + eps, _TINY))
    return Drawn(z * inverse, inverse, partners)


def about_average(table: Array, own: Array, partners: Partners) -> Array:
    """E[(x - M)(x' - M)] of all pairs of examples about their average M, place by place, from the
    table of E[x x'] and the E[x^2]: matrices."""
    matrices = partners.matrices(table).copy()
    each = np.arange(partners.examples)
    matrices[:, each, each] = own.reshape(partners.examples, -1).T
    return centred(matrices)


_TINY = np.finfo(float).tiny


def _standard(count: int, context: Context) -> Array:
    """Draws of so many standard normals, (count, draws), other ones for each layer, with exactly
    their covariance if there are more draws than normals."""
    layers = context.notes["layers drawn"] = context.notes.get("layers drawn", 0) + 1
    return _normals(count)[np.random.default_rng(layers).permutation(count)]


@functools.lru_cache(maxsize=4)
def _normals(count: int) -> Array:
    random = np.random.default_rng(count).standard_normal((_PAIRS, count))
    return np.ascontiguousarray(np.sqrt(_PAIRS) * np.linalg.qr(random)[0].T)


# ------------------------------------------------------------------------------ backward


def back(known: Drawn, key: Key, cotangent: Cotangent) -> tuple[Array, Array, float]:
    """E[d^2] of each case at the input, and the table of E[d d'], from those at the output, whose
    source is `key`; and the relative variance over units of what passes."""
    partners = known.partners
    total = np.zeros((known.y.shape[0], partners.examples, partners.examples))
    squares = np.zeros(known.inverse[:, 0].shape)
    each = np.arange(partners.examples)
    for arriving, c in cotangent.terms.values():
        size = np.maximum(arriving.second, 0.0).reshape(partners.examples, -1).T
        matrix = np.zeros_like(total)
        if arriving.across is not None:
            matrix += partners.matrices(arriving.across)
        matrix[:, each, each] = size
        slopes, rest = _slopes(c, key)
        parts = [known.back(matrix, by_repeat(slopes, partners))]
        if np.any(rest):
            alone = np.zeros_like(total)
            alone[:, each, each] = size
            parts.append(known.back(alone, by_repeat(rest, partners)))
        total += sum(matrix for matrix, _ in parts)
        squares += sum(own for _, own in parts)
    second = np.einsum("ree->re", total).T.reshape(-1)
    return second, partners.table(total), _unevenness(squares)


def _slopes(c: Coefficient, key: Key) -> tuple[Array, Array]:
    """The coefficient on each draw, (cases, draws); of another variable its mean, and what it
    scatters by."""
    if isinstance(c.root, DrawnRoot) and c.root.key == key:
        return c.value, np.zeros(1)
    mean = c.mean()
    scatter = np.sqrt(np.maximum(c.square() - mean**2, 0.0))
    return mean[:, None], scatter[:, None]
