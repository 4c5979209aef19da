"""Normalisation: batch, layer, group and RMS norm (standardisation, batchnorm, layernorm, rmsnorm).

Each is one op that standardises over axes. Over axes of one example it is layer or group norm: the
elements' own moments are the statistics. Over axis 0 it is batch norm: a unit's mean and variance
over examples, which needs the correlation of two examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.network import backward as behind
from analysis.network import forward as ahead
from analysis.network.context import Context, Record, UnknownSignal
from analysis.network.cotangent import Cotangent, UnknownCotangent, source, whole_grid
from analysis.network.elements import Element
from analysis.network.records import Array, Signal
from analysis.network.roots import DataRoot, GaussianRoot
from analysis.network.sources import Form, gaussian
from tinygrad_edu.graph.node import Node

_TINY = np.finfo(float).tiny


def normalises(*names: str, centres: bool) -> None:
    """Enter ops with the parameters `axes` and `eps`; `centres` says whether the mean is taken
    away (all but RMS norm)."""
    for name in names:
        ahead.RULES[name] = _forward_with(centres)
        behind.RULES[name] = _backward_with(centres)


def _forward_with(centres: bool) -> ahead.Rule:
    def rule(node: Node, operands: Sequence[Record], context: Context) -> Record:
        (x,) = operands
        if not isinstance(x, Signal):
            raise UnknownSignal("a norm of what is no signal")
        known = _of_data(node, x, context)
        if known is not None:
            return known
        if 0 in _axes(node):
            return _over_batch(node, x, context)
        return _within_example(node, x, centres, context)

    return rule


def _backward_with(centres: bool) -> behind.Rule:
    def rule(
        node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
    ) -> list[Any]:
        (x,) = operands
        assert isinstance(x, Signal)
        if context.notes[context.at(node)] is None:
            raise UnknownCotangent("a norm of the data themselves")
        if 0 in _axes(node):
            return [_back_over_batch(node, x, cotangent, context)]
        return [_back_within_example(node, x, centres, cotangent, context)]

    return rule


def _axes(node: Node) -> tuple[int, ...]:
    rank = len(node.shape)
    axes = node.params["axes"]
    return tuple(axis % rank for axis in (axes if isinstance(axes, tuple) else (axes,)))


def _eps(node: Node) -> float:
    return float(node.params.get("eps", 0.0))


# ------------------------------------------------------------------------------ one example


def _statistics(x: Signal, centres: bool) -> tuple[Array, Array]:
    """Mean and spread over the places that are normalised together."""

    def pooled(values: Array) -> Array:
        return np.repeat(values.reshape(-1, x.places).mean(axis=1), x.places)

    mean = pooled(x.mean) if centres else np.zeros_like(x.mean)
    return mean, np.maximum(pooled(x.second) - mean**2, 0.0)


def _pools_places(node: Node) -> bool:
    """Whether the axes reach over all positions (after those of batch and channels or groups)."""
    return len(node.shape) > 2 and set(range(2, len(node.shape))) <= set(_axes(node))


def _within_example(node: Node, x: Signal, centres: bool, context: Context) -> Record:
    """(y - mean) / sqrt(v + eps): a constant factor in the limit. The elements' own average square
    is then v / (v + eps) whatever the weights, so it does not scatter; a Gaussian element becomes a
    coordinate on a sphere, with excess kurtosis -6 / count."""
    if np.prod([node.shape[axis] for axis in _axes(node)]) < 2:
        raise UnknownSignal("a norm over one element gives 0 whatever it is")
    if x.places > 1 and not _pools_places(node):
        raise UnknownSignal("a norm over the channels of one position, or some of the positions")
    count = max(_count(node, x), 1)
    mean, spread = _statistics(x, centres)
    factor = 1 / np.sqrt(np.maximum(spread + _eps(node), _TINY))
    context.notes[context.at(node)] = (spread, factor)
    element = None if x.element is None else x.element.affine(factor, -factor * mean)
    second = factor**2 * np.maximum(x.second - 2 * mean * x.mean + mean**2, 0.0)
    fourth = 3 * second**2 if element is None else element.moments()[2]
    # v scatters, and v / (v + eps) is curved
    scatter = np.abs(x.fluctuation) + (x.fourth - x.second**2) / count
    bent = -_eps(node) * scatter * factor**6
    partner = None
    if x.partner is not None and not np.any(mean):
        partner = factor * context.partner(factor) * x.partner
    whole = x.units
    return replace(
        x,
        mean=factor * (x.mean - mean),
        second=second,
        fourth=fourth,
        shift=bent,
        size=4 * np.abs(bent),
        fluctuation=-(fourth - second**2) / whole,
        excess=x.excess - 6 * (1 / count - 1 / whole),
        joined=x.joined or not _simple(node, x),
        centred=centres,
        element=element,
        sources=x.sources if element is None else element.sources,
        fixed=False,
        partner=partner,
    )


def _simple(node: Node, x: Signal) -> bool:
    """One group of Gaussian elements: then the corrections of order 1/width are exact."""
    return x.gaussian and x.places == 1 and _count(node, x) == x.units


def _count(node: Node, x: Signal) -> int:
    """How many elements are normalised together. Positions of one channel share its weights, so how
    much they count is open: not at all here, and corrections behind them count as doubtful."""
    return int(np.prod([node.shape[axis] for axis in _axes(node)])) // x.places


def _back_within_example(
    node: Node, x: Signal, centres: bool, cotangent: Cotangent, context: Context
) -> Cotangent:
    """The directions along the mean and along the signal are lost, of n; the rest is divided by
    v + eps. What all units agree on is the mean's direction."""
    spread, factor = context.notes[context.at(node)]
    n, eps, g = max(_count(node, x), 1), _eps(node), cotangent.gradient
    ratio = spread / np.maximum(spread + eps, _TINY)
    along = g.coherent / np.maximum(g.second, _TINY)
    terms = [-np.full_like(ratio, float(centres) / n), -(2 * ratio - ratio**2) * along / n]
    if x.gaussian:
        # seen as a function of the variance q of x: E[1/v] = (1 + 3/n)/q, or 2/n about 0; above,
        # length does not scatter
        bend = (g.log_2 + g.log_1**2) / 2
        terms += [(2.0 + centres) * ratio**2 / n, -2 * bend * ratio**2 / n]
    passed = cotangent.by_slope(None, factor, factor**2)
    if centres and np.any(cotangent.pair()):
        second = factor**2 * (cotangent.second() - cotangent.pair())
        passed = source(second, np.zeros_like(second), g)
    whole = np.maximum(spread + eps, _TINY)
    gradient = replace(
        g,
        second=factor**2 * g.second,
        coherent=factor**2 * (1 - ratio) ** 2 * g.coherent,
        log_1=-1 / whole,
        log_2=1 / whole**2,
        profile=np.zeros_like(g.second),
        bend=np.zeros_like(g.second),
        epsilon=g.epsilon + sum(terms),
        size=g.size + sum(map(np.abs, terms)),
        blocked=False,
        joined=g.joined or not _simple(node, x),
    )
    return passed.with_gradient(gradient)


# ------------------------------------------------------------------------------ data


def _of_data(node: Node, x: Signal, context: Context) -> Signal | None:
    """Numbers that are normalised are numbers."""
    element = x.element
    if not x.fixed or element is None or not isinstance(element.root, DataRoot) or x.places > 1:
        return None
    assert node.op is not None
    root = element.root
    values = root.program.run(root.numbers, element.index)[element.index][0]
    values = values + element.form.mean[:, None]
    shape = (len(values), *node.shape[1:])
    made = np.asarray(node.op.forward(values.reshape(shape), **node.params), np.float64)
    own = root.with_numbers(made.reshape(values.shape))
    element = Element(Form(np.zeros_like(x.mean), {}), own)
    mean, second, fourth = element.moments()
    context.notes[context.at(node)] = None
    partner = np.mean(own.numbers * context.partner_rows(own.numbers), axis=1)
    return replace(
        x,
        mean=mean,
        second=second,
        fourth=fourth,
        element=element,
        partner=None if context.partners is None else partner,
    )


# ------------------------------------------------------------------------------ the batch


def _over_batch(node: Node, x: Signal, context: Context) -> Record:
    """A unit's values over the examples, standardised: mean 0, second moment v / (v + eps), with v
    the part of its variance that examples do not share. Gaussian values become coordinates on a
    sphere of m - 1 dimensions, which add up to 0."""
    if x.partner is None:
        raise UnknownSignal("batch norm, where two examples' correlation is not known")
    if context.partners is not None:
        context.assume("batch norm: examples are paired with the next one for their correlation")
    m = context.batch * x.places
    if m < _FEWEST:
        raise UnknownSignal(f"batch norm over {m} values, where at least {_FEWEST} are needed")
    context.assume(f"batch norm is in training mode, with batches of {context.batch}")
    own = np.maximum(x.second - _shared(x, context), 0.0)
    spread = np.full_like(own, context.average(own))
    factor = 1 / np.sqrt(np.maximum(spread + _eps(node), _TINY))
    context.notes[context.at(node)] = (spread, factor)
    context.notes["narrowness", context.at(node)] = context.narrowness
    second = factor**2 * own
    apart = -second / (m - 1)
    element = None
    if x.gaussian:
        element = Element(gaussian(second))
        for key in element.form.terms:
            context.correlations[key] = np.full_like(second, -1 / (m - 1))
    elif x.element is not None and np.allclose(x.partner, x.mean * context.partner(x.mean)):
        element = x.element.affine(factor, -factor * x.mean)
    fourth = 3 * second**2 if element is None else element.moments()[2]
    zero = np.zeros_like(second)
    return replace(
        x,
        mean=zero,
        second=second,
        fourth=fourth,
        shift=zero,
        size=second * _doubt(x, m, context),
        fluctuation=zero,
        # each unit is divided by its own v, which scatters as much again between units
        excess=zero - 6 / (m + 1) - 3 * context.narrowness,
        element=element,
        sources=x.sources | (frozenset() if element is None else element.sources),
        fixed=False,
        joined=True,
        partner=apart,
    )


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


_FEWEST = 5
"""E[1/v] is infinite for 3 values and its expansion useless for 4."""
_PAIRED = 0.2
"""What pairs of neighbouring examples of a data set may leave open of the correlation of all."""


_HEAVY = 6.0
"""The variance of a batch of m values that are not Gaussian varies by (kurtosis - 1)/m, and with
the values themselves. The kurtosis of relu's is 5.4."""


def _doubt(x: Signal, m: int, context: Context) -> float:
    """What is left out: terms of order 1/m^2, and 1/m behind what is not Gaussian; how positions
    depend on each other; of data, how examples do."""
    dependent = 1 / context.batch if x.places > 1 else 0.0
    dependent += 0.0 if x.gaussian else _HEAVY / m
    return 6 / m**2 + dependent + (_PAIRED if context.partners is not None else 0.0)


_POSITIONS = 0.1
"""What the correlation of different positions may change in the variance that batch norm sees."""


def _back_over_batch(node: Node, x: Signal, cotangent: Cotangent, context: Context) -> Cotangent:
    """Divided by v + eps, where E[1/v] = m/(m - 3) / (its mean), less what is lost along the mean
    and along the signal (batchnorm-finite-batch)."""
    _, factor = context.notes[context.at(node)]
    g = cotangent.gradient
    if np.any(cotangent.pair()):
        raise UnknownCotangent("batch norm below weights that have a mean")
    m = context.batch * x.places
    lost = _lost(cotangent, m)
    slope = factor * np.sqrt(np.maximum(m / (m - 3) * (1 - lost / m), 0.0))
    passed = _summing_to_0(cotangent.by_slope(None, slope, slope**2), m)
    zero = np.zeros_like(g.second)
    spread = np.abs(x.scatter) / np.maximum(x.second**2, _TINY)
    spread = spread + 2 * context.notes["narrowness", context.at(node)]
    gradient = replace(
        g,
        second=slope**2 * g.second,
        coherent=slope**2 * g.coherent,
        log_1=zero,
        log_2=zero,
        profile=zero,
        bend=zero,
        size=g.size + spread,
        slack=g.slack + _doubt(x, m, context) + (_POSITIONS if x.places > 1 else 0.0),
        blocked=False,
        joined=True,
    )
    return passed.with_gradient(gradient)


def _lost(cotangent: Cotangent, m: int) -> Array:
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
            shared = shared - (m - 1) * arriving.across * (mean**2 + cross**2)
    return 1 + (along - shared) / np.maximum(cotangent.second(), _TINY)


def _summing_to_0(cotangent: Cotangent, m: int) -> Cotangent:
    """Over the batch: two examples have the correlation -1/(m - 1)."""
    terms = {}
    for key, (arriving, c) in cotangent.terms.items():
        mean = c.mean() ** 2
        own = arriving.second * c.square() / np.where(mean > 0, mean, 1.0)
        terms[key] = (replace(arriving, across=-np.where(mean > 0, own, 0.0) / (m - 1)), c)
    return replace(cotangent, terms=terms)


normalises("standardize", centres=True)
normalises("unit_rms", centres=False)
