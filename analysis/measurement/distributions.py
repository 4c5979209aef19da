"""Histograms of every layer's outputs and gradients over many networks, beside the derived law."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import InputError
from analysis.measurement.measure import Array, each_network
from analysis.network import inputs
from analysis.network.analyze import propagate, report_of
from analysis.network.records import Signal
from analysis.network.shares import shares

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tinygrad_edu.nn import Module

BINS = 60
_TAIL = 0.001
"""The share of the first networks' values that may lie beyond either end of an axis."""
_FOR_EDGES = 5
"""Networks that the intervals are chosen by."""


@dataclass(frozen=True)
class Shares:
    """How often values fall into each interval between two `edges`, without what is exactly 0, and
    how often they are 0."""

    edges: Array
    inside: Array
    zero: float


@dataclass(frozen=True)
class Distribution:
    """One layer. `predicted` is None where the law is not known, `deviation`, the square root of
    E[(ds/dy)^2] of the gradient, where the gradient is not."""

    name: str
    op: str
    measured: Shares
    predicted: Shares | None
    gradient: Shares
    deviation: float | None


@dataclass(frozen=True)
class Distributions:
    """The layers in order, measured on so many networks."""

    layers: tuple[Distribution, ...]
    networks: int

    def plot(self) -> Figure:
        """A row for each layer: outputs to the left, gradients to the right.

        Raises `MissingExtra` without matplotlib, which the extra "plots" brings.
        """
        from analysis.measurement.histograms import figure

        return figure(self)


def distributions(
    model: Module,
    input: Any = None,
    networks: int = 20,
    batch: int = inputs.BATCH,
    seed: int = 0,
) -> Distributions:
    """The law of every layer's output as derived, and histograms of outputs and gradients over
    `networks` fresh draws of the weights. Arguments as for `analyze` and `measure`."""
    if networks < 1:
        raise InputError(f"histograms need at least 1 network, got {networks}.")
    known = propagate(model, input, batch=batch)
    rows = report_of(known).rows
    drawn = each_network(model, known.source, networks, batch, seed)
    first = list(itertools.islice(drawn, _FOR_EDGES))
    edges = [_edges(np.concatenate(values, axis=None)) for values in zip(*first, strict=True)]
    counts = np.zeros((len(edges), BINS + 1))
    for network in itertools.chain(first, drawn):
        counts += [_counted(*pair) for pair in zip(network, edges, strict=True)]
    seen = [Shares(e, c[:-1], float(c[-1])) for e, c in zip(edges, counts / networks, strict=True)]
    layers = []
    for i, (row, place) in enumerate(zip(rows, known.graph.places, strict=True)):
        measured, gradient = seen[i], seen[len(rows) + i]
        record = known.records.get(place.node)
        law = shares(record, measured.edges, known.context) if isinstance(record, Signal) else None
        predicted = None if law is None else Shares(measured.edges, *law)
        second = None if row.backward is None else row.backward.prediction.corrected
        deviation = None if second is None else float(np.sqrt(max(second, 0.0)))
        layers.append(Distribution(row.name, row.op, measured, predicted, gradient, deviation))
    return Distributions(tuple(layers), networks)


def _edges(values: Array) -> Array:
    """Intervals over nearly all of what is not 0, or about the one value that there is."""
    kept = values[(values != 0) & np.isfinite(values)]
    low, high = np.quantile(kept, [_TAIL, 1 - _TAIL]) if kept.size else (-1.0, 1.0)
    if not high - low > 1e-6 * max(abs(low), abs(high)):
        low, high = low - max(abs(low), 1e-30) / 2, high + max(abs(high), 1e-30) / 2
    return np.linspace(low, high, BINS + 1)


def _counted(values: Array, edges: Array) -> Array:
    """The share of values in each interval and, last, of zeros."""
    inside = np.histogram(values[values != 0], edges)[0] / values.size
    return np.append(inside, np.mean(values == 0))
