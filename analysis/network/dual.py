"""Two examples, one unit: E[f(u) f(u')] of a function of its variable (the dual activation of
Daniely et al. 2016), forward of the activation itself and backward of its slope."""

from __future__ import annotations

import numpy as np

from analysis.network.context import Context
from analysis.network.elements import HERMITE, expansion, hermite, polynomials
from analysis.network.records import Array, Signal
from analysis.network.response import Grid
from analysis.network.roots import GaussianRoot, MixtureRoot, Root
from analysis.network.samples import DrawnRoot
from analysis.network.sources import Form

_LARGEST = 2e7
"""Numbers in the joint law of two examples' variables."""
_LEFT_OPEN = 1e-5
"""rho^k beyond which the terms of an expansion are left out."""


def on_two_examples(
    root: Root, f: Array, grid: Grid, x: Signal | None, context: Context
) -> Array | None:
    """From the values f on a grid of the variable, whose record is x: of a Gaussian by Mehler's
    formula, of draws their average, of a mixture by its joint law. None where the correlation is
    not known."""
    if isinstance(root, DrawnRoot):
        return context.products(f)
    if isinstance(root, MixtureRoot) and context.partners is None:
        both = _joint(root, root.kinks_of(grid), context)
        return None if both is None else np.einsum("bi,bij,bj->b", f, both, f)
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


def covariance(form: Form, context: Context) -> Array | None:
    """Of one unit's form on two examples; None where that of a source is not known."""
    total = np.zeros_like(form.mean)
    for key, coefficient in form.terms.items():
        if key not in context.correlations:
            return None
        total = total + coefficient * context.partner(coefficient) * context.correlations[key]
    return total


# ------------------------------------------------------------------------------ joint laws


def _joint(root: Root, kinks: tuple[float, ...], context: Context) -> Array | None:
    """The joint law of the variables of two examples of a law, as weights of pairs of nodes,
    (cases, nodes, nodes); None where it is not known."""
    key = ("joint", root, kinks)
    if key not in context.notes:
        cases, nodes = root.grid(kinks).x.shape
        found: Array | None = None
        if cases * nodes**2 <= _LARGEST:
            if isinstance(root, GaussianRoot):
                found = _of_gaussians(root, kinks, context)
            elif isinstance(root, MixtureRoot):
                found = _of_mixtures(root, kinks, context)
        context.notes[key] = found
    known: Array | None = context.notes[key]
    return known


def _correlation(form: Form, context: Context) -> Array | None:
    both = covariance(form, context)
    if both is None:
        return None
    return np.asarray(np.clip(both / np.maximum(form.variance, 1e-300), -1, 1))


def _of_gaussians(root: GaussianRoot, kinks: tuple[float, ...], context: Context) -> Array | None:
    """Mehler's kernel; what its terms leave is added as in `expansion`."""
    rho, grid = _correlation(root.form, context), root.grid(kinks)
    if rho is None or grid.z is None:
        return None
    total = np.zeros((*grid.x.shape, grid.x.shape[1]))
    rest = rho**HERMITE
    for k, h in enumerate(polynomials(grid.z)):
        weighted = h * grid.weight
        total += np.einsum("b,bi,bj->bij", rho**k - rest, weighted, weighted)
    diagonal = np.arange(grid.x.shape[1])
    total[:, diagonal, diagonal] += rest[:, None] * grid.weight
    return total


def _of_mixtures(root: MixtureRoot, kinks: tuple[float, ...], context: Context) -> Array | None:
    """Of u = f(v) + g: Mehler's kernel for g, given f(v) and f(v') of which the joint law is that
    of v and v'."""
    inner, rho = root.inner, _correlation(root.inner.form, context)
    assert inner.root is not None
    within = tuple(sorted(inner.root.program.kinks[inner.index]))
    of_inner = _joint(inner.root, within, context)
    if of_inner is None or rho is None or np.max(np.abs(rho)) ** HERMITE > _LEFT_OPEN:
        return None
    f, _ = inner.root.run(within, inner.index)
    found = []
    for case, both in enumerate(of_inner):
        rows, z = root.given(kinks, f, case)
        total = np.zeros((rows.shape[1],) * 2)
        for k, h in enumerate(polynomials(z)):
            power = float(rho[case]) ** k
            if abs(power) < _LEFT_OPEN**2:
                break
            weighted = rows * h
            total += power * (weighted.T @ both @ weighted)
        found.append(total)
    return np.array(found)


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
