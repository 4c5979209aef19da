"""Batch norm: a unit's values over the examples, and over positions, are standardised
(standardisation, batchnorm).

That takes away what examples share, which needs the correlation of two examples; on small maps it
is followed for each pair of positions, because it differs at the borders.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np

from analysis.network.context import Context, Record, UnknownSignal
from analysis.network.cotangent import Cotangent, UnknownCotangent, source, whole_grid
from analysis.network.elements import Element
from analysis.network.fields import across, correlated, pairs_of, remember, times
from analysis.network.records import Array, Gradient, Signal
from analysis.network.roots import GaussianRoot
from analysis.network.rules.batch_of_data import Drawn, about_average, back, draw
from analysis.network.rules.spreads import spreads
from analysis.network.sources import gaussian
from tinygrad_edu.graph.node import Node

_TINY = np.finfo(float).tiny


def eps_of(node: Node) -> float:
    """What is added to the variance."""
    return float(node.params.get("eps", 0.0))


# ------------------------------------------------------------------------------ forward


def over_batch(node: Node, x: Signal, context: Context) -> Record:
    """A unit's values over the examples, standardised: mean 0, second moment v / (v + eps), with v
    the part of its variance that examples do not share. Gaussian values become coordinates on a
    sphere of m - 1 dimensions, which add up to 0."""
    if x.partner is None:
        raise UnknownSignal("batch norm, where two examples' correlation is not known")
    m = context.batch * x.places
    if m < FEWEST:
        raise UnknownSignal(f"batch norm over {m} values, where at least {FEWEST} are needed")
    context.assume(f"batch norm is in training mode, with batches of {context.batch}")
    drawn = draw(x, eps_of(node), context)
    if drawn is not None:
        return _of_data(node, x, drawn, context)
    between = _between(x, context)
    # a unit's mean over examples and places is that of all
    still = _about_average(between, between) if between is not None else None
    own, pairwise = _unshared(x, between, still, context)
    spread = np.full_like(own, context.average(own))
    factor = 1 / np.sqrt(np.maximum(spread + eps_of(node), _TINY))
    context.notes[context.at(node)] = (spread, factor)
    context.notes["narrowness", context.at(node)] = context.narrowness
    silent = _silent(node, x, spread, context)
    second = factor**2 * own * (1 - silent)
    apart = -second / (m - 1)
    if pairwise is not None:
        apart = factor * context.partner(factor) * pairwise
    elif still is not None:
        apart = apart + factor**2 * np.einsum("cpp->cp", still).reshape(-1)
    element, mean = None, np.zeros_like(second)
    pairs = functools.cache(lambda: _pairs_about_shared(x, between, context))
    if x.gaussian:
        element = Element(gaussian(second))
        for key in element.form.terms:
            scale = np.sqrt(np.maximum(second, _TINY))
            context.correlations[key] = apart / (scale * context.partner(scale))
            remember(
                key, lambda: _correlated(pairs(), own), context, lambda: _correlated(still, own)
            )
    elif x.element is not None and np.allclose(x.partner, x.mean * context.partner(x.mean)):
        centre = x.mean if still is None else np.full_like(x.mean, context.average(x.mean))
        element, mean = x.element.affine(factor, -factor * centre), factor * (x.mean - centre)
    fourth = 3 * second**2 if element is None else element.moments()[2]
    zero = np.zeros_like(second)
    return replace(
        x,
        mean=mean,
        second=second,
        fourth=fourth,
        shift=zero,
        size=second * (_doubt(x, m, context) + eps_of(node) * factor**2 + 2 * silent),
        fluctuation=zero,
        # each unit is divided by its own v, which scatters as much again between units
        excess=zero - 6 / (m + 1) - 3 * context.narrowness,
        element=element,
        sources=x.sources | (frozenset() if element is None else element.sources),
        fixed=False,
        joined=True,
        # of data: how pairs of places, or of values that are not Gaussian, go together is open
        reshaped=x.reshaped + (0.0 if context.partners is None else _PAIRED),
        partner=apart,
        pairs=None if element is not None else lambda: times(pairs(), factor),
    )


def _unshared(
    x: Signal, between: Array | None, still: Array | None, context: Context
) -> tuple[Array, Array | None]:
    """What values have beside their unit's mean over the batch: E[(y - mean)^2], and of data that
    of all pairs of examples."""
    if context.partners is not None:
        assert x.partner is not None
        about = about_average(x.partner, x.second, context.partners)
        own = np.einsum("ree->er", about).reshape(-1)
        return np.maximum(own, 0.0), context.partners.table(about)
    if between is not None and still is not None:
        own = x.second - np.einsum("cpp->cp", between - still).reshape(-1)
    else:
        own = x.second - _shared(x, context)
    return np.maximum(own, 0.0), None


def _of_data(node: Node, x: Signal, drawn: Drawn, context: Context) -> Signal:
    """A Gaussian signal on data: every pair of examples has its own covariance."""
    y = drawn.rows
    second, fourth = np.mean(y**2, axis=1), np.mean(y**4, axis=1)
    apart = context.products(y)
    assert apart is not None
    open_scatter = context.narrowness + context.unevenness
    form = gaussian(np.maximum(second, _TINY))
    ((number, first),) = form.terms
    scale = form.terms[number, first]
    context.correlations[number, first] = apart / (scale * context.partner(scale))
    context.notes.setdefault("drawn", {})[number] = y / scale[:, None], open_scatter
    context.notes[context.at(node)] = drawn, (number, first)
    context.notes["narrowness", context.at(node)] = open_scatter
    context.unevenness += drawn.uneven / x.units / 2
    element, zero = Element(form), np.zeros_like(second)
    return replace(
        x,
        mean=zero,
        second=second,
        fourth=fourth,
        shift=zero,
        size=second * (1 - context.average(second)),  # how much eps takes goes with the width
        fluctuation=zero,
        # each unit is divided by its own v, which scatters as much again between units
        excess=fourth / np.maximum(second**2, _TINY) - 3 - 3 * open_scatter,
        element=element,
        sources=x.sources | element.sources,
        fixed=False,
        joined=True,
        partner=apart,
        pairs=None,
    )


def _silent(node: Node, x: Signal, spread: Array, context: Context) -> float:
    """What units take from the second moment that are off on the whole batch, or nearly: their v is
    0 and not that of others. It depends much on how alike the examples are, so its error is of its
    own size, and as much again is left open."""
    m, eps = context.batch * x.places, eps_of(node)
    own = None if x.gaussian else spreads(x, eps, m, context)
    context.notes["spreads", context.at(node)] = own
    if own is None:
        return 0.0
    alike = float(np.min(spread / np.maximum(spread + eps, _TINY)))  # if all units had the same v
    return max(1 - own.kept / max(alike, _TINY), 0.0)


_MOST_PLACES = 256
"""Places up to which what two examples share is followed for each pair of them; on larger maps the
borders, where it differs, matter little."""


def _between(x: Signal, context: Context) -> Array | None:
    return across(x, context) if 1 < x.places <= _MOST_PLACES else None


def _about_average(table: Array, between: Array) -> Array:
    """E[(x_p - M)(x_q - M)] from E[x_p x_q] for the mean M over many examples and all places."""
    rows = between.mean(axis=2)
    whole = rows.mean(axis=1)[:, None, None]
    return np.asarray(table - rows[:, :, None] - rows[:, None, :] + whole)


def _pairs_about_shared(x: Signal, between: Array | None, context: Context) -> Array | None:
    """E[x_p x_q] about the mean over the batch."""
    table = pairs_of(x, context)
    if table is None:
        return None
    if between is not None:
        return _about_average(table, between)
    shared = context.others(_shared(x, context))
    shared = np.sqrt(np.maximum(shared, 0.0)).reshape(table.shape[:2])
    return np.asarray(table - shared[:, :, None] * shared[:, None, :])


def _correlated(table: Array | None, variance: Array) -> Array | None:
    return None if table is None else correlated(table, variance)


def _shared(x: Signal, context: Context) -> Array:
    """E[z z'] on two examples, at two positions."""
    assert x.partner is not None
    shared = x.partner
    if x.gaussian and x.element is not None:
        for key, c in x.element.form.terms.items():
            apart = 1 - context.notes.get(("common", key), 1.0)
            if apart and key in context.correlations:
                shared = shared - apart * c * context.partner(c) * context.correlations[key]
    return shared


FEWEST = 5
"""E[1/v] is infinite for 3 values and its expansion useless for 4."""
_PAIRED = 0.2
"""What each pair of a data set may leave open where it is followed at one place alone, or for
values that are not Gaussian."""


_HEAVY = 6.0
"""The variance of a batch of m values that are not Gaussian varies by (kurtosis - 1)/m, and with
the values themselves. The kurtosis of relu's is 5.4."""


def _doubt(x: Signal, m: int, context: Context) -> float:
    """What is left out: terms of order 1/m^2, and 1/m behind what is not Gaussian; how positions
    depend on each other; of data, how examples do."""
    dependent = 1 / context.batch if x.places > 1 else 0.0
    dependent += 0.0 if x.gaussian else _HEAVY / m
    return 6 / m**2 + dependent + _paired(x, context)


def _paired(x: Signal, context: Context) -> float:
    """What is left open on data of the dependence on the batch: more where examples differ more in
    size, because formulas are those of a law's."""
    if context.partners is None:
        return 0.0
    ratio = context.average(x.second**2) / max(context.average(x.second) ** 2, _TINY)
    return _PAIRED + math.sqrt(max(ratio - 1, 0.0))


_MOST = 0.5
"""Beyond this relative doubt the expansion of E[1/v] in 1/m says nothing."""
_POSITIONS = 0.1
"""What the correlation of different positions may change in the variance that batch norm sees."""


def back_over_batch(node: Node, x: Signal, cotangent: Cotangent, context: Context) -> Cotangent:
    """Divided by v + eps, where E[1/v] = m/(m - 3) / (its mean), less what is lost along the mean
    and along the signal (batchnorm-finite-batch)."""
    g = cotangent.gradient
    if np.any(cotangent.pair()):
        raise UnknownCotangent("batch norm below weights that have a mean")
    m = context.batch * x.places
    known, factor = context.notes[context.at(node)]
    if isinstance(known, Drawn):
        second, across, uneven = back(known, factor, cotangent)
        passed = source(second, np.zeros_like(second), g, across)
        # what covariances scatter by meets units that differ by as much
        scattered = 2 * context.notes["narrowness", context.at(node)] * math.sqrt(uneven)
        return _behind(passed, g, scattered, math.sqrt(uneven / known.draws))
    lost = _lost(cotangent, m, context)
    kept = m / (m - 3) * (1 - lost / m)
    doubt = _doubt(x, m, context)
    own = context.notes["spreads", context.at(node)]
    if own is None:
        slope = factor * np.sqrt(np.maximum(kept, 0.0))
        passed = cotangent.by_slope(None, slope, slope**2)
    else:
        doubt = max(doubt, own.tail)
        if doubt > _MOST:
            raise UnknownCotangent(f"batch norm over {m} values that are so different in size")
        mean, square = (np.maximum(kept, 0.0)[:, None] ** p * own.inverse(p) for p in (0.5, 1.0))
        passed = cotangent.by_slope(own.root, mean, square)
    passed = _summing_to_0(passed, m, context)
    spread = np.abs(x.scatter) / np.maximum(x.second**2, _TINY)
    # v scatters by what covariances scatter by, too, and E[1/v] is larger: where that is not
    # followed, it is in doubt
    unknown = 0.0 if x.loose else context.notes["narrowness", context.at(node)]
    spread = spread + 2 * unknown
    passed = _behind(passed, g, spread, doubt + (_POSITIONS if x.places > 1 else 0.0))
    larger, after = 2 * x.loose, passed.gradient
    return passed.with_gradient(
        replace(after, epsilon=after.epsilon + larger, size=after.size + larger)
    )


def _behind(passed: Cotangent, g: Gradient, spread: Array | float, doubt: float) -> Cotangent:
    """The gradient at the input with its corrections: a second moment that is divided away does
    not scatter."""
    zero = np.zeros_like(g.second)
    gradient = replace(
        g,
        log_1=zero,
        log_2=zero,
        profile=zero,
        bend=zero,
        size=g.size + spread,
        slack=g.slack + doubt,
        blocked=False,
        joined=True,
    )
    return passed.with_gradient(gradient)


def _lost(cotangent: Cotangent, m: int, context: Context) -> Array:
    """How many of m directions of the batch are lost: with u_a = c(y_a) d_a and k = -(m - 1) times
    the correlation of d on two examples, 1 - k E[c]^2/E[c^2] along the mean and, along the signal,
    (E[y^2 c^2] - k E[y c]^2)/E[c^2]."""
    zero = np.zeros_like(cotangent.gradient.second)
    along, shared = zero, zero
    for arriving, c in cotangent.terms.values():
        mean, square, cross = c.mean(), c.square(), zero
        if isinstance(c.root, GaussianRoot):
            grid = whole_grid(c.root)
            assert grid.z is not None
            square = grid.expect((grid.z * c.value) ** 2)
            cross = grid.expect(grid.z * c.value)
        along = along + arriving.second * square
        if arriving.across is not None:
            others = context.others(arriving.across)
            shared = shared - (m - 1) * others * (mean**2 + cross**2)
    return 1 + (along - shared) / np.maximum(cotangent.second(), _TINY)


def _summing_to_0(cotangent: Cotangent, m: int, context: Context) -> Cotangent:
    """Over the batch: two examples have the correlation -1/(m - 1)."""
    terms = {}
    for key, (arriving, c) in cotangent.terms.items():
        mean = c.mean() ** 2
        own = arriving.second * c.square() / np.where(mean > 0, mean, 1.0)
        size = np.sqrt(np.where(mean > 0, own, 0.0) / (m - 1))
        terms[key] = (replace(arriving, across=-size * context.partner(size)), c)
    return replace(cotangent, terms=terms)
