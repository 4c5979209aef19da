"""What could help against each finding: candidates, in the order in which they change the least.

Whether one does help is not decided here; see `prescribe`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from analysis.findings.changes import Draw, Edit, NormBefore, Option, Scale
from analysis.findings.rules.signal import FLAT, activation_name
from analysis.findings.structure import Layer
from analysis.findings.subject import NEGLIGIBLE, Curve, Subject, number, span
from tinygrad_edu.nn import Activation, Dropout
from tinygrad_edu.nn.drawing import constant_law, normal_law, orthogonal_law

Candidate = tuple[str, list[Edit]]

_SCALE = {"NI101", "NI102", "NI103", "NI201", "NI202", "NI203", "NI301", "NI302", "NI303", "NI304"}
_SCALE |= {"NI401", "NI402", "NI501", "NI704", "NI801", "NI802", "NI803"}
"""Findings that weights of another scale may cure."""


def remedies(subject: Subject, codes: set[str]) -> Iterator[Candidate]:
    """Descriptions, and what to do, for a model with findings of these codes."""
    if "NI604" in codes:
        yield from _without_bias(subject)
    if "NI802" in codes:
        yield from _smaller_head(subject)
    if "NI803" in codes:
        yield from _right_fans(subject)
    if codes & {"NI303", "NI301", "NI103", "NI704"}:
        yield from _zero_biases(subject)
    if codes & {"NI401", "NI402"}:
        yield from _random(subject)
    if codes & {"NI701", "NI702", "NI101", "NI202", "NI802"}:
        yield from _branches(subject)
    if codes & {"NI703", "NI605", "NI201", "NI704"}:
        yield from _less_dropout(subject)
    if codes & _SCALE:
        yield from _gains(subject)
        yield from _norms(subject)


# ------------------------------------------------------------------------------ scales


def _gains(subject: Subject) -> Iterator[Candidate]:
    """All layers of plain chains at a derived scale, biases 0."""
    forward = _rescaled(subject, lambda curve: 1 / curve.second[0])
    backward = _rescaled(subject, lambda curve: 1 / max(curve.slope[0], FLAT))
    edge = _rescaled(subject, lambda curve: 1 / max(curve.slope[1], FLAT))
    zero = [edit for _, edits in _zero_biases(subject) for edit in edits]
    if forward:
        yield (
            f"weights of variance 1/(fan_in E[phi^2]) ({_listed(subject)}), biases 0: the signal "
            "keeps its second moment",
            forward + zero,
        )
    if edge:
        yield (
            "weights of variance 1/(fan_in phi'(0)^2), biases 0: the edge of chaos",
            edge + zero,
        )
    if backward:
        yield (
            "weights of variance 1/(fan_in E[phi'^2]), biases 0: the gradient keeps its length",
            backward + zero,
        )
    orthogonal = _orthogonal(subject)
    if orthogonal:
        yield "orthogonal weights with the derived gains, biases 0", orthogonal + zero


def _listed(subject: Subject) -> str:
    """The gains by activation."""
    gains = {}
    for layer, curve in _curves(subject):
        if curve is not None:
            gains[activation_name(layer.before)] = math.sqrt(1 / curve.second[0])
    return ", ".join(f"gain {gain:.5g} behind {name}" for name, gain in gains.items()) or "gain 1"


def _curves(subject: Subject) -> Iterator[tuple[Layer, Curve | None]]:
    """The layers of plain chains with the curve of the activation before each; None: a first
    layer. A layer that a norm follows, or that ends a branch, has no scale to keep."""
    chained = {layer for chain in subject.chains for layer in chain}
    for layer in subject.layers:
        if layer not in chained or layer.after in ("batch norm", "norm", "join"):
            continue
        if not subject.structure.is_activation(layer.before):
            yield layer, None
            continue
        curve = subject.curve(layer.before, (1.0, NEGLIGIBLE))
        if curve is not None and curve.second[0] > FLAT:
            yield layer, curve


def _rescaled(subject: Subject, wanted: Callable[[Curve], float]) -> list[Edit]:
    """Weights scaled so that fan_in Var(W) is as wanted."""
    edits: list[Edit] = []
    for layer, curve in _curves(subject):
        gain2 = 1.0 if curve is None else wanted(curve)
        edits += _set_gain(subject, layer, gain2)
    return edits


def _set_gain(subject: Subject, layer: Layer, gain2: float) -> list[Edit]:
    """A layer with this fan_in Var(W): the weights it has, scaled, or drawn where all are equal."""
    now = subject.gain2(layer)
    if subject.law(layer).mean or not now:
        return [_drawn(layer, gain2)]
    factor = _rounded(math.sqrt(gain2 / now))
    trained = layer.parameter.law is None  # what it has learned is not to be undone
    return [] if trained or factor == 1 else [Scale(layer.parameter_name, factor)]


def _rounded(x: float) -> float:
    """To ten digits, so that candidates which agree but for rounding are the same."""
    return float(f"{x:.10g}")


def _drawn(layer: Layer, gain2: float) -> Edit:
    law = normal_law(0.0, math.sqrt(gain2 / layer.fans[0]), "lecun_normal")
    return Draw(layer.parameter_name, law, layer.fans)


def _orthogonal(subject: Subject) -> list[Edit]:
    edits: list[Edit] = []
    for layer, curve in _curves(subject):
        if layer.parameter.ndim != 2 or layer.parameter.law is None:
            return []
        gain2 = 1.0 if curve is None else 1 / curve.second[0]
        shape = layer.parameter.shape
        # entries have variance gain^2 / max(shape); fan_in times it is to be gain2
        gain = math.sqrt(gain2 * max(shape) / layer.fans[0])
        edits.append(Draw(layer.parameter_name, orthogonal_law(shape, gain, 1), layer.fans))
    return edits


def _smaller_head(subject: Subject) -> Iterator[Candidate]:
    head = subject.layers[-1]
    second = subject.second(head.output)
    if second:
        factor = second**-0.5
        edits: list[Edit] = [Scale(head.parameter_name, factor)]
        bias = subject.structure.bias(head)
        if bias is not None:
            edits.append(Scale(bias[0], factor))
        yield f"the last layer {head.name} times {number(factor)}: outputs of variance 1", edits


def _right_fans(subject: Subject) -> Iterator[Candidate]:
    edits: list[Edit] = []
    for layer in subject.layers:
        law = layer.parameter.law
        if law is None or law.fan_in is None or law.fan_out is None:
            continue
        ratio = law.fan_in / layer.fans[0]
        if law.scheme.startswith("xavier"):
            ratio = (law.fan_in + law.fan_out) / sum(layer.fans)
        if ratio != 1:
            edits.append(Scale(layer.parameter_name, math.sqrt(ratio)))
    if edits:
        yield "weights scaled to the fans of the layers that use them", edits


def _random(subject: Subject) -> Iterator[Candidate]:
    """Layers whose weights are all equal, drawn at random."""
    edits, names = [], []
    for layer in subject.layers[:-1]:
        if layer.after == "join" or subject.law(layer).variance:
            continue
        curve = subject.curve(layer.before, (1.0,))
        edits.append(_drawn(layer, 1 / curve.second[0] if curve and curve.second[0] else 1.0))
        names.append(layer.name)
    if edits:
        yield f"random weights of variance 1/(fan_in E[phi^2]) in {span(names)}", edits


# ------------------------------------------------------------------------------ biases


def _zero_biases(subject: Subject) -> Iterator[Candidate]:
    edits: list[Edit] = []
    for layer in subject.layers:
        found = subject.structure.bias(layer)
        if found is None:
            continue
        name, bias = found
        law = bias.law
        if law is not None and (law.mean or law.variance):
            edits.append(Draw(name, constant_law(0.0)))
    if edits:
        yield "all biases 0", edits


def _without_bias(subject: Subject) -> Iterator[Candidate]:
    """No bias where batch norm follows."""
    edits: list[Edit] = []
    for layer in subject.layers:
        found = subject.structure.bias(layer)
        if layer.after == "batch norm" and found is not None:
            module, _, name = found[0].rpartition(".")
            edits.append(Option(module, name, None))
    if edits:
        yield "no bias in layers that batch norm follows", edits


# ------------------------------------------------------------------------------ blocks


def _branches(subject: Subject) -> Iterator[Candidate]:
    """The last layer of every branch, scaled by the number of branches or set to 0."""
    ends = [layer for layer in subject.layers if layer.after == "join"]
    blocks = len(subject.structure.joins)
    if not ends or not blocks:
        return
    factor = blocks**-0.5
    scaled: list[Edit] = []
    zero: list[Edit] = []
    for layer in ends:
        names = [layer.parameter_name]
        bias = subject.structure.bias(layer)
        if bias is not None:
            names.append(bias[0])
        scaled += [Scale(name, factor) for name in names]
        zero += [Draw(name, constant_law(0.0)) for name in names]
    yield f"the last layer of each of {blocks} branches times {blocks}^-1/2", scaled
    yield "the last layer of each branch starts at 0", zero


def _less_dropout(subject: Subject) -> Iterator[Candidate]:
    masks = [
        (name, m) for name, m in subject.model.named_modules() if isinstance(m, Dropout) and m.p
    ]
    for share in (0.5, 0.2, 0.1):
        edits: list[Edit] = [Option(name, "p", share * m.p) for name, m in masks]
        if edits:
            yield f"dropout with {share:g} of its p", edits
    if masks:
        yield "no dropout", [Option(name, "p", 0.0) for name, _ in masks]


def _norms(subject: Subject) -> Iterator[Candidate]:
    """A layer norm in front of every activation of dense chains."""
    edits: list[Edit] = []
    modules = dict(subject.model.named_modules())
    for chain in subject.chains:
        for layer in chain[1:]:
            row = subject.rows.get(layer.before)
            before = subject.pre_activation(layer.before)
            if row is None or len(before.shape) != 2 or row.name not in modules:
                return
            if not isinstance(modules[row.name], Activation) or not row.name:
                return
            edits.append(NormBefore(row.name, before.shape[-1]))
    if edits:
        yield "a layer norm in front of each activation", edits
