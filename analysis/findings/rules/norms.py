"""NI6: normalisation."""

from __future__ import annotations

import math
from collections.abc import Iterator

from analysis.findings.rule import Found, rule
from analysis.findings.rules.gradient import batch_norms, hidden_gradients
from analysis.findings.structure import NORMS, axes_of, over_batch
from analysis.findings.subject import Subject, number, span
from tinygrad_edu.graph.node import Node


@rule(
    "NI601",
    "batchnorm-explosion",
    "error",
    derivations=("batchnorm-depth", "gaussian-poincare", "batchnorm-finite-batch"),
    sources=("Yang et al. 2019, A Mean Field Theory of Batch Normalization",),
)
def batchnorm_explosion(subject: Subject) -> Iterator[Found]:
    """Batch norm in every layer makes the gradient explode with depth.

    Batch norm sets the scale forward, whatever the weights are. Backward each layer takes the
    squared gradient times E[phi'^2] / Var(phi), which is never below 1 (Gaussian Poincare
    inequality) and pi / (pi - 1) = 1.467 for relu. No weights' scale changes it.

    The line: the squared length of the gradient at the first batch norm is more than `drift` (1e3)
    times that at the last hidden place, in a network without shortcuts: 19 layers of relu. Lead
    residual blocks around the norms.
    """
    norms = batch_norms(subject)
    gradients = dict(hidden_gradients(subject))
    known = [node for node in norms if node in gradients]
    if len(known) < 2 or subject.structure.joins:
        return
    ratio = gradients[known[0]] / gradients[known[-1]]
    rate = ratio ** (1 / (len(known) - 1))
    whole = ratio * rate  # the last norm's own layer
    if rate > 1 and whole > subject.thresholds.drift:
        name = subject.structure.name_of
        yield Found(
            span([name(known[0]), name(known[-1])]),
            f"each batch norm takes the squared gradient times {number(rate)}: together "
            f"{number(whole)}, for {len(known)} of them",
            {"factor": rate, "ratio": whole, "layers": float(len(known))},
            "residual blocks around the norms, or fewer of them",
        )


@rule(
    "NI602",
    "small-batch",
    "warning",
    derivations=("batchnorm-finite-batch", "batch-variance"),
    sources=("Yang et al. 2019", "Ioffe 2017, Batch Renormalization"),
)
def small_batch(subject: Subject) -> Iterator[Found]:
    """Batch norm averages over so few values that its gradient has no finite variance.

    Dividing by a standard deviation of B values gives heavy tails: the gradient's mean square is
    infinite up to B = 3, the variance of that up to B = 5. Some steps are then enormous.

    The line: at most `examples` (5) values for each statistic: the batch, times the positions of a
    convolution. The batch is no part of a model, so this rule speaks only if it is told one:
    `--threshold batch=4`. Use a larger batch, or layer or group norm.
    """
    batch = subject.thresholds.batch
    if not batch:
        return
    found = []
    for node in _norms(subject):
        if over_batch(node):
            count = batch * math.prod(node.shape[a] for a in axes_of(node) if a)
            if count <= subject.thresholds.examples:
                found.append((subject.structure.name_of(node), count))
    if found:
        least = min(count for _, count in found)
        yield Found(
            span([name for name, _ in found]),
            f"statistics of {least:g} values: the gradient has no finite variance",
            {"values": least, "layers": float(len(found))},
            "a batch of more than 5, or layer or group norm",
        )


@rule("NI603", "norm-of-one", "error", derivations=("layernorm", "groupnorm", "rmsnorm"))
def norm_of_one(subject: Subject) -> Iterator[Found]:
    """A norm over a single element.

    (x - mean) / sqrt(variance + eps) of one number is 0 whatever it is, and x / |x| is its sign:
    nothing passes. It happens in LayerNorm(1), and in GroupNorm with as many groups as channels
    where there are no positions to average over.

    The line: a norm of one example that averages over one element. Normalise over more.
    """
    names = [
        subject.structure.name_of(node)
        for node in _norms(subject)
        if not over_batch(node) and math.prod(node.shape[a] for a in axes_of(node)) == 1
    ]
    if names:
        yield Found(
            span(names),
            "a norm over one element: the output does not depend on the input",
            {"layers": float(len(names))},
            "normalise over more elements (fewer groups), or leave the norm out",
        )


@rule("NI604", "bias-before-batchnorm", "info", derivations=("batchnorm",))
def bias_before_batchnorm(subject: Subject) -> Iterator[Found]:
    """A bias that batch norm takes away again.

    Batch norm subtracts each feature's mean over the batch, so a bias added right before it changes
    nothing and gets no gradient; the norm's own shift does its work.

    The line: a layer with a bias whose output goes into batch norm in training mode. Make the layer
    with `bias=False`.
    """
    names = [
        layer.name
        for layer in subject.layers
        if layer.after == "batch norm" and _direct(subject, layer.output)
        if subject.structure.bias(layer) is not None
    ]
    if names:
        yield Found(
            span(names),
            "batch norm takes the bias away again: it has no effect and gets no gradient",
            {"layers": float(len(names))},
            "bias=False",
        )


def _direct(subject: Subject, node: Node) -> bool:
    """Whether the only op on a signal is a norm, with no pool or mask in between."""
    return all(u.op is not None and u.op.name in NORMS for u in subject.structure.users[node])


@rule(
    "NI605",
    "variance-shift",
    "warning",
    derivations=("variance-shift", "dropout"),
    sources=("Li et al. 2019, Understanding the Disharmony between Dropout and Batch Norm",),
)
def variance_shift(subject: Subject) -> Iterator[Found]:
    """Dropout in front of batch norm: its statistics are wrong in evaluation.

    In training dropout with probability p turns the variance v of its input, of mean m, into
    (v + p m^2) / (1 - p), and the norm's running variance becomes used to that. In evaluation
    nothing is dropped, but the norm still divides by the larger standard deviation.

    The line: the two variances differ by more than `shift` (1.1) at a batch norm that follows
    dropout, with layers but no other norm and no shortcut in between. Move dropout behind the last
    batch norm.
    """
    found = []
    for norm in _norms(subject):
        if not over_batch(norm):
            continue
        (x,) = subject.structure.operands(norm)
        mask = _mask_before(subject, x)
        if mask is None:
            continue
        p = float(mask.params["p"])
        source = subject.structure.operands(mask)[0]
        mean, second = subject.mean(source) or 0.0, subject.second(source)
        spread = 1.0 if second is None else second - mean**2
        ratio = (spread + p * mean**2) / (1 - p) / spread if spread > 0 else 1 / (1 - p)
        if ratio > subject.thresholds.shift:
            found.append((subject.structure.name_of(norm), p, ratio))
    if found:
        _, p, ratio = max(found, key=lambda f: f[2])
        yield Found(
            span([name for name, _, _ in found]),
            f"behind dropout with p = {p:g} the variance in training is {number(ratio)} times that "
            "in evaluation, which the running variance does not know",
            {"p": p, "ratio": ratio, "layers": float(len(found))},
            "dropout behind the last batch norm",
        )


def _mask_before(subject: Subject, node: Node) -> Node | None:
    """The dropout that a signal last went through, if no norm and no shortcut came after it."""
    while node.op is not None and node.op.name not in NORMS:
        if node.op.name == "dropout":
            return node
        operands = subject.structure.operands(node)
        if len(operands) != 1:
            return None
        (node,) = operands
    return None


def _norms(subject: Subject) -> list[Node]:
    live = subject.structure.live
    return [node for node in live if node.op is not None and node.op.name in NORMS]
