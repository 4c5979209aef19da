"""How often a signal falls into each of some intervals: its law, where propagation knows it."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from analysis.network.context import Context
from analysis.network.elements import Element
from analysis.network.records import Array, Signal
from analysis.network.roots import DataRoot, GaussianRoot, MaskedRoot, Root, UnitsRoot

_POINTS = 20_001
"""Equally likely points of a variable: shares of its functions are exact to 1e-4 or so."""


def shares(x: Signal, edges: Array, context: Context) -> tuple[Array, float] | None:
    """The probability of each interval between two `edges`, without what is exactly 0, and that of
    0; averaged over cases and places. None where the law is not known."""
    if x.element is None:
        return None
    rows = _shares_of(x.element, edges)
    if rows is None:
        return None
    weight = context.spread(x.second)
    inside, zero = rows
    return weight @ inside, float(weight @ zero)


def _shares_of(element: Element, edges: Array) -> tuple[Array, Array] | None:
    root, form = element.root, element.form
    if root is None:
        spread = np.sqrt(np.maximum(form.variance, 1e-300))[:, None]
        below = ndtr((edges - form.mean[:, None]) / spread)
        return np.diff(below, axis=1), np.zeros(len(below))
    if not form.constant:
        return None
    points, weights = _points_of(root)
    values = root.program.run(points, element.index)[element.index][0] + form.mean[:, None]
    zero = np.sum(weights * (values == 0), axis=1)
    counted = [
        np.histogram(v[v != 0], edges, weights=w[v != 0])[0]
        for v, w in zip(values, weights, strict=True)
    ]
    return np.array(counted), zero


def _points_of(root: Root) -> tuple[Array, Array]:
    """Many points of a variable's law, and their weights: quantiles, where it has a density."""
    share = (np.arange(_POINTS) + 0.5) / _POINTS
    if isinstance(root, GaussianRoot):
        points = root.form.mean[:, None] + np.sqrt(root.variance)[:, None] * ndtri(share)
        return points, np.full_like(points, 1 / _POINTS)
    if isinstance(root, MaskedRoot):
        inner, weights = _points_of(root.inner_root)
        f = root.value * root.inner_root.program.run(inner, root.index)[root.index][0]
        zero = np.zeros((len(f), 1))
        masked = np.concatenate([root.keep * weights, zero + 1 - root.keep], axis=1)
        return np.concatenate([f, zero], axis=1), masked
    grid = root.grid(())
    if isinstance(root, DataRoot | UnitsRoot):
        return grid.x, grid.weight
    order = np.argsort(grid.x, axis=1)
    x, weights = (np.take_along_axis(a, order, axis=1) for a in (grid.x, grid.weight))
    below = np.cumsum(weights, axis=1) - weights / 2
    points = np.stack([np.interp(share, *row) for row in zip(below, x, strict=True)])
    return points, np.full_like(points, 1 / _POINTS)
