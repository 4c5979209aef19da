"""The cases of an analysis: examples, and what all units of a layer share.

Weights with a mean add the same number to every unit of their layer: that mean times the sum of the
inputs, which scatters. Units are independent only given this number, so each example is followed
for several values of it (Gauss-Hermite nodes, one set for each such layer) and averaged last.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from analysis.network import laws
from analysis.network.context import Context
from analysis.network.examples import Partners
from analysis.network.inputs import Input
from analysis.network.records import Array, Numbers, Signal
from analysis.network.rules.norm import compares_examples
from analysis.network.trace import Trace

_NODES = {0: 1, 1: 48, 2: 20, 3: 9}
"""Nodes a layer, by how many layers have weights with a mean; more layers are not followed."""
_MOST_CASES = 8192
MOST_TOGETHER = 256
"""Examples whose every pair is followed, for batch norm; of more, so many stand for all."""
_SAMPLED = 0.5
"""What a sample of examples that are as large as all leaves open of how they go together, in units
of 1/sqrt(their number): on the digits up to 0.25 was found."""


def prepare(graph: Trace, source: Input, batch: int) -> tuple[Context, Signal | Numbers]:
    """An empty context with its cases, and the record of the input."""
    layers = _layers_with_a_mean(graph)
    nodes = _NODES.get(layers, 1)
    while nodes > 1 and source.examples * nodes**layers > _MOST_CASES:
        nodes -= 1
    layers = layers if nodes > 1 else 0
    points, weights = _hermite(nodes)
    grid = np.array(list(itertools.product(points, repeat=layers))).reshape(nodes**layers, layers)
    shares = np.array([np.prod(w) for w in itertools.product(weights, repeat=layers)])
    repeats = len(shares)
    together = any(map(compares_examples, graph.nodes))
    followed = source.sampled(MOST_TOGETHER) if together else source
    count = followed.examples
    context = Context(
        weights=np.tile(shares, count) / count,
        offsets=[np.tile(column, count) for column in grid.T],
        partners=Partners(count, repeats, together) if count > 1 else None,
        examples=count,
        batch=batch if source.data is None else source.examples,
    )
    if count < source.examples:
        context.sampled = followed.away_from(source) + _SAMPLED / math.sqrt(count)
        context.assume(f"batch norm of {source.examples} examples is followed on {count} of them")
    signal = followed.signal(repeats, context.partners)
    if isinstance(signal, Signal):
        context.correlations.update(dict.fromkeys(signal.sources, np.zeros_like(signal.second)))
    return context, signal


def _layers_with_a_mean(graph: Trace) -> int:
    """Products with parameters whose law has a mean."""
    means = {node for node, (name, p) in graph.parameters.items() if laws.mean_of(name, p) != 0}
    for node in graph.nodes:
        moved = node.op is not None and node.op.name in ("permute", "cast", "reshape")
        if moved and node.inputs[0] in means:
            means.add(node)
    return sum(
        node.op is not None
        and node.op.name in ("matmul", "convolution")
        and node.inputs[1] in means
        for node in graph.nodes
    )


def _hermite(nodes: int) -> tuple[Array, Array]:
    """Gauss-Hermite nodes and weights for a standard normal."""
    if nodes == 1:
        return np.zeros(1), np.ones(1)
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    return points, weights / weights.sum()
