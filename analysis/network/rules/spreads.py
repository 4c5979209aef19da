"""What batch norm divides each unit by: its own variance over examples.

A unit behind an activation, y = phi(z), has its own z's mean over the examples (its bias, and what
the examples have in common), and with it its own variance v: a relu that is mostly off varies
little. Forward that is of no consequence, since each unit is divided by its own v, but for units
that are off on the whole batch and stay 0; backward the gradient of a unit takes the factor 1/v,
and E[1/v] exceeds 1/E[v].

With correlation c of two examples' z = sqrt(q) (sqrt(c) s + sqrt(1 - c) t), s belongs to the unit
and t to the example: v(s) = Var_t(phi | s), and given z, s is N(sqrt(c) z / sqrt(q), 1 - c).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.network.context import Context
from analysis.network.cotangent import whole_grid
from analysis.network.records import Array, Signal
from analysis.network.roots import GaussianRoot

_UNITS = np.linspace(-6.0, 6.0, 61)
"""s: the trapezoidal rule for a Gaussian is exact to 1e-9 at this step."""
_EXAMPLES = np.linspace(-6.0, 6.0, 97)
_ROUND = np.polynomial.hermite_e.hermegauss(20)
_MOST_VALUES = 40_000_000


def _normal(points: Array) -> Array:
    """Weights of the standard normal law on evenly spaced points."""
    weight = np.exp(-(points**2) / 2)
    return np.asarray(weight / weight.sum())


@dataclass(frozen=True)
class Spreads:
    """Variances of units over the examples.

    root   the variable z of the units
    whole  v + eps at the points s
    share  sqrt(c) for each case
    tail   the relative excess of E[1/v] over m values beyond the limit of many: to first order
           E[(kurtosis - 1)/v] / E[1/v] / m, with the kurtosis of a unit over the examples, and what
           units bring that are 0 on all of the examples, which are divided by eps
    kept   E[v / (v + eps)], with v = 0 for units that are 0 on all of the examples
    """

    root: GaussianRoot
    whole: Array
    share: Array
    tail: float
    kept: float

    def inverse(self, power: float) -> Array:
        """E[(v + eps)^-power | z] at the nodes of the variable's grid."""
        z = whole_grid(self.root).z
        assert z is not None
        around, weight = _ROUND
        weight = weight / weight.sum()
        share = self.share[:, None]
        total = np.zeros_like(z)
        for step, w in zip(around, weight, strict=True):
            s = share * z + np.sqrt(1 - share**2) * step
            total += w * np.exp(-power * np.interp(s, _UNITS, np.log(self.whole)))
        return total


def spreads(x: Signal, eps: float, m: int, context: Context) -> Spreads | None:
    """The units' variances where they differ: behind a function of a Gaussian; else None."""
    element = x.element
    if element is None or element.form.terms or not isinstance(element.root, GaussianRoot):
        return None
    root = element.root
    variable = context.variables.get(root)
    if variable is None or variable.partner is None or x.places > 1:
        return None
    if len(x.mean) * _UNITS.size * _EXAMPLES.size > _MOST_VALUES:
        return None
    common = variable.partner - root.form.mean * context.partner(root.form.mean)
    sigma = np.sqrt(np.maximum(root.variance, np.finfo(float).tiny))
    correlation = context.others(common / (sigma * context.partner(sigma)))
    share = np.sqrt(np.clip(correlation, 0.0, 1.0))
    z = share[:, None, None] * _UNITS[:, None] + np.sqrt(1 - share**2)[:, None, None] * _EXAMPLES
    u = root.form.mean[:, None] + sigma[:, None] * z.reshape(len(share), -1)
    y = root.program.run(u, element.index)[element.index][0].reshape(z.shape)
    by_example = context.weights[:, None, None] * _normal(_EXAMPLES)
    mean = (y * by_example).sum(axis=(0, 2))
    about = y - mean[:, None]
    v, fourth = ((about**p * by_example).sum(axis=(0, 2)) for p in (2, 4))
    whole = v + eps
    weight = _normal(_UNITS) / whole
    kurtosis = fourth / whole**2
    tail = float((weight * np.maximum(kurtosis - 1, 0.0)).sum() / weight.sum()) / m
    off = ((y == 0) * _normal(_EXAMPLES)).sum(axis=2)
    silent = np.exp(m * context.weights @ np.log(np.clip(off, np.finfo(float).tiny, 1.0)))
    silenced = float((_normal(_UNITS) * silent).sum() / max(eps, np.finfo(float).tiny))
    kept = float((_normal(_UNITS) * (1 - silent) * v / whole).sum())
    return Spreads(root, whole, share, tail + silenced / float(weight.sum()), kept)
