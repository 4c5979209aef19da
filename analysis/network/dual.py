"""Two examples, one unit: E[f(u) f(u')] of a function of its variable (the dual activation of
Daniely et al. 2016), forward of the activation itself and backward of its slope."""

from __future__ import annotations

import numpy as np

from analysis.network.context import Context
from analysis.network.elements import expansion, hermite
from analysis.network.records import Array, Signal
from analysis.network.response import Grid
from analysis.network.roots import GaussianRoot, Root
from analysis.network.samples import DrawnRoot


def on_two_examples(
    root: Root, f: Array, grid: Grid, x: Signal | None, context: Context
) -> Array | None:
    """From the values f on a grid of the variable, whose record is x: of a Gaussian by Mehler's
    formula, of draws their average. None where the variables' correlation is not known."""
    if isinstance(root, DrawnRoot):
        return context.products(f)
    if not isinstance(root, GaussianRoot) or x is None or x.partner is None:
        return None
    sigma = np.sqrt(np.maximum(root.variance, 1e-300))
    covariance = x.partner - root.form.mean * context.partner(root.form.mean)
    rho = np.clip(covariance / (sigma * context.partner(sigma)), -1, 1)
    if not np.any(rho):
        return np.asarray(grid.expect(f) * context.partner(grid.expect(f)))
    a, second = hermite(f, grid), grid.expect(f * f)
    b = np.array([context.partner(row) for row in a])
    return expansion(a, b, second, context.partner(second), rho)


def loosened(root: Root, index: int, x: Signal, y: Signal, context: Context) -> float:
    """What a function y of the variable, whose record is x, leaves of `loose`: a covariance passes
    with the slope E[f'(u) f'(u')]."""
    if not x.loose or x.partner is None or y.partner is None or context.partners is not None:
        return 0.0
    grid, ((_, slope),) = root.values(index)
    steep = on_two_examples(root, slope, grid, x, context)
    own = y.second - y.partner
    if steep is None or not np.all(own > 0):
        return 0.0
    return x.loose * context.average((steep * (x.second - x.partner) / own) ** 2)
