"""NI2: the gradient on its way back."""

from __future__ import annotations

import math
from collections.abc import Iterator

from analysis.findings.rule import Found, rule
from analysis.findings.structure import over_batch
from analysis.findings.subject import Subject, number, span
from tinygrad_edu.graph.node import Node


@rule(
    "NI201",
    "vanishing-gradient",
    "error",
    derivations=("dense-backward", "glorot", "sigmoid", "edge-of-chaos"),
    sources=("Glorot and Bengio 2010, eq. 14", "Schoenholz et al. 2017, eq. 15"),
    unless=("NI303", "NI401", "NI402"),
)
def vanishing_gradient(subject: Subject) -> Iterator[Found]:
    """The gradient dies out on its way back to the first layers.

    Through a layer its squared length takes the factor chi = fan_in Var(W) E[phi'^2]. Where chi is
    below 1, early layers get a gradient that is a power of it, and stand still while the last ones
    learn. For sigmoid chi is at most fan_in Var(W) / 16.

    The line: the squared length at the first layer is below 1 / `drift` (1e-3, a factor of 32 in
    size) of that at the last hidden one. Move the weights' variance to the edge of chaos, where
    chi = 1 (`analysis.maps(activation).critical()`), or use residual blocks or norms.
    """
    drift = _drift(subject)
    if drift is not None and drift[0] < 1 / subject.thresholds.drift:
        yield _found(subject, *drift, "vanishes")


@rule(
    "NI202",
    "exploding-gradient",
    "error",
    derivations=("dense-backward", "edge-of-chaos"),
    sources=("Schoenholz et al. 2017, eq. 15", "Pascanu et al. 2013"),
    unless=("NI601", "NI701"),
)
def exploding_gradient(subject: Subject) -> Iterator[Found]:
    """The gradient explodes on its way back to the first layers.

    Where chi = fan_in Var(W) E[phi'^2] is above 1, the network is chaotic: two inputs that hardly
    differ end up unrelated, the loss is rough, and a step that suits the last layer throws the
    first ones off.

    The line: the squared length of the gradient at the first layer is more than `drift` (1e3, a
    factor of 32 in size) times that at the last hidden one. Move the weights' variance to the edge
    of chaos, where chi = 1 (`analysis.maps(activation).critical()`).
    """
    drift = _drift(subject)
    if drift is not None and drift[0] > subject.thresholds.drift:
        yield _found(subject, *drift, "explodes")


def hidden_gradients(subject: Subject) -> list[tuple[Node, float]]:
    """The hidden bottlenecks with the squared length of the gradient there, where it is known and
    not 0: behind a head of zeros there is none, on purpose and for one step."""
    known = ((node, subject.gradient(node)) for node in subject.structure.hidden)
    return [(node, g) for node, g in known if g]


def _drift(subject: Subject) -> tuple[float, Node, Node] | None:
    """By what factor the gradient changes from the last hidden bottleneck to the first."""
    known = hidden_gradients(subject)
    if len(known) < 2:
        return None
    (first, early), (last, late) = known[0], known[-1]
    return early / late, first, last


def _found(subject: Subject, ratio: float, first: Node, last: Node, verb: str) -> Found:
    name, position = subject.structure.name_of, subject.structure.position
    layers = [
        layer
        for layer in subject.layers
        if position[first] <= position[layer.node] <= position[last]
    ]
    rate = ratio ** (1 / max(len(layers) - 1, 1))
    return Found(
        span([name(first), name(last)]),
        f"the gradient {verb}: its squared length at the first layer is {number(ratio)} of that at "
        f"the last hidden one, a factor of {number(rate)} a layer",
        {"ratio": ratio, "factor": rate, "layers": float(len(layers))},
        "weights on the edge of chaos, fan_in Var(W) E[phi'^2] = 1; residual blocks; norms",
    )


def batch_norms(subject: Subject) -> list[Node]:
    """The batch norms among the bottlenecks."""
    return [
        c
        for c in subject.structure.hidden
        if c.op is not None and c.op.name == "standardize" and over_batch(c)
    ]


# ------------------------------------------------------------------------------ compromise


@rule(
    "NI203",
    "fan-conflict",
    "warning",
    derivations=("glorot",),
    sources=("Glorot and Bengio 2010, eq. 10 to 12",),
)
def fan_conflict(subject: Subject) -> Iterator[Found]:
    """Glorot's compromise costs more than it saves, because the widths change too much.

    To keep the signal a layer needs Var(W) = 1 / fan_in, to keep each element of the gradient
    1 / fan_out. Glorot takes 2 / (fan_in + fan_out). With equal fans that is both; in a net that
    alternates between n and m units, each pair of layers takes 4nm / (n + m)^2 from signal and
    gradient alike, which no layer gives back.

    The line: together the hidden layers take more than `compromise` (a factor of 10). Use a
    variance by fan_in alone (`lecun_normal_`, `kaiming_normal_`): it keeps the signal, and the
    length of the gradient, too; only the size of its elements follows the widths.
    """
    layers = [
        layer
        for layer in subject.layers[:-1]
        if layer.parameter.law is not None
        and layer.parameter.law.scheme.startswith("xavier")
        and layer.after == "activation"
    ]
    costs = [2 * layer.fans[0] / sum(layer.fans) for layer in layers]
    total = math.prod(costs)
    if layers and total < 1 / subject.thresholds.compromise:
        yield Found(
            span([layer.name for layer in layers]),
            f"2/(fan_in + fan_out) is far from 1/fan_in where widths differ: together the layers "
            f"take the second moment times {number(total)}, signal and gradient alike",
            {"factor": total, "worst": min(costs), "layers": float(len(layers))},
            "a variance by fan_in alone: lecun_normal_ or kaiming_normal_ with the same gain",
        )
