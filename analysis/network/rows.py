"""A row of the report from what the sweeps found at a layer's output."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.network import backward
from analysis.network.context import Context, Parts, Record
from analysis.network.cotangent import Cotangent
from analysis.network.records import Array, Signal
from analysis.network.regions import Regions, regions
from analysis.network.trace import Place
from analysis.report.report import Backward, Forward, Prediction, Row
from tinygrad_edu.graph.node import Node

_TINY = np.finfo(float).tiny


def row_of(
    place: Place, records: dict[Node, Record], cotangents: dict[Node, Any], context: Context
) -> Row:
    """What is known of one leaf module."""
    record = records.get(place.node)
    if not isinstance(record, Signal | Parts):
        return Row(place.name, place.op, None, None)
    signals = record.signals if isinstance(record, Parts) else (record,)
    shares = _shares(signals)
    ahead = [_ahead(s, context) for s in signals]
    forward = Forward(
        mean=sum(w * context.average(s.mean) for w, s in zip(shares, signals, strict=True)),
        prediction=_mixed(ahead, shares),
        law=signals[0].law if len(signals) == 1 else "moments",
        regions=_regions(place.node, context),
        input_correlation=_between_inputs(signals[0], context) if len(signals) == 1 else None,
        unit_correlation=_between_units(signals[0], context) if len(signals) == 1 else None,
    )
    found = cotangents.get(place.node)
    if found is None:
        return Row(place.name, place.op, forward, None)
    parts = found if isinstance(found, tuple) else (found,)
    back = [_back(c, s, context) for c, s in zip(parts, signals, strict=True)]
    return Row(place.name, place.op, forward, Backward(_mixed(back, shares)))


def _regions(node: Node, context: Context) -> Regions | None:
    applied = context.applied.get(node)
    return None if applied is None else regions(applied.root, applied.index, context)


def _between_inputs(signal: Signal, context: Context) -> float | None:
    """E[y y'] / sqrt(E[y^2] E[y'^2]) on two examples (the c-map's)."""
    if signal.partner is None:
        return None
    scale = np.sqrt(np.maximum(signal.second * context.partner(signal.second), _TINY))
    return min(1.0, max(-1.0, context.average(context.others(signal.partner / scale))))


def _between_units(signal: Signal, context: Context) -> float | None:
    """The correlation of two units on one example: units are independent given what they share, so
    it is the share of the variance that the common mean has."""
    if signal.fixed:
        return None
    if signal.identical:
        return 1.0
    examples = 1 if context.partners is None else context.examples
    weight = context.spread(signal.mean).reshape(examples, -1)
    weight = weight / weight.sum(axis=1, keepdims=True)
    mean, second = (v.reshape(examples, -1) for v in (signal.mean, signal.second))
    centre = (weight * mean).sum(axis=1, keepdims=True)
    common = float((weight * (mean - centre) ** 2).sum(axis=1).mean())
    whole = float((weight * second).sum(axis=1).mean() - (centre**2).mean())
    if signal.places > 1:  # positions have means of their own
        return None
    return common / whole if whole > _TINY else None


def _shares(signals: tuple[Any, ...]) -> list[float]:
    units = sum(s.units for s in signals)
    return [s.units / units for s in signals]


def _mixed(predictions: list[Prediction], shares: list[float]) -> Prediction:
    """Averaged over the parts of a concatenation."""

    def average(name: str) -> float:
        return float(sum(w * getattr(p, name) for w, p in zip(shares, predictions, strict=True)))

    return Prediction(average("second"), average("shift"), average("bound"))


def _ahead(signal: Signal, context: Context) -> Prediction:
    scale = np.maximum(signal.second, _TINY)
    relative, size = signal.shift / scale, signal.size / scale
    return _predict(signal.second, relative, size, _wander(signal), 0.0, signal.joined, context)


def _back(cotangent: Cotangent, signal: Signal, context: Context) -> Prediction:
    value, relative, size, slack = backward.averaged(cotangent.gradient, signal)
    joined = cotangent.gradient.joined or signal.joined
    return _predict(value, relative, size, _wander(signal), slack, joined, context)


_MOST = 100.0
"""Beyond this an expansion says nothing; of cases whose own value is nearly 0, more would drown all
the others."""


def _powers(size: Array) -> Array:
    """Twice what an exponential has beyond its first two terms, by size: about size, if small."""
    s = np.clip(size, 1e-8, 10.0)  # from 6 on it is more than `_MOST`
    return np.asarray(2 * (np.expm1(s) - s) / s)


def _wander(signal: Signal) -> Array:
    """Relative variance of the second moment over draws: how far the expansion reaches."""
    return np.asarray(np.abs(signal.scatter) / np.maximum(signal.second**2, _TINY))


def _predict(
    value: Array,
    relative: Array,
    size: Array,
    wander: Array,
    slack: float,
    joined: bool,
    context: Context,
) -> Prediction:
    """Average over the cases. The remainder is of the order of the next terms: the correction's
    terms times themselves, and times the relative variance they came from. Behind a join the terms
    themselves are estimates, so their whole size counts. Layers' factors multiply, so beyond the
    square all powers follow, as those of an exponential."""
    relative, size = (np.nan_to_num(v, nan=0.0, posinf=1e300) for v in (relative, size))
    next_terms = np.minimum(_powers(size), _MOST) + np.minimum(wander, _MOST) + float(joined)
    remainder = value * size * next_terms + value * (slack + context.sampled)
    return Prediction(
        context.average(value), context.average(value * relative), context.average(remainder)
    )
