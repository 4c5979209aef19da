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
from analysis.network.cotangent import Cotangent, UnknownCotangent, source
from analysis.network.elements import Element
from analysis.network.records import Array, Signal
from analysis.network.sources import gaussian
from tinygrad_edu.graph.node import Node

_TINY = np.finfo(float).tiny
_BATCH = 64
"""The batch that what is left out is stated for, where the input does not say: `measure`'s own."""
_PER_BATCH = 1.5
"""A batch of m adds about 1/m to a layer's gradient factor: 1/(m - 3) for the identity, 1.2/m for
relu (batchnorm-finite-batch)."""


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


def _statistics(node: Node, x: Signal, centres: bool) -> tuple[Array, Array, Array]:
    """Mean, spread and their common size, over the places that are normalised together."""

    def pooled(values: Array) -> Array:
        if x.places == 1 or not _pools_places(node):
            return values
        return np.repeat(values.reshape(-1, x.places).mean(axis=1), x.places)

    mean = pooled(x.mean) if centres else np.zeros_like(x.mean)
    return mean, np.maximum(pooled(x.second) - mean**2, 0.0), mean


def _pools_places(node: Node) -> bool:
    """Whether the axes reach over positions (after those of batch and channels or groups)."""
    return len(node.shape) > 2 and any(axis >= 2 for axis in _axes(node))


def _within_example(node: Node, x: Signal, centres: bool, context: Context) -> Record:
    """(y - mean) / sqrt(v + eps): a constant factor in the limit. The elements' own average square
    is then v / (v + eps) whatever the weights, so it does not scatter."""
    count = _count(node)
    if count < 2:
        raise UnknownSignal("a norm over one element gives 0 whatever it is")
    mean, spread, _ = _statistics(node, x, centres)
    factor = 1 / np.sqrt(np.maximum(spread + _eps(node), _TINY))
    context.notes[context.at(node)] = (spread, factor)
    element = None if x.element is None else x.element.affine(factor, -factor * mean)
    second = factor**2 * np.maximum(x.second - 2 * mean * x.mean + mean**2, 0.0)
    fourth = 3 * second**2 if element is None else element.moments()[2]
    # v scatters, and v / (v + eps) is curved
    bent = -_eps(node) * np.abs(x.scatter) * factor**6
    partner = None
    if x.partner is not None and not np.any(mean):
        partner = factor * context.partner(factor) * x.partner
    return replace(
        x,
        mean=factor * (x.mean - mean),
        second=second,
        fourth=fourth,
        shift=bent,
        size=np.abs(bent),
        fluctuation=-(fourth - second**2) / x.units,
        joined=True,
        element=element,
        sources=x.sources if element is None else element.sources,
        fixed=False,
        partner=partner,
    )


def _count(node: Node) -> int:
    return int(np.prod([node.shape[axis] for axis in _axes(node)]))


def _back_within_example(
    node: Node, x: Signal, centres: bool, cotangent: Cotangent, context: Context
) -> Cotangent:
    """The directions along the mean and along the signal are lost, of n; the rest is divided by
    v + eps. What all units agree on is the mean's direction."""
    spread, factor = context.notes[context.at(node)]
    n, eps, g = _count(node), _eps(node), cotangent.gradient
    ratio = spread / np.maximum(spread + eps, _TINY)
    along = g.coherent / np.maximum(g.second, _TINY)
    lost = (float(centres) + (2 * ratio - ratio**2) * along) / n
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
        epsilon=g.epsilon - lost,
        size=g.size + lost,
        blocked=False,
        joined=True,
    )
    return passed.with_gradient(gradient)


# ------------------------------------------------------------------------------ the batch


def _over_batch(node: Node, x: Signal, context: Context) -> Record:
    """A unit's values over the examples, standardised: mean 0, second moment v / (v + eps), with v
    the part of its variance that examples do not share."""
    if x.partner is None:
        raise UnknownSignal("batch norm, where two examples' correlation is not known")
    if context.partners is not None:
        context.assume("batch norm: examples are paired with the next one for their correlation")
    own = np.maximum(x.second - x.partner, 0.0)
    spread = np.full_like(own, context.average(own))
    context.assume(
        "batch norm is in training mode and its batch is large: its gradient's factor is larger "
        "by about 1/m at a batch of m"
    )
    factor = 1 / np.sqrt(np.maximum(spread + _eps(node), _TINY))
    context.notes[context.at(node)] = (spread, factor)
    second = factor**2 * own
    element = None
    if x.gaussian:
        element = Element(gaussian(second))
        for key in element.form.terms:
            context.correlations[key] = np.zeros_like(second)
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
        size=second / _batch(context),
        fluctuation=-(fourth - second**2) / x.units,
        element=element,
        sources=x.sources | (frozenset() if element is None else element.sources),
        fixed=False,
        joined=True,
        partner=zero,
    )


def _batch(context: Context) -> int:
    return _BATCH if context.partners is None else len(context.weights)


def _back_over_batch(node: Node, x: Signal, cotangent: Cotangent, context: Context) -> Cotangent:
    """Divided by v + eps; each unit loses 2 of m directions and its own v is seen through 1/v."""
    _, factor = context.notes[context.at(node)]
    g = cotangent.gradient
    if np.any(cotangent.pair()):
        raise UnknownCotangent("batch norm below weights that have a mean")
    passed = cotangent.by_slope(None, factor, factor**2)
    zero = np.zeros_like(g.second)
    spread = np.abs(x.scatter) / np.maximum(x.second**2, _TINY)
    gradient = replace(
        g,
        second=factor**2 * g.second,
        coherent=factor**2 * g.coherent,
        log_1=zero,
        log_2=zero,
        profile=zero,
        bend=zero,
        size=g.size + spread,
        slack=g.slack + _PER_BATCH / _batch(context),
        blocked=False,
        joined=True,
    )
    return passed.with_gradient(gradient)


normalises("standardize", centres=True)
normalises("scale_to_unit_rms", "rms_normalize", centres=False)
