"""NI1: the signal on its way forward."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from analysis.findings.rule import Found, rule
from analysis.findings.structure import NORMS, Layer
from analysis.findings.subject import NEGLIGIBLE, Curve, Subject, number, span
from tinygrad_edu.graph.node import Node


@rule(
    "NI101",
    "signal-drift",
    "error",
    derivations=("dense-forward", "lecun", "he"),
    sources=("He et al. 2015, eq. 10", "Glorot and Bengio 2010"),
    unless=("NI303", "NI401", "NI402", "NI603", "NI701", "NI702"),
)
def signal_drift(subject: Subject) -> Iterator[Found]:
    """The signal dies out or explodes on its way through the layers.

    A dense layer multiplies the second moment by fan_in Var(W), an activation by E[phi^2] / q. What
    is a harmless factor in one layer is a power of it in a deep network: layers far from the input
    see numbers that no longer depend on it (the bias is all that is left), or that overflow.

    The line: the second moment of what the layers see changes by more than `drift` (1e3, a factor
    of 32 in size) from the second layer, or from the last norm, to any later one. Give the weights
    the variance 1 / (fan_in E[phi^2]) (He's 2 / fan_in for relu), or put a norm in between.
    """
    points = list(_seen(subject))
    if len(points) < 2:
        return
    limit = subject.thresholds.drift
    for run in _between_norms(subject, points):
        (_, start), *later = run
        outside = [(layer, s) for layer, s in later if not start / limit <= s <= start * limit]
        if not outside or start == 0:
            continue
        layer, last = outside[-1]
        ratio = last / start
        rate = ratio ** (1 / max(run.index((layer, last)), 1))
        verb = "dies out" if ratio < 1 else "explodes"
        yield Found(
            span([outside[0][0].name, layer.name]),
            f"the signal {verb}: E[x^2] goes from {number(start)} to {number(last)}, a factor of "
            f"{number(rate)} a layer",
            {"first": start, "last": last, "factor": rate},
            "weights of variance 1/(fan_in E[phi^2]), or a norm between the layers",
        )
        return


def _seen(subject: Subject) -> Iterator[tuple[Layer, float]]:
    """The layers from the second on whose input is all there is, with its second moment."""
    cuts = set(subject.structure.cuts)
    for layer in subject.layers[1:]:
        (x,) = subject.structure.operands(layer.node)
        second = subject.second(x)
        if second is not None and x in cuts:
            yield layer, second


def _between_norms(
    subject: Subject, points: list[tuple[Layer, float]]
) -> Iterator[list[tuple[Layer, float]]]:
    """Runs of layers with no norm in between."""
    position = subject.structure.position
    cuts = subject.structure.cuts
    norms = [position[c] for c in cuts if c.op is not None and c.op.name in NORMS]
    runs: dict[int, list[tuple[Layer, float]]] = defaultdict(list)
    for layer, second in points:
        runs[bisect_left(norms, position[layer.node])].append((layer, second))
    yield from runs.values()


# ------------------------------------------------------------------------------ sensitivity


@rule(
    "NI102",
    "unstable-variance",
    "warning",
    derivations=("dense-forward",),
    sources=("Poole et al. 2016, eq. 3", "Hayou et al. 2019"),
    unless=("NI101",),
)
def unstable_variance(subject: Subject) -> Iterator[Found]:
    """The variance has a fixed point, but runs away from it.

    That a gain keeps the second moment 1 is not enough: what matters beside it is the slope of the
    map q -> fan_in Var(W) E[phi^2] at the fixed point. For relu it is 1, for tanh 0.46; for gelu it
    is 1.144 and for silu 1.173, so an input that is a little too large grows with every layer, and
    one that is a little too small vanishes, whatever the gain. No choice of the weights' scale
    repairs it, since the map's shape is the activation's.

    The line: d log(variance out) / d log(variance in), the product over the layers, above
    `sensitivity` (10: a variance that is off by 1 % is then off by 10 %), or a variance that has
    changed as much already. Put a norm between the layers, or lead a branch around them.
    """
    for chain in subject.chains:
        factors = [elasticity(subject, layer) for layer in chain[1:]]
        unstable = [f for f in factors if f is not None]
        sensitivity, moved = _largest_product(unstable), _moved(subject, chain)
        away = bool(unstable) and unstable[0] > UNSTABLE and moved > subject.thresholds.sensitivity
        if away or sensitivity > subject.thresholds.sensitivity:
            yield Found(
                span([chain[0].name, chain[-1].name]),
                f"the variance runs away from its fixed point: it has changed {number(moved)}-fold "
                f"after these layers, and a small relative error of it {number(sensitivity)}-fold",
                {"sensitivity": sensitivity, "slope": max(unstable), "moved": moved},
                "a norm between the layers, or residual blocks",
            )
            return


UNSTABLE = 1.01
"""The least slope of a map that is called unstable; that of relu is 1 but for rounding."""


def _largest_product(factors: list[float]) -> float:
    """The largest product of factors that follow one another."""
    largest = running = 1.0
    for factor in factors:
        running = max(running * factor, 1.0)
        largest = max(largest, running)
    return largest


def _moved(subject: Subject, chain: tuple[Layer, ...]) -> float:
    """By what factor, up or down, the variance of pre-activations changes along a chain."""
    hidden = [layer for layer in chain if layer.after == "activation"]
    first, last = (subject.second(layer.output) for layer in (hidden[0], hidden[-1]))
    return max(last / first, first / last) if first and last else 1.0


def elasticity(subject: Subject, layer: Layer) -> float | None:
    """d log(variance after the layer) / d log(variance before its activation)."""
    responses = subject.propagation.context.responses
    response = responses.get(layer.before)
    product, output = subject.second(layer.node), subject.second(layer.output)
    if response is None or not product or not output:
        return None
    average = subject.propagation.context.average
    if len(response.q) % len(subject.propagation.context.weights):
        return None
    second = average(response.second)
    if not second:
        return None
    return float(average(response.q * response.second_1) / second * min(product / output, 1.0))


# ------------------------------------------------------------------------------ gains


FLAT = 1e-9
"""Below it an activation passes nothing that a gain could repair."""


@dataclass(frozen=True)
class Suits:
    """What fan_in Var(W) may be behind an activation: `forward` keeps the second moment 1, and
    everything from `low` to `high` keeps signal or gradient, at variance 1 or near 0."""

    low: float
    high: float
    forward: float
    curve: Curve


@rule(
    "NI103",
    "gain-mismatch",
    "warning",
    derivations=("he", "glorot", "selu", "torch-default", "tanh-loss"),
    sources=("He et al. 2015", "Glorot and Bengio 2010, eq. 12", "LeCun et al. 1998"),
    unless=("NI401", "NI402", "NI803"),
)
def gain_mismatch(subject: Subject) -> Iterator[Found]:
    """The scale of a layer's weights does not suit the activation in front of it.

    Behind relu, fan_in Var(W) = 2 keeps signal and gradient; with Glorot's 1 both lose half in each
    layer, with the default of `nn.Linear` (1/3) five sixths. For other activations a whole range is
    good: from the variance that keeps the signal at 1, 1 / E[phi^2], to the one that keeps the
    gradient, 1 / E[phi'^2], at variance 1 and near 0; the latter times fan_in / fan_out, if the
    gradient is to keep its size in every element.

    The line: fan_in Var(W) misses this range by more than `gain` (1.25, a factor of 10 in ten
    layers). Layers that a norm follows, the first, the last, and ends of branches have no scale to
    keep. Use `analysis.gain(activation)`.
    """
    groups: dict[tuple[str, str], list[tuple[Layer, Suits]]] = defaultdict(list)
    for chain in subject.chains:
        for layer in chain[1:]:
            suits = suiting(subject, layer)
            if layer.after != "activation" or not subject.law(layer).drawn or suits is None:
                continue
            scale, slack = subject.gain2(layer), subject.thresholds.gain
            if scale and not suits.low / slack <= scale <= suits.high * slack:
                groups[activation_name(layer.before), number(scale)].append((layer, suits))
    for (activation, _), found in groups.items():
        yield _mismatch(subject, activation, [layer for layer, _ in found], found[0][1])


def _mismatch(subject: Subject, activation: str, layers: list[Layer], suits: Suits) -> Found:
    gain2 = subject.gain2(layers[0])
    gain = math.sqrt(suits.forward)
    forward, backward = gain2 * suits.curve.second[0], gain2 * suits.curve.slope[0]
    wanted = (
        number(suits.low)
        if suits.high < 1.001 * suits.low
        else f"{number(suits.low)} to {number(suits.high)}"
    )
    return Found(
        span([layer.name for layer in layers]),
        f"fan_in Var(W) is {number(gain2)}, behind {activation} it should be {wanted}: each layer "
        f"takes the second moment times {number(forward)}, the gradient's times {number(backward)}",
        {
            "gain2": gain2,
            "low": suits.low,
            "high": suits.high,
            "forward": forward,
            "backward": backward,
            "gain": gain,
            "layers": float(len(layers)),
        },
        f"weights of standard deviation {gain:.5g}/sqrt(fan_in)",
    )


def suiting(subject: Subject, layer: Layer) -> Suits | None:
    """What fan_in Var(W) may be for a layer behind an activation."""
    curve = subject.curve(layer.before, (1.0, NEGLIGIBLE))
    if curve is None or min(curve.second[0], curve.slope[0]) < FLAT:
        return None
    n_in, n_out = layer.fans
    keep = [1 / curve.second[0]]
    for slope in (s for s in curve.slope if s > FLAT):
        keep += [1 / slope, n_in / n_out / slope]
    return Suits(min(keep), max(keep), 1 / curve.second[0], curve)


def activation_name(node: Node) -> str:
    """The op's name; a product of functions is a gate."""
    assert node.op is not None
    return "a gate" if node.op.name == "mul" else node.op.name
