"""How positions of one unit depend on each other: E[x_p x_q] for every pair of them.

A convolution gives each unit a Gaussian field: its values at two positions share the weights, so
their covariance is Var(W) times the sum of E[x x'] over the pairs of inputs that meet the same
weight (Xiao et al. 2018, eq. 2.7). Through an activation it is followed by Mehler's formula. Only
pooling reads it, so it is worked out when pooling asks, back to the input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.network.context import Context
from analysis.network.elements import Element, hermite
from analysis.network.records import Array, Signal
from analysis.network.response import Grid
from analysis.network.roots import DataRoot, GaussianRoot, MaskedRoot
from analysis.network.samples import SampledRoot
from analysis.network.sources import Form, Key

LARGEST = 30_000_000
"""Numbers in one table of pairs; beyond it dependence is not followed."""

Pairs = Array
"""(cases, places, places)."""


def remember(
    key: Key,
    pairs: Callable[[], Pairs | None],
    context: Context,
    between: Callable[[], Pairs | None] | None = None,
) -> None:
    """A source is a field over positions: its correlations, when somebody asks, on one example and
    `between` two."""
    context.notes.setdefault("fields", {})[key] = pairs
    if between is not None:
        context.notes.setdefault("across", {})[key] = between


def pairs_of(x: Signal, context: Context) -> Pairs | None:
    """E[x_p x_q]; None where it is not followed."""
    if len(x.second) * x.places > LARGEST:
        return None
    if x.pairs is not None:
        return x.pairs()
    if x.apart:
        return _apart(x)
    if x.element is None:
        return None
    if isinstance(x.element.root, SampledRoot):
        return x.element.root.pairs(x.element.index, x.element.form.mean)
    if isinstance(x.element.root, MaskedRoot):
        return _of_masked(x, x.element, x.element.root, context)
    if not isinstance(x.element.root, GaussianRoot | DataRoot | None):
        return None
    if isinstance(x.element.root, DataRoot):
        return _of_data(x, x.element, context)
    return _of_gaussian(x, x.element, context)


def correlated(covariance: Pairs, variance: Array) -> Pairs:
    """Correlations of the same places."""
    deviation = np.sqrt(np.maximum(variance, 1e-300)).reshape(-1, covariance.shape[1])
    return np.asarray(np.clip(covariance / (deviation[:, :, None] * deviation[:, None, :]), -1, 1))


def times(table: Pairs | None, factor: Array) -> Pairs | None:
    """With a factor for each place."""
    if table is None:
        return None
    f = factor.reshape(table.shape[:2])
    return np.asarray(table * f[:, :, None] * f[:, None, :])


def _by_case(values: Array, places: int) -> Array:
    return values.reshape(-1, places)


def _apart(x: Signal) -> Pairs:
    """Independent positions: products of means, but for the diagonal."""
    mean, second = _by_case(x.mean, x.places), _by_case(x.second, x.places)
    table = mean[:, :, None] * mean[:, None, :]
    each = np.arange(x.places)
    table[:, each, each] = second
    return table


def _of_masked(x: Signal, element: Element, root: MaskedRoot, context: Context) -> Pairs | None:
    """Elements that are masked independently of each other."""
    if element.index or element.form.terms or np.any(element.form.mean):
        return None
    zero = Form(np.zeros_like(x.mean), {})
    whole = replace(x, element=Element(zero, root.inner_root, root.index), pairs=None)
    table = pairs_of(whole, context)
    if table is None:
        return None
    table = (root.keep * root.value) ** 2 * table
    each = np.arange(x.places)
    table[:, each, each] = _by_case(x.second, x.places)
    return table


def _of_data(x: Signal, element: Element, context: Context) -> Pairs | None:
    """Averages over the channels of the example itself, and what is added to them."""
    beside = covariances(element.form, x.places, context) if element.form.terms else 0.0
    if beside is None:
        return None
    assert element.root is not None
    _, ((f, _),) = element.root.values(element.index)
    values = (f + element.form.mean[:, None]).reshape(-1, x.places, f.shape[1])
    return np.asarray(values @ values.transpose(0, 2, 1) / f.shape[1] + beside)


def _of_gaussian(x: Signal, element: Element, context: Context) -> Pairs | None:
    root = element.root
    assert not isinstance(root, DataRoot)
    form = root.form if isinstance(root, GaussianRoot) else element.form
    covariance = covariances(form, x.places, context)
    if covariance is None or (root is not None and element.form.terms):
        return None
    return _of_covariance(x, element, covariance)


def _of_covariance(x: Signal, element: Element, covariance: Pairs) -> Pairs:
    """E[f(u) f(v)] of a Gaussian u at any two places by Mehler's formula; u itself without f."""
    root = element.root
    if root is None:
        mean = _by_case(element.form.mean, x.places)
        return covariance + mean[:, :, None] * mean[:, None, :]
    assert isinstance(root, GaussianRoot)
    grid, ((f, _),) = root.values(element.index)
    f = f + element.form.mean[:, None]
    return expanded(f, grid, correlated(covariance, root.variance), x.places)


def expanded(f: Array, grid: Grid, rho: Pairs, places: int, square: Pairs | None = None) -> Pairs:
    """E[f(u) f(v)] of Gaussian u, v at any two places with correlation rho (Mehler). A correlation
    that differs between units has the mean rho and the mean `square`; its higher powers' means are
    taken to be products of these, exact for one that is known up to its sign."""
    rows = hermite(f, grid)
    second = _by_case(grid.expect(f * f), places)
    square = rho * rho if square is None else square
    total = np.zeros_like(rho)
    even, odd = np.ones_like(rho), np.array(rho)
    for k, row in enumerate(rows):
        a = _by_case(row, places)
        power = odd if k % 2 else even
        total += a[:, :, None] * a[:, None, :] * power
        power *= square
    rest = np.sqrt(np.maximum(second - _by_case(np.sum(rows**2, axis=0), places), 0))
    return np.asarray(total + rest[:, :, None] * rest[:, None, :] * np.abs(even))


def covariances(form: Form, places: int, context: Context, which: str = "fields") -> Pairs | None:
    """Cov(u_p, u_q) of a linear form whose sources are fields; with `which` = "across", of u on one
    example and on another."""
    fields = context.notes.get(which, {})
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


# ------------------------------------------------------------------------------ two examples


def across(x: Signal, context: Context) -> Pairs | None:
    """E[x_p x'_q] at a place of one example and a place of another, if both are draws of a law."""
    if x.partner is None or context.partners is not None or len(x.second) * x.places > LARGEST:
        return None
    element = x.element
    if element is not None and isinstance(element.root, GaussianRoot | None):
        form = element.form if element.root is None else element.root.form
        covariance = covariances(form, x.places, context, "across")
        if covariance is not None and (element.root is None or not element.form.terms):
            return _of_covariance(x, element, covariance)
    if element is not None and isinstance(element.root, SampledRoot):
        return element.root.across(element.index, element.form.mean, x.places)
    # what is known of one place, as if the shared part were one number
    own = _by_case(np.sign(x.partner) * np.sqrt(np.abs(x.partner)), x.places)
    return np.asarray(own[:, :, None] * np.abs(own)[:, None, :])
