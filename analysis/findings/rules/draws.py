"""NI8: single draws, first losses, and fans that are not those of the layer."""

from __future__ import annotations

import math
from collections.abc import Iterator

from analysis.findings.rule import Found, rule
from analysis.findings.rules.signal import elasticity
from analysis.findings.structure import Layer
from analysis.findings.subject import Subject, number, span
from tinygrad_edu.nn.parameter import Law

ROUNDING = 1e-9


@rule(
    "NI801",
    "unrepresentative-draw",
    "info",
    derivations=("finite-width", "weight-kurtosis", "orthogonal", "log-norm"),
    sources=("Hanin and Nica 2020", "Hanin and Rolnick 2018"),
    unless=("NI304",),
)
def unrepresentative_draw(subject: Subject) -> Iterator[Found]:
    """The network is so deep for its width that one draw of it says little about its law.

    Over draws of He weights the second moment M of a layer has the mean it should have, but
    E[M^2] / E[M]^2 = prod(1 + 5/n): with depth/width near 1 most networks are far below their mean
    and a few far above. What is predicted on average is then not what one run meets.

    The line: the variance of M over the square of its mean, to first order, is above `scatter`
    (1: the standard deviation over draws is as large as the mean) at the last hidden layer; that is
    sum(5/n) for relu. Widen the layers, or use orthogonal weights (3/(n + 2) instead of 5/n).
    """
    if len(subject.layers) < 2:
        return
    last = subject.layers[-1]
    (x,) = subject.structure.operands(last.node)
    signals = subject.signals(x)
    if len(signals) != 1 or signals[0].joined or signals[0].fixed:
        return
    (signal,) = signals
    average = subject.propagation.context.average
    second = average(signal.second)
    if second <= 0:
        return
    relative = average(signal.scatter) / second**2 - _of_the_input(subject)
    if relative > subject.thresholds.scatter:
        yield Found(
            span([subject.layers[0].name, last.name]),
            f"one draw of the weights has a second moment whose relative variance is "
            f"{number(relative)}: a single network is not its average",
            {"scatter": relative, "layers": float(len(subject.layers))},
            "wider layers, or orthogonal weights",
        )


def _of_the_input(subject: Subject) -> float:
    """What the relative variance owes to inputs of different length, not to the weights, in a
    network that is one chain: their own, times the square of its sensitivity."""
    (first, *others), source = subject.layers, subject.propagation.graph.input
    signals = subject.signals(source)
    if len(signals) != 1 or signals[0].fixed or len(subject.chains[:1]) != 1:
        return 0.0
    if len(subject.chains[0]) != len(others) + 1 or first.before is not source:
        return 0.0
    factors = [elasticity(subject, layer) for layer in others]
    known = [f for f in factors if f is not None]
    if len(known) < len(factors):
        return 0.0
    average = subject.propagation.context.average
    own = average(signals[0].scatter) / average(signals[0].second) ** 2
    return own * math.prod(known) ** 2


@rule(
    "NI802",
    "large-outputs",
    "warning",
    sources=("Karpathy 2019, A Recipe for Training Neural Networks",),
    unless=("NI101", "NI401", "NI701", "NI702"),
)
def large_outputs(subject: Subject) -> Iterator[Found]:
    """The outputs start so large that the first loss is far above what knowing nothing costs.

    With K outputs of variance s^2 the cross-entropy begins near log K + s^2/2 instead of log K; the
    squared error near s^2 above the targets' variance. The first steps only shrink the last layer.

    The line: a second moment of outputs above `logits` (4: a loss of 2 above log K), if the last
    layer's weights are as they were drawn. Scale the last layer down.
    """
    if not subject.layers:
        return
    head = subject.layers[-1]
    second = subject.second(head.output)
    if head.after != "output" or second is None or not subject.law(head).drawn:
        return
    if second > subject.thresholds.logits * (1 + ROUNDING):
        classes = head.fans[1]
        start = math.log(classes)
        yield Found(
            head.name,
            f"outputs have second moment {number(second)}: cross-entropy starts near "
            f"{number(start + second / 2)} instead of log {classes} = {number(start)}",
            {"second": second, "loss": start + second / 2, "least": start},
            f"scale the last layer's weights by {number(second**-0.5)}",
        )


@rule(
    "NI803",
    "wrong-fans",
    "warning",
    derivations=("lecun", "glorot"),
    sources=("pytorch/pytorch#23854",),
)
def wrong_fans(subject: Subject) -> Iterator[Found]:
    """Weights were drawn with the fans of another layer than the one that uses them.

    An initialiser reads fans from a shape: (out, in), or (out, in / groups, *kernel). A matrix that
    is used as x @ W has its inputs first; a convolution with groups, or a transposed one, has fans
    that the shape does not tell. The variance is then off by the ratio of the two.

    The line: a law by fan_in whose fan_in is not the layer's; one by both (Glorot's) whose sum is
    not. (He's law by fan_out cannot be told from one by fan_in with another gain.) Store the matrix
    as (out, in), or make the parameter with `groups=` and `transposed=`.
    """
    found = [
        (layer, law)
        for layer in subject.layers
        if (law := layer.parameter.law) is not None and _misread(layer, law)
    ]
    if found:
        layer, law = found[0]
        yield Found(
            span([each.name for each, _ in found]),
            f"{layer.parameter_name} was drawn for fan_in {law.fan_in} and fan_out {law.fan_out}; "
            f"the layer has {layer.fans[0]} and {layer.fans[1]}",
            {
                "fan_in": float(layer.fans[0]),
                "fan_out": float(layer.fans[1]),
                "drawn_fan_in": float(law.fan_in or 0),
                "drawn_fan_out": float(law.fan_out or 0),
                "layers": float(len(found)),
            },
            "weights stored as (out, in), or Parameter(..., groups=, transposed=)",
        )


def _misread(layer: Layer, law: Law) -> bool:
    """Whether a law's variance was divided by something else than it should be."""
    if law.fan_in is None or law.fan_out is None:
        return False
    if law.scheme.startswith("xavier"):
        return law.fan_in + law.fan_out != sum(layer.fans)
    return law.scheme.startswith(("kaiming", "lecun")) and law.fan_in != layer.fans[0]
