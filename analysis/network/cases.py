"""The cases of an analysis: examples, and what all units of a layer share.

Weights with a mean add the same number to every unit of their layer: that mean times the sum of the
inputs, which scatters. Units are independent only given this number, so each example is followed
for several values of it (Gauss-Hermite nodes, one set for each such layer) and averaged last.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from analysis.network import laws
from analysis.network.context import Context
from analysis.network.inputs import Input
from analysis.network.records import Array, Numbers, Signal
from analysis.network.trace import Trace

_NODES = {0: 1, 1: 48, 2: 20, 3: 9}
"""Nodes a layer, by how many layers have weights with a mean; more layers are not followed."""
_MOST_CASES = 8192


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
    context = Context(
        weights=np.tile(shares, source.examples) / source.examples,
        offsets=[np.tile(column, source.examples) for column in grid.T],
        partners=_partners(source.examples, repeats),
        examples=source.examples,
        batch=batch if source.data is None else source.examples,
    )
    signal = source.signal(repeats)
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


def _partners(examples: int, repeats: int) -> np.ndarray[Any, Any] | None:
    """Each example beside the next one; of a law, beside another draw of it."""
    if examples == 1:
        return None
    index = np.arange(examples * repeats).reshape(examples, repeats)
    return np.roll(index, -1, axis=0).ravel()
