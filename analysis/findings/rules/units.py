"""NI3: units that pass no gradient, or bend nothing. NI4: units that are all the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.findings.rule import Found, rule
from analysis.findings.structure import Layer
from analysis.findings.subject import Subject, number, span
from analysis.network.regions import Regions


def _regions(subject: Subject) -> list[tuple[str, Regions]]:
    """The rows of activations whose pre-activation has a known law."""
    return [
        (row.name, row.forward.regions)
        for row in subject.report.rows
        if row.forward is not None and row.forward.regions is not None
    ]


@rule(
    "NI301",
    "saturated",
    "error",
    derivations=("sigmoid",),
    sources=("Glorot and Bengio 2010, section 3",),
)
def saturated(subject: Subject) -> Iterator[Found]:
    """Most units sit on a flat part of their activation.

    Where pre-activations are large, tanh and sigmoid are flat: the output is a sign, the slope next
    to 0, and what would move the unit back gets no gradient.

    The line: more than `saturated` (half) of the units have a slope below a tenth of the largest
    (and not exactly 0, which is NI303). Give the weights before it a smaller variance.
    """
    found = [
        (name, r.saturated - r.dead)
        for name, r in _regions(subject)
        if r.saturated - r.dead > subject.thresholds.saturated
    ]
    if found:
        worst = max(share for _, share in found)
        yield Found(
            span([name for name, _ in found]),
            f"up to {worst:.0%} of the units are saturated",
            {"saturated": worst, "layers": float(len(found))},
            "smaller weights before it: variance 1/(fan_in E[phi^2]); bias 0",
        )


@rule(
    "NI302",
    "near-linear",
    "warning",
    derivations=("tanh-loss",),
    sources=("Glorot and Bengio 2010, section 3",),
    unless=("NI402",),
)
def near_linear(subject: Subject) -> Iterator[Found]:
    """Every activation works where it is straight, so the network is linear at the start.

    With very small weights tanh is z and sigmoid is 1/2 + z/4. Layers of straight lines are one
    straight line: depth adds nothing until training has made the weights larger.

    The line: in every activation more than `linear` (99 %) of the units have a slope within a tenth
    of the largest. A network that is near linear in its last layers only is not meant: tanh with
    fan_in Var(W) = 1 gets there slowly, on the edge of chaos. Use larger weights.
    """
    known = _regions(subject)
    activations = [
        c for c in subject.rows if c.op is not None and subject.structure.is_activation(c)
    ]
    if not known or len(known) < len(activations):
        return
    least = min(r.near_linear for _, r in known)
    if least > subject.thresholds.linear:
        yield Found(
            span([name for name, _ in known]),
            f"at least {least:.1%} of the units are on a straight part: the network is linear",
            {"near_linear": least, "layers": float(len(known))},
            "larger weights: variance 1/(fan_in E[phi^2])",
        )


@rule(
    "NI303",
    "dead",
    "error",
    derivations=("dead-units",),
    sources=("Lu et al. 2020, Dying ReLU and Initialization",),
)
def dead(subject: Subject) -> Iterator[Found]:
    """Most units are off: their slope is exactly 0.

    A rectifier with a large negative bias is 0 for nearly every input. It passes no gradient, so
    nothing moves its weights or its bias: such a unit never recovers.

    The line: more than `dead` (90 %) of the units have slope 0 on an input; with bias 0 it is half.
    Start with biases of 0, or use an activation that is flat nowhere (leaky relu).
    """
    found = [(name, r.dead) for name, r in _regions(subject) if r.dead > subject.thresholds.dead]
    if found:
        worst = max(share for _, share in found)
        yield Found(
            span([name for name, _ in found]),
            f"up to {worst:.1%} of the units have slope 0",
            {"dead": worst, "layers": float(len(found))},
            "biases 0 and smaller weights before it, or leaky relu",
        )


@rule(
    "NI304",
    "silent-layer",
    "warning",
    derivations=("dead-units",),
    sources=("Lu et al. 2020", "Rister and Rubin 2017"),
    unless=("NI303", "NI402"),
)
def silent_layer(subject: Subject) -> Iterator[Found]:
    """The network is so narrow that whole layers are off by chance.

    A relu unit is off on an input with probability 1/2, so a layer of n is off with 2^-n; after
    that nothing of the input is left. Over layers that is 1 - prod(1 - 2^-n).

    The line: more than `silent` (one input in a hundred). Widen the narrowest layer, or use an
    activation that is not 0 on one side.
    """
    dead = [
        (node, max(s.dead for s in signals))
        for node in subject.structure.hidden
        if (signals := subject.signals(node))
    ]
    if not dead:
        return
    node, probability = dead[-1]
    if subject.thresholds.silent < probability < 1:
        narrow = [layer for layer in subject.layers[:-1] if layer.after == "activation"]
        width = min((layer.node.shape[-1] for layer in narrow), default=0)
        yield Found(
            subject.structure.name_of(node),
            f"with probability {number(probability)} a whole layer is off and the output does not "
            f"depend on the input; the narrowest has {width} units",
            {"probability": probability, "width": float(width)},
            "wider layers, or leaky relu",
        )


# ------------------------------------------------------------------------------ symmetry


@rule(
    "NI401",
    "identical-units",
    "error",
    derivations=("identical-units",),
    sources=("Goodfellow, Bengio and Courville 2016, section 8.4",),
)
def identical_units(subject: Subject) -> Iterator[Found]:
    """All units of a hidden layer have the same weights.

    Units with equal weights compute the same: however wide the layer is, it begins as one unit. If
    their weights to the next layer are equal, too, they get the same gradient, exactly, and stay
    equal for ever; if not, only those weights can part them.

    The line: the weights are one constant (not 0), or all rows of a loaded matrix are equal, and so
    are the biases. Draw weights at random.
    """
    names = [
        layer.name
        for layer in _hidden(subject)
        if layer.parameter.shape[0] > 1 and _all_equal(subject, layer)
    ]
    if names:
        yield Found(
            span(names),
            "all units are identical: equal weights and biases, so each computes the same",
            {"layers": float(len(names))},
            "draw the weights at random",
        )


@rule(
    "NI402",
    "zero-weights",
    "error",
    derivations=("identical-units",),
    sources=("Goodfellow, Bengio and Courville 2016, section 8.4",),
)
def zero_weights(subject: Subject) -> Iterator[Found]:
    """All weights of a hidden layer are 0.

    Its output does not depend on the input, and no gradient passes through it to the layers before.
    With all weights 0 only the last bias learns.

    The line: every weight is 0, in a layer that is neither the last one nor the end of a branch
    that is added to something else: there zeros are a good start. Draw weights at random.
    """
    names = [layer.name for layer in _hidden(subject) if _is_zero(subject, layer)]
    if names:
        yield Found(
            span(names),
            "all weights are 0: nothing passes, forward or back",
            {"layers": float(len(names))},
            "draw the weights at random",
        )


def _hidden(subject: Subject) -> list[Layer]:
    """Layers that others depend on for their signal and gradient."""
    return [layer for layer in subject.layers[:-1] if layer.after not in ("output", "join")]


def _is_zero(subject: Subject, layer: Layer) -> bool:
    law = subject.law(layer)
    return law.variance == 0 and law.mean == 0


def _all_equal(subject: Subject, layer: Layer) -> bool:
    """Whether all units have the same weights, not 0, and the same bias."""
    if _is_zero(subject, layer):
        return False
    values = np.asarray(layer.parameter.detach().numpy())
    rows = values if units_are_rows(layer) else values.T
    found = subject.structure.bias(layer)
    biases = None if found is None else np.asarray(found[1].detach().numpy())
    same_bias = biases is None or biases.ndim != 1 or bool((biases == biases[0]).all())
    return same_bias and bool((rows == rows[:1]).all())


def units_are_rows(layer: Layer) -> bool:
    """Whether a unit's weights are a row, as in x @ W.T, or a column, as in x @ W."""
    assert layer.node.op is not None
    return layer.node.op.name != "matmul" or layer.node.inputs[1] is not layer.parameter.node
