"""`analyze`: predict every layer's statistics, forward and backward, without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.network import backward, forward, inputs, laws
from analysis.network.forward import Context, Record
from analysis.network.records import Array, Finding, Gradient, Signal
from analysis.network.trace import Place, Trace, trace
from analysis.report.report import Backward, Forward, Prediction, Report, Row
from tinygrad_edu.graph.node import Node

if TYPE_CHECKING:
    from tinygrad_edu.nn import Module

_ALWAYS = (
    "weights and biases are independent of each other and of the input",
    "gradients at the output are iid standard normal",
    "values are those of the limit of infinite width; `shift` is the correction of order 1/width",
)


def analyze(model: Module, input: Any = None, backward: bool = True) -> Report:
    """Predict mean, second moment and variance of every leaf module's output over the random
    weights, and the second moment of the gradient there.

    `input`: None for iid standard normal elements of the model's own input size, a shape for the
    same, or data (examples first), each of which is followed by itself.

    Returns a `Report`. Ops without a rule give a finding NI901; what depends on them is unknown.
    Raises `InputError` for input or parameters that are not finite or do not fit.
    """
    source = inputs.read(model, input)
    graph = trace(model, source.shape)
    context = Context({}, {})
    assumptions = list(_ALWAYS)
    records = _sweep_forward(graph, source.signal(), context, assumptions)
    gradients = _sweep_backward(graph, records, context) if backward else {}
    rows = tuple(_row(place, records, gradients) for place in graph.places)
    return Report(
        input=source, rows=rows, findings=_findings(graph, context), assumptions=tuple(assumptions)
    )


def _sweep_forward(
    graph: Trace, signal: Signal, context: Context, assumptions: list[str]
) -> dict[Node, Record]:
    records: dict[Node, Record] = {graph.input: signal}
    for node in graph.nodes:
        if node in records:
            continue
        if node.op is not None:
            records[node] = forward.forward(node, [records[x] for x in node.inputs], context)
        elif node in graph.parameters:
            records[node], assumption = laws.law_of(*graph.parameters[node])
            if assumption:
                assumptions.append(assumption)
        else:
            records[node] = float(node.data.item()) if node.data.size == 1 else None
    return records


def _sweep_backward(
    graph: Trace, records: dict[Node, Record], context: Context
) -> dict[Node, Gradient | None]:
    """From the output to the input; a node that feeds several ops is a join, unknown so far."""
    end = records[graph.output]
    if not isinstance(end, Signal):
        return {}
    uses: dict[Node, int] = {}
    for node in graph.nodes:
        for x in node.inputs:
            uses[x] = uses.get(x, 0) + 1
    gradients: dict[Node, Gradient | None] = {graph.output: backward.start(len(end.second))}
    for node in reversed(graph.nodes):
        gradient = gradients.get(node)
        if node.op is None or gradient is None:
            continue
        passed = backward.backward(node, [records[x] for x in node.inputs], gradient, context)
        for x, g in zip(node.inputs, passed, strict=True):
            if isinstance(records[x], Signal):
                gradients[x] = g if uses[x] == 1 else None
    return gradients


def _row(place: Place, records: dict[Node, Record], gradients: dict[Node, Gradient | None]) -> Row:
    signal, gradient = records.get(place.node), gradients.get(place.node)
    if not isinstance(signal, Signal):
        return Row(place.name, place.op, None, None)
    scale = np.maximum(signal.second, np.finfo(float).tiny)
    ahead = _predict(signal.second, signal.shift / scale, signal.size / scale, _wander(signal))
    back = None
    if gradient is not None:
        value, relative, size, slack = backward.averaged(gradient, signal)
        back = Backward(_predict(value, relative, size, _wander(signal), slack))
    return Row(place.name, place.op, Forward(float(np.mean(signal.mean)), ahead), back)


def _wander(signal: Signal) -> Array:
    """Relative variance of the second moment over draws: how far the expansion reaches."""
    return signal.scatter / np.maximum(signal.second**2, np.finfo(float).tiny)


def _predict(
    value: Array, relative: Array, size: Array, wander: Array, slack: float = 0.0
) -> Prediction:
    """Average over the examples. The remainder is of the order of the next terms: the correction's
    terms times themselves, and times the relative variance they came from."""
    remainder = value * (size * (size + wander) + slack)
    return Prediction(
        float(value.mean()), float((value * relative).mean()), float(remainder.mean())
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
