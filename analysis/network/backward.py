"""The backward sweep: from the gradient at an op's result to the gradient at its operands.

Mean field: through a dense layer E[(ds/dx)^2] = n_out Var(W) E[(ds/dz)^2] (dense-backward), through
an activation it takes the factor E[phi'^2]; where branches part, gradients add (`cotangent`).

Corrections of order 1/width. For Gaussian weights the gradient at a layer's input h has, by
rotational symmetry, one squared size along h (`coherent`) and one across it; both only depend on
|h|^2, so they satisfy a recursion that is exact at any width and is expanded here to first order:
the slopes phi'^2 of a layer are correlated with its |h|^2, on which everything above depends
(`log_1`, `log_2`). Weights with another kurtosis add `profile`. See `docs/finite-width.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.network.context import Context, Joint, Parts, Record
from analysis.network.cotangent import Cotangent, source
from analysis.network.records import Array, Gradient, Signal
from analysis.network.response import Response
from tinygrad_edu.graph.node import Node
from tinygrad_edu.ops.kinds import Elementwise

Back = Cotangent | tuple[Cotangent, ...]
"""A cotangent, or one for each part of a concatenation."""

Rule = Callable[[Node, Sequence[Record], Any, Context], list[Any]]
RULES: dict[str, Rule] = {}
"""Rules by the op's name: the cotangent of each operand, None where there is none."""
ELEMENTWISE: list[Rule] = []
"""The general rule for elementwise ops."""
BY_PLACE: list[Rule] = []
"""The rule for signals times known numbers, entered by `rules.known`."""
WHOLE: set[str] = set()
"""Ops whose rule takes a concatenation as a whole."""


def backward(
    node: Node, operands: Sequence[Record], cotangent: Back, context: Context
) -> list[Any]:
    """The cotangent of each operand. Raises an `AnalysisError` where none is known."""
    assert node.op is not None
    rule = RULES.get(node.op.name)
    if ("by place", context.at(node)) in context.notes:
        rule = BY_PLACE[0]
    if rule is None:
        assert isinstance(node.op, Elementwise)
        rule = ELEMENTWISE[0]
    if node.op.name in WHOLE or not isinstance(cotangent, tuple):
        return rule(node, operands, cotangent, context)
    by_part = []
    for part, own in enumerate(cotangent):
        context.part = part + 1
        kinds = [o.signals[part] if isinstance(o, Parts) else o for o in operands]
        by_part.append(rule(node, kinds, own, context))
        context.part = 0
    return [None if c[0] is None else c for c in zip(*by_part, strict=True)]


def start(examples: int) -> Cotangent:
    """At the output, weighted by iid standard normals: second moment 1, in every direction."""
    one, zero = np.ones(examples), np.zeros(examples)
    gradient = Gradient(
        one, one, profile=zero, bend=zero, log_1=zero, log_2=zero, epsilon=zero, size=zero
    )
    return source(one, zero, gradient)


def through(response: Response, x: Signal, gradient: Gradient) -> Gradient:
    """The gradient at z from that at phi(z), with z ~ N(0, q) in each of `x.units` units."""
    r, n = response, x.units
    tiny = np.finfo(float).tiny
    slope = np.maximum(r.slope, tiny)
    second = np.maximum(r.second, tiny)
    shared = r.cross - r.slope * r.second
    spread = r.fourth - r.second**2
    if x.centred:  # what goes with the mean of the units does not scatter
        shared = shared - r.tilt * r.slope_tilt
        spread = spread - r.tilt**2
    along = gradient.coherent / np.maximum(gradient.second, tiny)
    terms = (
        gradient.log_1 * shared / slope / n,
        (gradient.log_2 + gradient.log_1**2) * spread / 2 / n,
        r.cross / (second * slope) * (along - 1 + gradient.profile) / n,
        x.excess * r.q**2 / 6 * (r.slope_2 / slope + gradient.log_1 * r.second_2),
    )
    relative = r.slope_1 / slope
    return Gradient(
        second=r.slope * gradient.second,
        coherent=(
            gradient.coherent * r.radial**2 / second
            + gradient.second * (r.stretch - r.radial**2 / second)
        )
        / np.maximum(r.q, tiny),
        profile=np.zeros_like(second),
        bend=relative,
        log_1=relative + gradient.log_1 * r.second_1,
        log_2=r.slope_2 / slope
        - relative**2
        + gradient.log_2 * r.second_1**2
        + gradient.log_1 * r.second_2,
        epsilon=gradient.epsilon + sum(terms),
        size=gradient.size + sum(map(np.abs, terms)),
        slack=gradient.slack,
        blocked=r.off_below_0 or gradient.blocked,
        joined=gradient.joined,
        aligned=gradient.aligned,
        numbers=gradient.numbers,
    )


def through_joint(joint: Joint, gradient: Gradient) -> Gradient:
    """The gradient at one operand of a function of two, whose second moments scatter together. In
    logarithms, u = log E[y^2] and t = log E[x^2], the gradient's is a function of u plus that of
    the slope, and the terms are those of `through`."""
    j, n = joint, joint.units
    tiny = np.finfo(float).tiny
    second, square = np.maximum(j.second, tiny), np.maximum(j.square, tiny)
    operand = np.maximum(j.operand, tiny)
    along = gradient.coherent / np.maximum(gradient.second, tiny)
    terms = (
        gradient.log_1 * (j.cross / square - j.second) / n,
        (gradient.log_2 + gradient.log_1**2) * (j.fourth - j.second**2) / 2 / n,
        j.cross / (second * square) * (along - 1 + gradient.profile) / n,
    )
    by_u = gradient.log_1 * second
    by_t = by_u * j.own + j.slope
    bend = (gradient.log_2 * second**2 + by_u) * j.own**2
    return replace(
        gradient,
        second=square * gradient.second,
        coherent=gradient.coherent * second / operand,
        profile=np.zeros_like(second),
        bend=np.zeros_like(second),
        log_1=by_t / operand,
        log_2=(bend - by_u * j.own + j.curve) / operand**2,
        epsilon=gradient.epsilon + sum(terms),
        size=gradient.size + sum(map(np.abs, terms)) + (1 + np.abs(by_u)) ** 2 * j.apart,
        joined=True,
        at_variable=False,
    )


def settled(
    gradient: Gradient, hidden: np.ndarray[Any, Any], deviation: Array, shift: Array
) -> Gradient:
    """Averaged here over a second moment with this standard deviation and this correction, where a
    branch or a part does not tell it (`hidden`): it scatters mostly by others."""
    g = gradient
    terms = ((g.log_2 + g.log_1**2) / 2 * deviation**2, g.log_1 * shift)
    return replace(
        g,
        epsilon=g.epsilon + np.where(hidden, sum(terms), 0.0),
        size=g.size + np.where(hidden, sum(map(np.abs, terms)), 0.0),
        log_1=np.where(hidden, 0.0, g.log_1),
        log_2=np.where(hidden, 0.0, g.log_2),
    )


def averaged(gradient: Gradient, x: Signal) -> tuple[Array, Array, Array, float]:
    """E[(ds/dx)^2] of an element, averaged over everything: the mean-field value, its relative
    correction, the size of the correction's terms, and what is not modelled."""
    bend = (gradient.log_2 + gradient.log_1**2) / 2
    terms = [gradient.log_1 * x.shift]
    # what the signal's own correction leaves open enters in proportion, at least
    steep = np.maximum(np.abs(gradient.log_1), 1 / np.maximum(x.second, np.finfo(float).tiny))
    doubt = steep * np.maximum(x.size - np.abs(x.shift), 0.0) if x.joined else 0.0
    lost = x.dead if gradient.blocked else 0.0  # exact, so it adds nothing to the size
    if x.gaussian:
        terms.append(bend * x.fluctuation)
    else:
        terms.append(bend * x.scatter)
        along = gradient.coherent / np.maximum(gradient.second, np.finfo(float).tiny)
        terms.append((along - 1 + gradient.profile) / x.units)
    return (
        gradient.second,
        gradient.epsilon + sum(terms) - lost,
        gradient.size + sum(map(np.abs, terms)) + doubt,
        gradient.slack,
    )
