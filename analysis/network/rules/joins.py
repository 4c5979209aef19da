"""Joins: sums of branches, whose covariance is tracked, and concatenations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from analysis.network import forward as ahead
from analysis.network.context import Context, Parts, Record, UnknownSignal
from analysis.network.elements import Element, mixed, summed
from analysis.network.fields import pairs_of
from analysis.network.records import Array, Signal
from analysis.network.registry import register
from analysis.network.rules.conv import placed
from analysis.network.rules.products import across, independent
from analysis.network.sources import Form
from tinygrad_edu.graph.node import Node

UNTRACKED = "a sum of two signals whose covariance is not known"


def join(node: Node, a: Signal, b: Signal, context: Context) -> Signal | None:
    """a + b. Independent sources have covariance 0; of what they have in common it is computed."""
    if a.places != b.places and len(node.shape) > 2:
        a, b = (_by_place(n, x, context) for n, x in zip(node.inputs, (a, b), strict=True))
    if len(a.second) != len(b.second) or a.units != b.units:
        raise UnknownSignal("a sum of signals whose layouts differ")
    if _hidden(a, b) or _hidden(b, a):
        raise UnknownSignal(UNTRACKED)
    if a.element is None or b.element is None:
        return _of_moments(node, a, b, context)
    for one, other in ((a, b), (b, a)):
        assert one.element is not None
        assert other.element is not None
        root = context.roots.get(_variable_node(node, one is a, context))
        if root is not None and other.element.root is root:
            own = Element(Form(np.zeros_like(a.mean), {}), root, 0)
            return _with_law(summed(own, other.element), a, b, context)
    element = summed(a.element, b.element)
    if element is not None:
        return _with_law(element, a, b, context)
    return _of_moments(node, a, b, context)


def _by_place(node: Node, x: Signal, context: Context) -> Signal:
    """An input that was one row of units, by channels and positions."""
    return (placed(node, x, context) if x.places == 1 else None) or x


def _hidden(a: Signal, b: Signal) -> bool:
    """Whether a depends on b in a way that its law does not show (behind batch norm)."""
    if a.element is None:
        return False
    return not (a.sources - a.element.sources).isdisjoint(b.sources)


def _variable_node(node: Node, first: bool, context: Context) -> object:
    return context.at(node.inputs[0 if first else 1])


def _with_law(element: Element | None, a: Signal, b: Signal, context: Context) -> Signal:
    """The record of a sum whose law is known."""
    assert element is not None
    mean, second, fourth = element.moments()
    base = _joined(a, b, mean, second, fourth)
    return replace(
        base,
        element=element,
        sources=element.sources,
        partner=_partner(a, b, context),
    )


def _partner(a: Signal, b: Signal, context: Context) -> Array | None:
    """E[(a + b)(a' + b')] of independent branches."""
    if a.partner is None or b.partner is None or not independent(a, b):
        return None
    crossed = a.mean * context.partner(b.mean) + b.mean * context.partner(a.mean)
    return np.asarray(a.partner + b.partner + crossed)


def _of_moments(node: Node, a: Signal, b: Signal, context: Context) -> Signal | None:
    """A sum of which only the moments are known."""
    both: Array | None
    if a.element is not None and b.element is not None:
        both = mixed(a.element, b.element)
    else:
        both = a.mean * b.mean if independent(a, b) else across(node, a, b, context)
    if both is None:
        raise UnknownSignal(UNTRACKED)
    second = a.second + b.second + 2 * both
    # without the skewnesses, or an upper bound (Minkowski); it enters corrections only
    if independent(a, b):
        fourth = a.fourth + 6 * a.second * b.second + b.fourth
        pairs = _pairs_of_sum(a, b, context)
    else:
        pairs = None
        fourth = (a.fourth**0.25 + b.fourth**0.25) ** 4
    base = _joined(a, b, a.mean + b.mean, second, fourth)
    return replace(base, sources=a.sources | b.sources, pairs=pairs)


def _pairs_of_sum(a: Signal, b: Signal, context: Context) -> Callable[[], Array | None]:
    """E[(a + b)_p (a + b)_q] of independent branches."""

    def pairs() -> Array | None:
        own, other = pairs_of(a, context), pairs_of(b, context)
        if own is None or other is None:
            return None
        one, two = (s.mean.reshape(-1, s.places) for s in (a, b))
        crossed = one[:, :, None] * two[:, None, :]
        return np.asarray(own + other + crossed + crossed.transpose(0, 2, 1))

    return pairs


def _joined(a: Signal, b: Signal, mean: Array, second: Array, fourth: Array) -> Signal:
    """Corrections of branches add up; their scatters may go together, so deviations are added.
    Means go with the root of what scatters, so that E[a b] has their covariance in addition."""
    tiny = np.finfo(float).tiny
    swing = [np.sqrt(np.maximum(s.fluctuation, 0.0)) / np.maximum(s.second, tiny) for s in (a, b)]
    means = np.abs(a.mean * b.mean) * swing[0] * swing[1] / 2
    variance = np.maximum(second - mean**2, tiny)
    deviation = sum(np.sqrt(np.maximum(s.fluctuation, 0.0)) for s in (a, b))
    shape = sum(s.excess * np.minimum(s.variance / variance, 1.0) ** 2 for s in (a, b))
    return Signal(
        mean=mean,
        second=second,
        fourth=fourth,
        shift=a.shift + b.shift,
        size=a.size + b.size + means,
        fluctuation=np.asarray(deviation) ** 2,
        excess=np.asarray(shape),
        units=a.units,
        places=a.places,
        fixed=a.fixed and b.fixed,
        dead=min(a.dead, b.dead),
        joined=True,
        reshaped=max(a.reshaped, b.reshaped),
        identical=a.identical and b.identical,
        apart=a.apart and b.apart,
    )


ahead.WHOLE.add("concat")


@register(ahead.RULES, "concat")
def concatenate(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """Along the axis of the units: parts one after another."""
    pieces: list[Signal] = []
    for place, operand in zip(node.inputs, operands, strict=True):
        if isinstance(operand, Signal):
            pieces.append(_by_place(place, operand, context) if len(node.shape) > 2 else operand)
        elif isinstance(operand, Parts):
            pieces.extend(operand.signals)
        else:
            raise UnknownSignal("a concatenation of what is no signal")
    axis = node.params["axis"]
    if node.shape[axis] != sum(s.units for s in pieces) or axis == 0:
        raise UnknownSignal("a concatenation along another axis than that of the units")
    if len({len(s.second) for s in pieces}) > 1:
        raise UnknownSignal("a concatenation of signals whose layouts differ")
    return Parts(tuple(pieces))
