"""NI5: what layers are fed with, and how well conditioned learning from it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from analysis.findings.rule import Found, rule
from analysis.findings.subject import Subject, number, span


@rule(
    "NI501",
    "off-centre",
    "warning",
    derivations=("zig-zag", "same-sign-gradients", "batch-mean"),
    sources=("LeCun et al. 1998, section 4.3", "LeCun, Kanter and Solla 1991"),
    unless=("NI401",),
)
def off_centre(subject: Subject) -> Iterator[Found]:
    """The inputs of a layer have a mean that outweighs what tells them apart.

    For a linear unit under squared loss the Hessian is E[x x^T]. With n features of mean m and
    variance v its condition number is 1 + n m^2 / v: one direction, along the mean, is that much
    steeper than all others, and the weights zig-zag across it. Behind a sigmoid m^2 / v is 5.8,
    behind relu 0.47, behind tanh 0.

    The line: m^2 / v above `off_centre` (1). Data: subtract the mean. A layer: an activation that
    is centred, or a batch norm behind the layer, which takes the mean out of its gradient.
    """
    data = _features(subject)
    if data is not None and subject.layers:
        mean2, variances = float(np.mean(data.mean(0) ** 2)), data.var(0)
        variance = float(variances.mean())
        if mean2 > subject.thresholds.off_centre * variance > 0:
            condition = 1 + len(variances) * mean2 / variance
            yield Found(
                "input",
                f"the data are not centred: mean^2/variance is {number(mean2 / variance)}, so the "
                f"first layer's condition number is about {number(condition)}",
                {"ratio": mean2 / variance, "condition": condition},
                "subtract each feature's mean (tinygrad_edu.data.Standardize)",
            )
    found = []
    for layer in subject.layers:
        activation = layer.before
        if layer.after == "batch norm" or not subject.structure.is_activation(activation):
            continue
        mean, second = subject.mean(activation), subject.second(activation)
        if mean is None or second is None or second <= mean**2:
            continue
        ratio = mean**2 / (second - mean**2)
        if ratio > subject.thresholds.off_centre:
            found.append((layer, ratio))
    if found:
        worst = max(ratio for _, ratio in found)
        condition = max(1 + layer.fans[0] * ratio for layer, ratio in found)
        yield Found(
            span([layer.name for layer, _ in found]),
            f"inputs have mean^2/variance up to {number(worst)}, so the condition number of the "
            f"layer is up to {number(condition)}",
            {"ratio": worst, "condition": condition, "layers": float(len(found))},
            "a centred activation (tanh instead of sigmoid), or batch norm behind the layer",
        )


@rule(
    "NI502",
    "unequal-features",
    "warning",
    derivations=("zig-zag",),
    sources=("LeCun et al. 1998, section 4.3",),
)
def unequal_features(subject: Subject) -> Iterator[Found]:
    """The features of the data have very different variances.

    Along a feature of variance v the error of a linear unit shrinks by 1 - lr v a step. The largest
    v bounds the learning rate, so a feature with a hundredth of it needs a hundred times the steps.

    The line: between the tenth and the ninetieth percentile of the variances (of features that are
    not constant) lies a factor of more than `rates` (100). Divide each feature by its standard
    deviation. Only data show this; it needs `input`.
    """
    data = _features(subject)
    if data is None:
        return
    variances = data.var(0)
    variances = variances[variances > np.finfo(np.float32).eps * variances.max(initial=0.0)]
    if len(variances) < 2:
        return
    low, high = np.quantile(variances, [0.1, 0.9])
    if high > subject.thresholds.rates * low:
        yield Found(
            "input",
            f"features learn at unequal rates: their variances range from {number(low)} to "
            f"{number(high)}",
            {"low": float(low), "high": float(high), "ratio": float(high / low)},
            "divide each feature by its standard deviation (tinygrad_edu.data.Standardize)",
        )


def _features(subject: Subject) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """The data as rows of features; a mean over one example says nothing."""
    source, data = subject.propagation.source, subject.propagation.source.data
    return None if data is None or source.tokens or len(data) < 2 else data.reshape(len(data), -1)
