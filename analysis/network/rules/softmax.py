"""Softmax and its logarithm over the units of a layer.

Logits of one layer are independent given the layer before, so everything is an integral in one
dimension (`simplex`), exact for any number of classes. What is left of order 1/width is that the
variance of the logits scatters over networks, and their excess kurtosis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.network import backward as behind
from analysis.network import forward as ahead
from analysis.network.context import Context, Record, UnknownSignal
from analysis.network.cotangent import (
    Coefficient,
    Cotangent,
    UnknownCotangent,
    source,
    whole_grid,
    whole_kinks,
)
from analysis.network.layouts import layout_of
from analysis.network.records import Array, Gradient, Signal
from analysis.network.registry import register
from analysis.network.roots import Root
from analysis.network.rules.data import norm_of_data
from analysis.network.rules.elementwise import variable
from analysis.network.rules.scores import softmax_of_scores, softmax_of_scores_backward
from analysis.network.simplex import Simplex, gaussian_logits
from tinygrad_edu.graph.node import Node

_TINY = np.finfo(float).tiny
_STRETCH = 0.05
"""Relative change of the variance by which derivatives in it are taken."""


@dataclass(frozen=True)
class Logits:
    """The law of the logits, as it is and with a variance larger and smaller by a small share, and
    with the excess kurtosis that they have; `row` picks each case's law among the different ones.

    `scale` is what derivatives are taken by: the variance, or the second moment; `variable`, of
    logits that are no Gaussians, is what they are a function of, which one, and their mean."""

    now: Simplex
    up: Simplex
    down: Simplex
    curved: Simplex
    row: np.ndarray[Any, Any]
    variance: Array
    scale: Array
    logarithm: bool
    variable: tuple[Root, int, Array] | None = None

    def at(self, of: Callable[[Simplex], Array]) -> Array:
        """A moment, for each case."""
        return np.asarray(of(self.now)[self.row])

    def derivatives(self, of: Callable[[Simplex], Array]) -> tuple[Array, Array, Array]:
        """A moment's first and second derivative in the variance, and what the excess adds."""
        up, now, down = (of(s)[self.row] for s in (self.up, self.now, self.down))
        step = _STRETCH * np.maximum(self.scale, _TINY)
        added = of(self.curved)[self.row] - now
        return (up - down) / (2 * step), (up - 2 * now + down) / step**2, added


@register(ahead.RULES, "softmax", "log_softmax")
def softmax(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """Moments of p_i = exp(z_i) / sum exp(z_j), or of its logarithm."""
    (x,) = operands
    if not isinstance(x, Signal):
        raise UnknownSignal("softmax of what is no signal")
    known = norm_of_data(node, x, context)
    if known is not None:
        return known
    n = node.shape[node.params["axis"]]
    letter = layout_of(x, node.shape)[node.params["axis"]]
    if letter == "p":
        return softmax_of_scores(node, x, context)
    if letter != "u" or n < 2 or x.units % n:
        raise UnknownSignal("softmax over another axis than that of the units")
    logits = _logits(node, x, n, context)
    context.notes["logits", context.at(node)] = logits
    if logits.logarithm:
        return _logarithm(x, logits)
    return _probabilities(x, logits)


def _logits(node: Node, x: Signal, n: int, context: Context) -> Logits:
    """The law of one logit; where all units have the same mean, it does not matter."""
    if x.element is None:
        raise UnknownSignal("softmax of logits whose law is not known")
    logarithm = node.op is not None and node.op.name == "log_softmax"
    if x.gaussian:
        excess = np.broadcast_to(x.excess, x.variance.shape)
        both = np.round(np.stack([x.variance, excess], axis=1), 13)
        laws, row = np.unique(both, axis=0, return_inverse=True)
        variance = np.asarray(laws[:, 0], np.float64)
        made = [gaussian_logits(variance * f) for f in (1, 1 + _STRETCH, 1 - _STRETCH)]
        made.append(gaussian_logits(variance, np.asarray(laws[:, 1], np.float64)))
        now, up, down, curved = (Simplex(*law, n) for law in made)
        return Logits(now, up, down, curved, row.reshape(-1), x.variance, x.variance, logarithm)
    root, index = variable(node.inputs[0], x, context)
    grid, ((f, _),) = root.values(index)
    both = np.concatenate([f, np.broadcast_to(grid.weight, f.shape)], axis=1)
    laws, row = np.unique(both, axis=0, return_inverse=True)
    z, weight = (np.asarray(half, np.float64) for half in np.split(laws, 2, axis=1))
    z = z - np.einsum("rn,rn->r", z, weight)[:, None]
    law = (root, index, grid.expect(f))
    now, up, down = (Simplex(z * np.sqrt(f), weight, n) for f in (1, 1 + _STRETCH, 1 - _STRETCH))
    return Logits(now, up, down, now, row.reshape(-1), x.variance, x.second, logarithm, law)


def _record(x: Signal, logits: Logits, **moments: Any) -> Signal:
    """With the corrections of `second`, whose derivatives in the variance are `bend`."""
    first, curve, added = moments.pop("bend")
    terms = (first * x.shift, curve * x.fluctuation / 2, added)
    second = moments["second"]
    exact = logits.at(lambda s: s.error) * second
    return replace(
        x,
        **moments,
        shift=sum(terms),
        size=sum(map(np.abs, terms)) + np.abs(first) * (x.size - np.abs(x.shift)) + exact,
        excess=np.zeros_like(second),
        element=None,
        fixed=False,
        dead=0.0,
        alike=0.0,
        identical=x.identical,
        joined=x.joined or not x.gaussian,
        partner=None,
        apart=x.apart,
        pairs=None,
        centred=True,
    )


def _probabilities(x: Signal, logits: Logits) -> Signal:
    second, fourth = logits.at(lambda s: s.moment((0, 2))), logits.at(lambda s: s.moment((0, 4)))
    bend = logits.derivatives(lambda s: s.moment((0, 2)))
    groups = x.units / logits.now.n
    own = logits.at(Simplex.square_of_sum) / groups - (fourth - second**2) / x.units
    return _record(
        x,
        logits,
        mean=np.full_like(second, 1 / logits.now.n),
        second=second,
        fourth=fourth,
        bend=bend,
        fluctuation=own + bend[0] ** 2 * x.fluctuation,
    )


def _logarithm(x: Signal, logits: Logits) -> Signal:
    mean, second, fourth = (m[logits.row] for m in logits.now.log_moments())
    bend = logits.derivatives(lambda s: s.log_moments()[1])
    # of a row, log S is one number: what it scatters by moves all squares
    common = np.maximum(second - mean**2 - x.variance, 0.0)
    return _record(
        x,
        logits,
        mean=mean,
        second=second,
        fourth=fourth,
        bend=bend,
        fluctuation=4 * mean**2 * common + bend[0] ** 2 * x.fluctuation,
    )


# ------------------------------------------------------------------------------ backward


@register(behind.RULES, "softmax", "log_softmax")
def softmax_backward(
    node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
) -> list[Any]:
    """J^T g of gradients that are uncorrelated with the probabilities; what all units of g agree
    on is lost in softmax, whose outputs add up to 1."""
    x = operands[0]
    assert isinstance(x, Signal)
    if ("scores", context.at(node)) in context.notes:
        return [softmax_of_scores_backward(node, cotangent, context)]
    logits = context.notes.get(("logits", context.at(node)))
    if logits is None:
        raise UnknownCotangent("softmax of the data themselves")
    g, n = cotangent.gradient, logits.now.n
    arriving, pair = cotangent.second(), cotangent.pair()
    apart = np.maximum(arriving - pair, 0.0)
    if logits.logarithm:
        whole = n * (arriving + (n - 1) * pair)

        def of(s: Simplex, row: Any = logits.row) -> Array:
            return np.asarray(s.moment((0, 2))[row])

        second = arriving - 2 / n * (arriving + (n - 1) * pair) + of(logits.now) * whole
        share = whole / np.maximum(second, _TINY)  # of what depends on the variance
        radial = logits.at(Simplex.log_radial)
    else:

        def of(s: Simplex, row: Any = logits.row) -> Array:
            return np.asarray(s.slope()[row])

        second = apart * of(logits.now)
        share = apart / np.maximum(second, _TINY)
        radial = logits.at(Simplex.radial)
    step = _STRETCH * np.maximum(logits.scale, _TINY)
    up, now, down, curved = (
        share * of(s) for s in (logits.up, logits.now, logits.down, logits.curved)
    )
    rise = (up - down) / (2 * step)
    passed = _at_logits(g, x, second, rise, (up - 2 * now + down) / step**2, curved - now)
    coherent = apart * radial / np.maximum(logits.variance, _TINY)
    made = source(second, -second / (n - 1), replace(passed, coherent=coherent))
    if logits.variable is None:
        return [made]
    return [_by_variable(x, made, logits, arriving, pair)]


def _by_variable(
    x: Signal, made: Cotangent, logits: Logits, arriving: Array, pair: Array
) -> Cotangent:
    """The same gradient as a function of the logit's own variable: the larger a logit, the larger
    the gradient there. How its size goes with the scatter of that variable's law is not followed,
    so all that it could be counts as doubt."""
    assert logits.variable is not None
    root, index, mean = logits.variable
    grid = whole_grid(root)
    f, _ = root.run(whole_kinks(root), index)
    n = logits.now.n
    size = np.empty_like(f)
    for case, row in enumerate(logits.row):
        first, second, slope = logits.now.given(row, f[case] - mean[case])
        whole = arriving[case] + (n - 1) * pair[case]
        of_logarithm = arriving[case] - 2 * first * whole + n * second * whole
        size[case] = of_logarithm if logits.logarithm else (arriving[case] - pair[case]) * slope
    square = size / np.maximum(grid.expect(size), _TINY)[:, None]
    ((key, (own, _)),) = made.terms.items()
    g, zero = made.gradient, np.zeros_like(made.gradient.second)
    doubt = np.abs(g.log_1) * np.sqrt(np.maximum(x.scatter, 0.0))
    gradient = replace(
        g, log_1=zero, log_2=zero, bend=zero, coherent=g.second, size=g.size + doubt, joined=True
    )
    terms = {key: (own, Coefficient(root, np.sqrt(np.maximum(square, 0.0))))}
    return replace(made, terms=terms, gradient=gradient)


def _at_logits(
    g: Gradient, x: Signal, second: Array, rise: Array, curve: Array, added: Array
) -> Gradient:
    """The summary at the logits: logarithmic derivatives of what comes back, and the excess's part.
    What is above is a function of the probabilities, whose moments scatter much: only bounded."""
    above = np.abs(g.log_1) * np.sqrt(np.maximum(x.scatter, 0.0)) if np.any(g.log_1) else 0.0
    return replace(
        g,
        second=second,
        profile=np.zeros_like(second),
        bend=rise,
        log_1=rise,
        log_2=curve - rise**2,
        epsilon=g.epsilon + added,
        size=g.size + np.abs(added) + above,
        blocked=False,
        at_variable=False,
    )
