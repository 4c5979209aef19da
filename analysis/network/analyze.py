"""Predict every layer's statistics, forward and backward, without running the network.

`analysis.analyze` is made of these two steps and of the rules of `analysis.findings`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import InputError
from analysis.network import inputs
from analysis.network.backward import Back
from analysis.network.cases import prepare
from analysis.network.context import Context, Record
from analysis.network.records import Finding
from analysis.network.rows import row_of
from analysis.network.sweeps import sweep_backward, sweep_forward
from analysis.network.trace import Trace, trace
from analysis.report.report import Report
from tinygrad_edu.graph.node import Node
from tinygrad_edu.ops.native import numpy_only

if TYPE_CHECKING:
    from tinygrad_edu.nn import Module

_ALWAYS = (
    "weights and biases are independent of each other and of the input",
    "gradients at the output are iid standard normal",
    "values are those of the limit of infinite width; `shift` is the correction of order 1/width",
)


@contextlib.contextmanager
def _numbers() -> Iterator[None]:
    """How moments are computed: what is not finite is found later and called unknown; grids of so
    many shapes are not worth compiling for."""
    with np.errstate(all="ignore"), numpy_only():
        yield


@dataclass(frozen=True)
class Propagation:
    """All that the two sweeps know: what a report and its findings are made of.

    graph       the traced network
    source      what goes into it
    records     of every node, forward
    cotangents  of every node whose gradient is known
    """

    graph: Trace
    source: inputs.Input
    context: Context
    records: dict[Node, Record]
    cotangents: dict[Node, Back]


def propagate(
    model: Module, input: Any = None, backward: bool = True, batch: int = inputs.BATCH
) -> Propagation:
    """Follow mean, second moment and correlations through the network, and the gradient back.

    `input`: None for iid standard normal elements of the model's own input size, a shape for the
    same, or data (examples first), each of which is followed by itself.

    `batch`: how many examples of a law go through the network together. Only batch norm in training
    mode makes a difference of it; data are one batch. `measure` has the same default.

    Raises `InputError` for input or parameters that are not finite or do not fit.
    """
    if batch < 1:
        raise InputError(f"a batch has at least one example, got {batch}.")
    source = inputs.read(model, input)
    graph = trace(model, source.shape, source.tokens)
    context, signal = prepare(graph, source, batch)
    context.assumptions.extend(_ALWAYS)
    with _numbers():
        records = sweep_forward(graph, signal, context)
        cotangents = sweep_backward(graph, records, context) if backward else {}
    return Propagation(graph, source, context, records, cotangents)


def report_of(p: Propagation) -> Report:
    """Mean, second moment and variance of every leaf module's output over the random weights, and
    the second moment of the gradient there. What is unknown, and why, is a finding NI901."""
    with _numbers():
        rows = tuple(row_of(place, p.records, p.cotangents, p.context) for place in p.graph.places)
    findings = _findings(p.graph, p.context)
    return Report(
        input=p.source, rows=rows, findings=findings, assumptions=tuple(p.context.assumptions)
    )


def _findings(graph: Trace, context: Context) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            code="NI901",
            severity="error",
            layer=_layer_at(graph, node),
            message=f"unknown from here on: {reason}",
            fix="register a rule for the op in analysis.network, or analyse the part before it",
        )
        for node, reason in context.reasons.items()
    )


def _layer_at(graph: Trace, node: Node) -> str:
    """The first row whose output comes at or after `node`."""
    position = {n: i for i, n in enumerate(graph.nodes)}
    later = [p for p in graph.places if position.get(p.node, -1) >= position[node]]
    return min(later, key=lambda p: position[p.node]).name if later else "output"
