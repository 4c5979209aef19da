"""How positions of one unit depend on each other: E[x_p x_q] for every pair of them.

A convolution gives each unit a Gaussian field: its values at two positions share the weights, so
their covariance is Var(W) times the sum of E[x x'] over the pairs of inputs that meet the same
weight (Xiao et al. 2018, eq. 2.7). Through an activation it is followed by Mehler's formula. Only
pooling reads it, so it is worked out when pooling asks, back to the input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from analysis.network.context import Context
from analysis.network.elements import Element, hermite
from analysis.network.records import Array, Signal
from analysis.network.roots import DataRoot, GaussianRoot
from analysis.network.sources import Form, Key

LARGEST = 30_000_000
"""Numbers in one table of pairs; beyond it dependence is not followed."""

Pairs = Array
"""(cases, places, places)."""


def remember(key: Key, pairs: Callable[[], Pairs | None], context: Context) -> None:
    """A source is a field over positions: its covariances, when somebody asks."""
    context.notes.setdefault("fields", {})[key] = pairs


def pairs_of(x: Signal, context: Context) -> Pairs | None:
    """E[x_p x_q]; None where it is not followed."""
    if len(x.second) * x.places > LARGEST:
        return None
    if x.pairs is not None:
        return x.pairs()
    if x.apart:
        return _apart(x)
    if x.element is None or not isinstance(x.element.root, GaussianRoot | DataRoot | None):
        return None
    if isinstance(x.element.root, DataRoot):
        return _of_data(x, x.element)
    return _of_gaussian(x, x.element, context)


def _by_case(values: Array, places: int) -> Array:
    return values.reshape(-1, places)


def _apart(x: Signal) -> Pairs:
    """Independent positions: products of means, but for the diagonal."""
    mean, second = _by_case(x.mean, x.places), _by_case(x.second, x.places)
    table = mean[:, :, None] * mean[:, None, :]
    each = np.arange(x.places)
    table[:, each, each] = second
    return table


def _of_data(x: Signal, element: Element) -> Pairs | None:
    """Averages over the channels of the example itself."""
    if element.form.terms:
        return None
    assert element.root is not None
    _, ((f, _),) = element.root.values(element.index)
    values = (f + element.form.mean[:, None]).reshape(-1, x.places, f.shape[1])
    return np.asarray(values @ values.transpose(0, 2, 1) / f.shape[1])


def _of_gaussian(x: Signal, element: Element, context: Context) -> Pairs | None:
    root = element.root
    assert not isinstance(root, DataRoot)
    form = root.form if isinstance(root, GaussianRoot) else element.form
    covariance = covariances(form, x.places, context)
    if covariance is None or (root is not None and element.form.terms):
        return None
    if root is None:
        mean = _by_case(element.form.mean, x.places)
        return covariance + mean[:, :, None] * mean[:, None, :]
    assert isinstance(root, GaussianRoot)
    grid, ((f, _),) = root.values(element.index)
    f = f + element.form.mean[:, None]
    deviation = np.sqrt(np.maximum(_by_case(root.variance, x.places), 1e-300))
    rho = np.clip(covariance / (deviation[:, :, None] * deviation[:, None, :]), -1, 1)
    rows = hermite(f, grid)
    second = _by_case(grid.expect(f * f), x.places)
    total, power = np.zeros_like(rho), np.ones_like(rho)
    for row in rows:
        a = _by_case(row, x.places)
        total += a[:, :, None] * a[:, None, :] * power
        power *= rho
    rest = np.sqrt(np.maximum(second - _by_case(np.sum(rows**2, axis=0), x.places), 0))
    return np.asarray(total + rest[:, :, None] * rest[:, None, :] * np.abs(power))


def covariances(form: Form, places: int, context: Context) -> Pairs | None:
    """Cov(u_p, u_q) of a linear form whose sources are fields."""
    fields = context.notes.get("fields", {})
    total: Any = 0.0
    for key, coefficient in form.terms.items():
        c = _by_case(coefficient, places)
        correlation: Any = 1.0  # a bias is the same number at all positions
        if key[0] >= 0:
            correlation = fields[key]() if key in fields else None
            if correlation is None:
                return None
        total = total + c[:, :, None] * c[:, None, :] * correlation
    return np.asarray(total) if form.terms else None
