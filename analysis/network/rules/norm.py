"""Normalisation: batch, layer, group and RMS norm (standardisation, batchnorm, layernorm, rmsnorm).

Each is one op that standardises over axes. Over axes of one example it is layer or group norm: the
elements' own moments are the statistics. Over axis 0 it is batch norm: a unit's mean and variance
over examples, which needs the correlation of two examples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.network import backward as behind
from analysis.network import forward as ahead
from analysis.network.context import Context, Record, UnknownSignal
from analysis.network.cotangent import Cotangent, UnknownCotangent, source
from analysis.network.fields import times
from analysis.network.records import Array, Signal
from analysis.network.rules.batch import FEWEST, back_over_batch, eps_of, over_batch
from analysis.network.rules.data import norm_of_data
from tinygrad_edu.graph.node import Node

_TINY = np.finfo(float).tiny
_NORMS: set[str] = set()


def normalises(*names: str, centres: bool) -> None:
    """Enter ops with the parameters `axes` and `eps`; `centres` says whether the mean is taken
    away (all but RMS norm)."""
    _NORMS.update(names)
    for name in names:
        ahead.RULES[name] = _forward_with(centres)
        behind.RULES[name] = _backward_with(centres)


def _forward_with(centres: bool) -> ahead.Rule:
    def rule(node: Node, operands: Sequence[Record], context: Context) -> Record:
        (x,) = operands
        if not isinstance(x, Signal):
            raise UnknownSignal("a norm of what is no signal")
        known = norm_of_data(node, x, context)
        if known is not None:
            return known
        if 0 in axes_of(node):
            return over_batch(node, x, context)
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
        if 0 in axes_of(node):
            return [back_over_batch(node, x, cotangent, context)]
        return [_back_within_example(node, x, centres, cotangent, context)]

    return rule


def axes_of(node: Node) -> tuple[int, ...]:
    """The axes that a norm goes over, none of them negative."""
    rank = len(node.shape)
    axes = node.params["axes"]
    return tuple(axis % rank for axis in (axes if isinstance(axes, tuple) else (axes,)))


def compares_examples(node: Node) -> bool:
    """Whether an op normalises over the examples (batch norm in training mode)."""
    return node.op is not None and node.op.name in _NORMS and 0 in axes_of(node)


# ------------------------------------------------------------------------------ one example


def _statistics(x: Signal, centres: bool) -> tuple[Array, Array]:
    """Mean and spread over the places that are normalised together."""

    def pooled(values: Array) -> Array:
        return np.repeat(values.reshape(-1, x.places).mean(axis=1), x.places)

    mean = pooled(x.mean) if centres else np.zeros_like(x.mean)
    return mean, np.maximum(pooled(x.second) - mean**2, 0.0)


def _pools_places(node: Node, x: Signal) -> bool:
    """Whether the axes reach over all positions (after those of batch and channels or groups), or
    over everything, in whatever shape."""
    if np.prod([node.shape[axis] for axis in axes_of(node)]) == x.units * x.places:
        return True
    return len(node.shape) > 2 and set(range(2, len(node.shape))) <= set(axes_of(node))


def _within_example(node: Node, x: Signal, centres: bool, context: Context) -> Record:
    """(y - mean) / sqrt(v + eps): a constant factor in the limit. The elements' own average square
    is then v / (v + eps) whatever the weights, so it does not scatter; a Gaussian element becomes a
    coordinate on a sphere, with excess kurtosis -6 / count."""
    if np.prod([node.shape[axis] for axis in axes_of(node)]) < 2:
        raise UnknownSignal("a norm over one element gives 0 whatever it is")
    if x.places > 1 and not _pools_places(node, x):
        raise UnknownSignal("a norm over the channels of one position, or some of the positions")
    count = max(_count(node, x), 1)
    channels = count if centres else math.inf
    mean, spread = _statistics(x, centres)
    factor = 1 / np.sqrt(np.maximum(spread + eps_of(node), _TINY))
    context.notes[context.at(node)] = (spread, factor)
    element = None if x.element is None else x.element.affine(factor, -factor * mean)
    second = factor**2 * np.maximum(x.second - 2 * mean * x.mean + mean**2, 0.0)
    fourth = 3 * second**2 if element is None else element.moments()[2]
    # v scatters, and v / (v + eps) is curved; about their own mean, of n units 1/n of v is lost
    own = x.fourth - x.second**2 if element is None else (fourth - second**2) / factor**4
    scatter = np.abs(x.fluctuation) + own / count
    bent = -eps_of(node) * scatter * factor**6
    lost = eps_of(node) * factor**4 * spread / channels
    partner = None
    if x.partner is not None and not np.any(mean):
        partner = factor * context.partner(factor) * x.partner
    nothing = max(x.dead, x.alike) if centres else x.dead  # equal units give 0: exact, no size
    fluctuation, excess = _sphere(x, second, fourth, factor, count)
    left = np.zeros_like(second) if centres else (factor * x.mean) ** 2
    open_size = 4 * np.abs(bent) + lost + left * factor**2 * (np.abs(x.shift) + x.size)
    if np.any(left):
        # a mean stays, and which share of the length it has goes with the scatter of the rest
        alone, between = 2 * (second - left) ** 2, 4 * left * (second - left)
        wander = factor**4 * np.maximum(x.fluctuation, 0.0)
        fluctuation = left**2 * wander - alone / x.units
        open_size = open_size + between / x.units + left * wander
    rough = bool(np.any(left))
    if count < FEWEST and not x.gaussian:  # of so few, all may be off, or nearly
        open_size = open_size + second * 0.5**count
        rough = True
    if np.any(scatter > _ROUGH * spread**2) or 0 < nothing < _RARE:
        rough = True
        open_size = open_size + second * (5 * eps_of(node) * factor**2 + nothing)
    return replace(
        x,
        mean=factor * (x.mean - mean),
        second=second,
        fourth=fourth,
        shift=bent - lost - nothing * second,
        size=open_size,
        fluctuation=fluctuation,
        excess=excess,
        dead=nothing,
        alike=0.0,
        joined=x.joined or rough or not _simple(node, x),
        reshaped=0.0 if x.gaussian else 1 / count + float(np.max(_wander(x, context))),
        centred=centres,
        element=element,
        sources=x.sources if element is None else element.sources,
        fixed=False,
        partner=partner,
        pairs=None if x.pairs is None else lambda: _pairs_within(x, mean, factor, channels),
    )


def _pairs_within(x: Signal, mean: Array, factor: Array, channels: float) -> Array | None:
    """E[y_p y_q] of y = factor (x - M) where x has no law that would say it. M, the average over
    all places of so many independent channels, scatters with them (RMS norm has M = 0: infinitely
    many)."""
    assert x.pairs is not None
    table = x.pairs()
    if table is None:
        return None
    own, about = (a.reshape(table.shape[:2]) for a in (x.mean, mean))
    covariance = table - own[:, :, None] * own[:, None, :]
    rows = covariance.mean(axis=2) / channels
    covariance = covariance - rows[:, :, None] - rows[:, None, :]
    covariance = covariance + rows.mean(axis=1)[:, None, None]
    left = own - about
    made = covariance + left[:, :, None] * left[:, None, :]
    # what is taken with M is missing in the variance that it is divided by, too
    squares = np.einsum("cww->cw", made).mean(axis=1)
    whole = (np.einsum("cww->cw", table) - about**2).mean(axis=1)
    return times(made * (whole / np.maximum(squares, _TINY))[:, None, None], factor)


_ROUGH = 0.1
"""Relative variance of v from which on the expansion in it is an estimate: of few elements, E[1/v]
is several times 1/E[v], and so is what eps takes away."""
_RARE = 0.01
"""Networks that are dead so rarely need not be among those that are measured."""


def _wander(x: Signal, context: Context) -> Array:
    """Relative scatter of the second moment of the variable that x is a function of."""
    root = None if x.element is None else x.element.root
    v = x if root is None else context.variables.get(root, x)
    return np.asarray(np.maximum(v.fluctuation, 0.0) / np.maximum(v.second**2, _TINY))


def _sphere(
    x: Signal, second: Array, fourth: Array, factor: Array, count: int
) -> tuple[Array, Array]:
    """Fluctuation and excess of what has its length divided away.

    Over positions, two things are open, and half of each is taken, so that their size covers both
    ends: positions of one channel, which share weights, may count as one element or as many (excess
    -6 / count or nearly 0), and a position's moment may fluctuate with all others, which the norm
    takes away, or by itself, which it leaves."""
    if x.places > 1:
        return factor**4 * np.maximum(x.fluctuation, 0.0) / 2, x.excess - 3 / count
    return -(fourth - second**2) / x.units, x.excess - 6 * (1 / count - 1 / x.units)


def _simple(node: Node, x: Signal) -> bool:
    """One group of Gaussian elements: then the corrections of order 1/width are exact."""
    return x.gaussian and x.places == 1 and _count(node, x) == x.units


def _count(node: Node, x: Signal) -> int:
    """How many elements are normalised together. Positions of one channel share its weights, so how
    much they count is open: not at all here, and corrections behind them count as doubtful."""
    return int(np.prod([node.shape[axis] for axis in axes_of(node)])) // x.places


def _back_within_example(
    node: Node, x: Signal, centres: bool, cotangent: Cotangent, context: Context
) -> Cotangent:
    """The directions along the mean and along the signal are lost, of n; the rest is divided by
    v + eps. What all units agree on is the mean's direction."""
    spread, factor = context.notes[context.at(node)]
    nothing = max(x.dead, x.alike) if centres else x.dead
    if _count(node, x) < FEWEST and (x.places == 1 or not x.gaussian):
        raise UnknownCotangent(
            f"a norm over {_count(node, x)} units, where 1/v has no mean or a wild one"
        )
    n, eps, g = max(_count(node, x), 1), eps_of(node), cotangent.gradient
    ratio = spread / np.maximum(spread + eps, _TINY)
    along = g.coherent / np.maximum(g.second, _TINY)
    terms = [-np.full_like(ratio, float(centres) / n), -(2 * ratio - ratio**2) * along / n]
    if x.gaussian:
        # seen as a function of the variance q of x: E[1/v] = (1 + 3/n)/q, or 2/n about 0; above,
        # length does not scatter
        bend = (g.log_2 + g.log_1**2) / 2
        terms += [(2 * ratio**2 + centres * ratio) / n, -2 * bend * ratio**2 / n]
    else:  # E[1/v] over a group, beyond what the average over all units says
        about = (x.fourth - x.second**2) / np.maximum(x.second**2, _TINY)
        terms.append(about * ratio**2 * (1 / n - 1 / max(x.units, n)))
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
        # where all units are equal it is divided by eps
        slack=g.slack + nothing * float(np.max(whole)) / max(eps, _TINY),
        joined=g.joined or not _simple(node, x),
    )
    return passed.with_gradient(gradient)


normalises("standardize", centres=True)
normalises("unit_rms", centres=False)
