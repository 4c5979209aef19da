"""Backward rules: from the gradient at an op's result to the gradient at its operand.

Mean field: through a dense layer E[(ds/dx)^2] = n_out Var(W) E[(ds/dz)^2] (dense-backward), through
an activation it takes the factor E[phi'^2].

Corrections of order 1/width. For Gaussian weights the gradient at a layer's input h has, by
rotational symmetry, one squared size along h (`coherent`) and one across it; both only depend on
|h|^2, so they satisfy a recursion that is exact at any width and is expanded here to first order:
the slopes phi'^2 of a layer are correlated with its |h|^2, on which everything above depends
(`log_1`, `log_2`). Weights with another kurtosis add `profile`. See `docs/finite-width.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from analysis.network.forward import Context, Record
from analysis.network.records import Array, Gradient, Signal, Weight
from analysis.network.registry import register
from analysis.network.response import Response, linear
from tinygrad_edu.graph.node import Node
from tinygrad_edu.ops.kinds import Elementwise

_ORTHOGONAL_SLACK = 0.5
"""What the rows of an orthogonal matrix of size N, which are not independent, can change in a
gradient is of order 1/N and not modelled; measured were up to 0.35 / N a layer (gelu)."""

Rule = Callable[[Node, list[Record], Gradient, Context], list[Gradient | None]]
RULES: dict[str, Rule] = {}


def start(examples: int) -> Gradient:
    """At the output, weighted by iid standard normals: second moment 1, in every direction."""
    one, zero = np.ones(examples), np.zeros(examples)
    return Gradient(
        one, one, profile=zero, bend=zero, log_1=zero, log_2=zero, epsilon=zero, size=zero
    )


def backward(
    node: Node, operands: list[Record], gradient: Gradient, context: Context
) -> list[Gradient | None]:
    """The gradient at each operand; None where there is none or none is known."""
    assert node.op is not None
    if node.op.name in RULES:
        return RULES[node.op.name](node, operands, gradient, context)
    if isinstance(node.op, Elementwise) and len(operands) == 1:
        return activation(node, operands, gradient, context)
    return [None] * len(operands)


@register(RULES, "matmul")
def dense(
    node: Node, operands: list[Record], gradient: Gradient, context: Context
) -> list[Gradient | None]:
    """Through W^T: n_out products add up."""
    x, w = operands
    assert isinstance(x, Signal)
    assert isinstance(w, Weight)
    n_in, n_out = node.inputs[0].shape[-1], node.shape[-1]
    c = n_in * w.variance
    passed = Gradient(
        second=n_out * w.variance * gradient.second,
        coherent=n_out * w.variance * gradient.coherent,
        profile=(w.kurtosis - 3) * c * x.second * gradient.bend,
        bend=np.zeros_like(x.second),
        log_1=c * gradient.log_1,
        log_2=c**2 * gradient.log_2,
        epsilon=gradient.epsilon,
        size=gradient.size,
        slack=gradient.slack + (_ORTHOGONAL_SLACK / w.orthogonal if w.orthogonal else 0.0),
        blocked=gradient.blocked,
    )
    if x.gaussian:  # no activation in between: the elements of x scatter about their own law
        passed = through(linear(x.second), x, passed)
    return [passed, None]


@register(RULES, "add")
def add(
    node: Node, operands: list[Record], gradient: Gradient, context: Context
) -> list[Gradient | None]:
    """Signal + bias: the gradient passes; only a share of the signal is what the weights made."""
    position = 0 if isinstance(operands[0], Signal) else 1
    x, b = operands[position], operands[1 - position]
    assert isinstance(x, Signal)
    assert isinstance(b, Weight)
    share = x.second / np.maximum(x.second + b.variance, np.finfo(float).tiny)
    passed = replace(gradient, coherent=share * gradient.coherent + (1 - share) * gradient.second)
    return [passed, None] if position == 0 else [None, passed]


def activation(
    node: Node, operands: list[Record], gradient: Gradient, context: Context
) -> list[Gradient | None]:
    """Through phi: the factor E[phi'^2]."""
    (x,) = operands
    assert isinstance(x, Signal)
    return [through(context.responses[node], x, gradient)]


def through(response: Response, x: Signal, gradient: Gradient) -> Gradient:
    """The gradient at z from that at phi(z), with z ~ N(0, q) in each of `x.units` units."""
    r, n = response, x.units
    slope = np.maximum(r.slope, np.finfo(float).tiny)
    second = np.maximum(r.second, np.finfo(float).tiny)
    shared = r.cross - r.slope * r.second
    spread = r.fourth - r.second**2
    along = gradient.coherent / gradient.second
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
        / r.q,
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
    )


@register(RULES, "neg", "reshape", "permute", "cast")
def same_size(
    node: Node, operands: list[Record], gradient: Gradient, context: Context
) -> list[Gradient | None]:
    """The same squares in another order."""
    return [gradient]


@register(RULES, "mul", "div")
def scale(
    node: Node, operands: list[Record], gradient: Gradient, context: Context
) -> list[Gradient | None]:
    """By a constant c: squares take c^2, and the signal's second moment is seen through c^2."""
    assert node.op is not None
    position = 0 if isinstance(operands[0], Signal) else 1
    c = operands[1 - position]
    assert isinstance(c, float)
    square = c**2 if node.op.name == "mul" else 1 / c**2
    passed = replace(
        gradient,
        second=square * gradient.second,
        coherent=square * gradient.coherent,
        log_1=square * gradient.log_1,
        log_2=square**2 * gradient.log_2,
    )
    return [passed, None] if position == 0 else [None, passed]


def averaged(gradient: Gradient, x: Signal) -> tuple[Array, Array, Array, float]:
    """E[(ds/dx)^2] of an element, averaged over everything: the mean-field value, its relative
    correction, the size of the correction's terms, and what is not modelled."""
    bend = (gradient.log_2 + gradient.log_1**2) / 2
    terms = [gradient.log_1 * x.shift]
    lost = x.dead if gradient.blocked else 0.0  # exact, so it adds nothing to the size
    if x.gaussian:
        terms.append(bend * x.fluctuation)
    else:
        terms.append(bend * x.scatter)
        terms.append((gradient.coherent / gradient.second - 1 + gradient.profile) / x.units)
    return (
        gradient.second,
        gradient.epsilon + sum(terms) - lost,
        gradient.size + sum(map(np.abs, terms)),
        gradient.slack,
    )
