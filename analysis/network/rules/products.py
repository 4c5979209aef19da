"""Products of independent signals, gates among them, and what two such products have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.network.context import Context, Joint, Slope
from analysis.network.elements import mixed
from analysis.network.records import Array, Signal
from tinygrad_edu.graph.node import Node

_TINY = np.finfo(float).tiny
_CURVED = 10.0
"""Curvatures beyond this come from a first factor that hardly scatters, and are not followed."""


def independent(a: Signal, b: Signal) -> bool:
    """Proved by having no source in common."""
    return a.sources.isdisjoint(b.sources)


def product(node: Node, a: Signal, b: Signal, positions: list[int], context: Context) -> Signal:
    """Of independent factors: the moments multiply."""
    context.notes.setdefault("factors", {})[context.at(node)] = (a, b)
    mean, second, fourth = a.mean * b.mean, a.second * b.second, a.fourth * b.fourth
    context.slopes[context.at(node)] = {
        position: Slope(None, other.mean, other.second, _of_factors(one, other, second, fourth))
        for position, one, other in ((positions[0], a, b), (positions[1], b, a))
    }
    # E[q_a q_b] has their covariance in addition, between 0 and the product of their deviations
    result = of_moments((a, b), mean, second, fourth, 0.5 * second, 0.5 * second)
    if a.partner is None or b.partner is None:
        return result
    return replace(result, partner=a.partner * b.partner)


def _of_factors(one: Signal, other: Signal, second: Array, fourth: Array) -> Joint:
    """How a product and the slope by one factor, which is the other factor, go with that one's
    second moment: both scatter with the input that they have in common, each in its measure. What
    the other one scatters by in excess is no function of this one's units: it makes a doubt."""
    own, beside = (
        np.sqrt(np.maximum(s.fluctuation, 0)) / np.maximum(s.second, _TINY) for s in (one, other)
    )
    ratio = np.minimum(beside / np.where(own > 0, own, np.inf), 1.0)
    rest = beside - ratio * own
    # the other factor's second moment is known with its correction: of what curvature this is
    moved = 2 * other.shift / np.maximum(other.second, _TINY)
    bent = np.clip(moved / np.where(own > 0, own**2, np.inf), -_CURVED, _CURVED)
    return Joint(
        own=1 + ratio,
        slope=ratio,
        curve=bent - ratio**2,
        second=second,
        fourth=fourth,
        square=other.second,
        cross=one.second * other.fourth,
        operand=one.second,
        units=one.units,
        apart=rest * (rest + 2 * own) / 2,
    )


def of_moments(
    signals: tuple[Signal, Signal],
    mean: Array,
    second: Array,
    fourth: Array,
    bend: Array,
    doubt: Array,
) -> Signal:
    """A record without a law. Relative scatters and corrections of the operands add up; `bend` and
    `doubt` times the product of their relative deviations are what curvature adds, and how
    uncertain that is."""
    a, b = (np.sqrt(np.maximum(s.fluctuation, 0)) / np.maximum(s.second, _TINY) for s in signals)
    carried = [s.shift / np.maximum(s.second, _TINY) for s in signals]
    sizes = [s.size / np.maximum(s.second, _TINY) for s in signals]
    return Signal(
        mean=mean,
        second=second,
        fourth=fourth,
        shift=second * sum(carried) + bend * a * b,
        size=second * sum(sizes) + np.maximum(np.abs(bend), doubt) * a * b,
        fluctuation=(second * (a + b)) ** 2,
        excess=np.zeros_like(second),
        units=signals[0].units,
        sources=signals[0].sources | signals[1].sources,
        places=signals[0].places,
        dead=max(s.dead for s in signals),
        joined=True,
        apart=all(s.apart for s in signals),
    )


# ------------------------------------------------------------------------------ two products


def across(node: Node, a: Signal, b: Signal, context: Context) -> Array | None:
    """E[a b] of the operands of a sum or difference, of which one at least is a product, as in
    t h + (1 - t) x: factors that depend on each other are taken together, and the expectations of
    those groups multiply. None where a group's is not known, and where two groups have factors of
    both products: then the gradients that come back through them are not independent either."""
    known = context.notes.get("factors", {})
    of_a, of_b = (known.get(context.at(n)) for n in node.inputs)
    if of_a is None and of_b is None:
        return None
    assert node.op is not None
    negated = of_b is not None and node.op.name == "sub"  # else b carries the sign itself
    total = np.full_like(a.mean, -1.0 if negated else 1.0)
    groups = _groups([*(of_a or (a,)), *(of_b or (b,))])
    if sum(len(group) > 1 for group in groups) > 1:
        return None
    for group in groups:
        expectation = _together(group)
        if expectation is None:
            return None
        total = total * expectation
    return total


def _groups(factors: Sequence[Signal]) -> list[list[Signal]]:
    """Signals that have sources in common, directly or by others."""
    groups: list[list[Signal]] = []
    for factor in factors:
        apart = [g for g in groups if all(independent(factor, x) for x in g)]
        joined = [x for g in groups if g not in apart for x in g]
        groups = [*apart, [*joined, factor]]
    return groups


def _together(group: list[Signal]) -> Array | None:
    """The expectation of the product of one signal, or of two whose joint law is known."""
    if len(group) == 1:
        return group[0].mean
    if len(group) > 2:
        return None
    one, other = group
    if one is other:
        return one.second
    if one.element is None or other.element is None or any(map(_behind_norm, group)):
        return None
    return mixed(one.element, other.element)


def _behind_norm(x: Signal) -> bool:
    """Whether it depends on more than its law shows."""
    return x.element is not None and not x.sources <= x.element.sources
