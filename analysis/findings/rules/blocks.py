"""NI7: residual blocks, dropout, and what depth leaves of the difference between inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from analysis.findings.rule import Found, rule
from analysis.findings.structure import Layer
from analysis.findings.subject import Subject, number, span
from tinygrad_edu.graph.node import Node

if TYPE_CHECKING:
    from analysis.dynamics.maps import Maps

STEADY = 1.1
"""A last block that still multiplies the second moment by this does so on and on: normalised
branches add the same each time, a factor 1 + 1/l at block l."""


@rule(
    "NI701",
    "residual-explosion",
    "error",
    derivations=("residual",),
    sources=("Hanin and Rolnick 2018", "Zhang et al. 2019, Fixup"),
)
def residual_explosion(subject: Subject) -> Iterator[Found]:
    """A residual stream that grows by a constant factor with every block, and explodes.

    A branch that ends in a layer with weights of mean 0 is uncorrelated with its shortcut, so
    second moments add: a branch that keeps the second moment doubles the stream's, and L of them
    make it 2^L.

    The line: the blocks together multiply the second moment by more than `drift` (1e3), and the
    last one still by a tenth and more. Scale branches by L^-1/2 (the factor is then at most e), let
    their last layer start at 0, or normalise what goes into them.
    """
    growth = _growth(subject)
    if growth is not None and growth[0] > subject.thresholds.drift and growth[1] > STEADY:
        yield _of_blocks(subject, *growth, "explodes")


@rule(
    "NI702",
    "unscaled-branches",
    "warning",
    derivations=("residual", "residual-normalised"),
    sources=("Hanin and Rolnick 2018", "Zhang et al. 2019, Fixup", "De and Smith 2020, SkipInit"),
    unless=("NI701",),
)
def unscaled_branches(subject: Subject) -> Iterator[Found]:
    """Residual branches without the scale that their number asks for.

    As NI701, before it is a disaster: with a few blocks 2^L is not much, but the first blocks are
    drowned by the last, and one more block doubles everything again.

    The line: the blocks together multiply the second moment by more than `growth` (10, where
    branches scaled by L^-1/2 give at most e), and the last one by a tenth and more.
    """
    growth = _growth(subject)
    limits = subject.thresholds
    if growth is not None and limits.growth < growth[0] <= limits.drift and growth[1] > STEADY:
        yield _of_blocks(subject, *growth, "grows")


def _growth(subject: Subject) -> tuple[float, float, list[Node]] | None:
    """What residual blocks multiply the second moment by: all of them, and the last one."""
    joins = list(subject.structure.joins)
    cuts = [c for c in subject.structure.hidden if not joins or c is not joins[0]]
    position = subject.structure.position
    before = [c for c in cuts if joins and position[c] < position[joins[0]]]
    if len(joins) < 2 or not before:
        return None
    seconds = [subject.second(node) for node in (before[-1], *joins)]
    known = [s for s in seconds if s]
    if len(known) < len(seconds):
        return None
    factors = [b / a for a, b in pairwise(known)]
    # a block of more than its sum: an activation or a norm stands between it and the next
    return known[-1] / known[0], min(factors[-1], factors[-2]), joins


def _of_blocks(subject: Subject, total: float, last: float, joins: list[Node], verb: str) -> Found:
    blocks = len(joins)
    name = subject.structure.name_before
    return Found(
        span([name(joins[0]), name(joins[-1])]),
        f"the residual stream {verb}: {blocks} blocks multiply the second moment by "
        f"{number(total)}, the last one by {number(last)}",
        {"growth": total, "factor": last, "blocks": float(blocks)},
        f"scale the branches by {blocks}^-1/2 = {blocks**-0.5:.3g}, or let their last layers start "
        "at 0",
    )


# ------------------------------------------------------------------------------ correlation


@rule(
    "NI703",
    "dropout-depth",
    "warning",
    derivations=("dropout", "edge-of-chaos", "arccosine-kernel"),
    sources=("Schoenholz et al. 2017, section 4", "Pretorius et al. 2018"),
)
def dropout_depth(subject: Subject) -> Iterator[Found]:
    """Dropout limits how deep a network can be trained.

    Two runs of the same input differ by their masks, so the correlation 1 is no fixed point any
    more: all correlations go to some c* < 1, however near or far the inputs were, and a difference
    shrinks by the slope of the correlation map there. The edge of chaos is gone: the depth scale
    -1 / log(slope) is 2.3 layers for relu with p = 0.1, 0.8 with p = 0.5.

    The line: a run of layers with dropout, without norms and shortcuts, is more than `depth_scales`
    (6) of them deep. Lower p, or lead residual blocks around.
    """
    for chain in subject.chains:
        masks = [_rate(subject, a, b) for a, b in pairwise(chain)]
        masked = [(layer, p) for layer, p in zip(chain[1:], masks, strict=True) if p]
        if not masked:
            continue
        layer, p = max(masked, key=lambda m: m[1])
        scale = _depth_scale(subject, layer, p)
        if scale is not None and len(masked) > subject.thresholds.depth_scales * scale:
            yield Found(
                span([each.name for each, _ in masked]),
                f"with dropout of {p:g} correlations are forgotten over {number(scale)} layers; "
                f"these are {len(masked)}",
                {"p": p, "depth_scale": scale, "layers": float(len(masked))},
                "a smaller p, or residual blocks",
            )


def _rate(subject: Subject, earlier: Layer, later: Layer) -> float:
    """The probability that dropout between two layers has; 0 without."""
    (x,) = subject.structure.operands(later.node)
    way = [x, *subject.structure.between(earlier.node, x)]
    rates = [float(n.params["p"]) for n in way if n.op is not None and n.op.name == "dropout"]
    return 1 - math.prod(1 - p for p in rates)


_ITERATIONS = 200


def _depth_scale(subject: Subject, layer: Layer, p: float) -> float | None:
    """-1 / log(slope of the correlation map at its fixed point) of layers like this one, with
    dropout: q' = w V(q) / (1 - p) + b and c' q' = w K(q, c) + b (Schoenholz et al. 2017)."""
    deep = _maps_of(subject, layer)
    if deep is None:
        return None
    w = subject.gain2(layer)
    found = subject.structure.bias(layer)
    b = 0.0
    if found is not None and found[1].law is not None:
        b = found[1].law.variance + found[1].law.mean ** 2
    q = subject.second(layer.output) or 1.0
    for _ in range(_ITERATIONS):
        after = w * float(deep.second(q)) / (1 - p) + b
        if abs(after - q) <= 1e-6 * q or not 1e-6 < after < 1e6:
            break
        q = after
    after = w * float(deep.second(q)) / (1 - p) + b
    if not after > 0:
        return None
    c = 0.5
    for _ in range(_ITERATIONS):
        next_c = (w * float(deep.kernel(q, c)) + b) / after
        if abs(next_c - c) < 1e-6:
            break
        c = min(max(next_c, -1.0), 1.0)
    slope = w * float(deep.kernel(q, c, of_slope=True)) * q / after
    return -1 / math.log(slope) if 0 < slope < 1 else (0.0 if slope <= 0 else math.inf)


def _maps_of(subject: Subject, layer: Layer) -> Maps | None:
    """The maps of the activation before a layer, if its module is one that they know."""
    from analysis.dynamics.maps import maps
    from analysis.errors import AnalysisError
    from tinygrad_edu.nn import Activation

    row = subject.rows.get(layer.before)
    module = dict(subject.model.named_modules()).get(row.name.partition("#")[0]) if row else None
    if not isinstance(module, Activation):
        return None
    try:
        return maps(module)
    except AnalysisError:
        return None


@rule(
    "NI704",
    "correlation-collapse",
    "warning",
    derivations=("arccosine-kernel", "edge-of-chaos"),
    sources=("Schoenholz et al. 2017, section 5", "Martens et al. 2021, section 5"),
    unless=("NI103", "NI201", "NI202", "NI401", "NI402"),
)
def correlation_collapse(subject: Subject) -> Iterator[Found]:
    """Depth makes all inputs look the same.

    Two inputs that are unrelated come out of every layer a little more alike: in the ordered phase
    exponentially fast, on the edge of chaos with a power of the depth (for relu 1 - c falls as
    44 / l^2). When what tells them apart is lost, no head can find it.

    The line: two uncorrelated inputs reach the last layer with 1 - c below `forgotten`
    (exp(-6) = 0.0025: six depth scales; some 130 layers of relu on the edge of chaos). Use residual
    blocks, or fewer layers.
    """
    if subject.propagation.source.data is not None or len(subject.layers) < 2:
        return
    last = subject.layers[-1]
    (x,) = subject.structure.operands(last.node)
    signals = subject.signals(x)
    if len(signals) != 1 or x not in subject.structure.cuts:
        return
    (signal,) = signals
    if signal.partner is None:
        return
    average = subject.propagation.context.average
    second, together = average(signal.second), average(signal.partner)
    if second <= 0:
        return
    left = 1 - together / second
    if left < subject.thresholds.forgotten:
        yield Found(
            last.name,
            f"two unrelated inputs arrive with a correlation of {together / second:.6g}",
            {"left": max(left, 0.0), "correlation": together / second},
            "residual blocks, or fewer layers",
        )
