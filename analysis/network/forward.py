"""Forward rules: from the records of an op's operands to the record of its result.

One rule an op, in `RULES`. A rule returns None where it cannot speak; what follows is then unknown,
never passed through. Formulas are derived in `analysis.topics` (dense-forward, he, ...); the
corrections of order 1/width are explained in `docs/finite-width.md`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp

from analysis.network.records import Array, Signal, Weight
from analysis.network.registry import register
from analysis.network.response import Response, respond
from analysis.symbolic.namespace import exact, symbolic
from analysis.symbolic.pieces import kinks
from tinygrad_edu import ops
from tinygrad_edu.graph.node import Node
from tinygrad_edu.ops.kinds import Elementwise

Record = Signal | Weight | float | None
"""What is known of a node: a signal, a parameter's law, a constant, or nothing."""


@dataclass
class Context:
    """What rules leave for the backward sweep and for the reader."""

    responses: dict[Node, Response]
    reasons: dict[Node, str]
    """Why a node is unknown, where that starts."""


Rule = Callable[[Node, Sequence[Record], Context], Record]
RULES: dict[str, Rule] = {}


def forward(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """The record of one op's result."""
    assert node.op is not None
    if any(operand is None for operand in operands):
        return None
    if node.op.name in RULES:
        return RULES[node.op.name](node, operands, context)
    if isinstance(node.op, Elementwise) and len(operands) == 1:
        return activation(node, operands, context)
    return unknown(node, context, f"no rule for the op {node.op.name!r} yet")


def unknown(node: Node, context: Context, reason: str) -> Record:
    """No record, and the reason why."""
    context.reasons[node] = reason
    return None


# ------------------------------------------------------------------------------ dense layers


@register(RULES, "matmul")
def dense(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """x @ W: the sum of fan_in independent products, variance n Var(W) E[x^2] (dense-forward)."""
    x, w = operands
    if not isinstance(x, Signal) or not isinstance(w, Weight):
        return unknown(node, context, "a product of two signals")
    if w.mean != 0:
        return unknown(
            node, context, f"the weights {w.name} have mean {w.mean:g}, so units are correlated"
        )
    n = node.inputs[0].shape[-1]
    factor = n * w.variance
    variance = factor * x.second
    return Signal(
        mean=np.zeros_like(variance),
        second=variance,
        fourth=3 * variance**2,
        shift=factor * x.shift,
        size=factor * x.size,
        fluctuation=factor**2 * x.scatter - _rigidity(variance, w),
        excess=(w.kurtosis - 3) / n * x.kurtosis,
        units=node.shape[-1],
        gaussian=True,
        dead=x.dead,
    )


def _rigidity(variance: Array, w: Weight) -> Array | float:
    """An orthogonal matrix keeps lengths: the squares of its N outputs have covariance -2 q^2 / N
    (coordinates of a uniform point on a sphere), as if q fluctuated that much less."""
    return 2 * variance**2 / w.orthogonal if w.orthogonal else 0.0


@register(RULES, "add")
def add(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """Signal + bias: independent, so the variances add."""
    if isinstance(operands[0], Weight):
        operands = operands[::-1]
    x, b = operands
    if isinstance(x, Weight | float) or not isinstance(b, Weight):
        return unknown(node, context, "a sum of two signals, whose covariance is not tracked yet")
    assert isinstance(x, Signal)
    if b.mean != 0 or not x.gaussian:
        return unknown(node, context, f"the bias {b.name} has mean {b.mean:g}")
    second = x.second + b.variance
    share = x.second / np.maximum(second, np.finfo(float).tiny)
    return replace(
        x,
        second=second,
        fourth=3 * second**2,
        dead=0.0 if b.variance else x.dead,
        excess=x.excess * share**2 + (b.kurtosis - 3) * (1 - share) ** 2,
    )


# ------------------------------------------------------------------------------ elementwise


def activation(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """phi(x) for x ~ N(0, q): E[phi^2] = V(q); q's scatter s adds V'' s / 2 to the mean of V."""
    (x,) = operands
    assert node.op is not None
    if not isinstance(x, Signal):
        return unknown(node, context, f"{node.op.name} of a parameter")
    if not x.gaussian:
        return unknown(node, context, f"{node.op.name} of a signal that is not near Gaussian")
    response = read(node, x.second)
    context.responses[node] = response
    carried = response.second_1 * x.shift
    bent = response.second_2 * x.fluctuation / 2
    shaped = x.excess * response.q**2 * response.second_2 / 6
    return Signal(
        mean=response.mean,
        second=response.second,
        fourth=response.fourth,
        shift=carried + bent + shaped,
        size=np.abs(response.second_1) * x.size + np.abs(bent) + np.abs(shaped),
        fluctuation=response.second_1**2 * x.fluctuation,
        excess=np.zeros_like(x.second),
        units=x.units,
        gaussian=False,
        dead=1 - (1 - x.dead) * (1 - 0.5**x.units) if response.off_below_0 else 0.0,
    )


def read(node: Node, q: Array) -> Response:
    """The engine's own rule and partial, read on Gaussian input of variance q."""
    op = node.op
    assert isinstance(op, Elementwise)
    params = dict(node.params)
    partial = op.partials[0]
    reader = ops.array_reader(np.dtype(np.float64))

    def phi(x: Array) -> Array:
        return np.asarray(op.forward(x, **params), np.float64)

    def derivative(x: Array) -> Array:
        if partial is None:
            return np.zeros_like(x)
        with np.errstate(all="ignore"):
            slope = partial(reader, phi(x), x, **params)
        return np.broadcast_to(np.asarray(slope, np.float64), x.shape)

    return respond(phi, derivative, q, _kinks(op, tuple(sorted(params.items()))))


@functools.cache
def _kinks(op: Elementwise, params: tuple[tuple[str, float], ...]) -> tuple[float, ...]:
    """Where the rule changes its formula, read off the rule itself."""
    x = sp.Symbol("x", real=True)
    return kinks(exact(op.rule(symbolic, x, **dict(params))), x)


@register(RULES, "neg")
def negate(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """-x: even moments stay."""
    (x,) = operands
    if not isinstance(x, Signal):
        return unknown(node, context, "the negative of a parameter")
    return replace(x, mean=-x.mean)


@register(RULES, "mul", "div")
def scale(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """c x or x / c for a constant c: the second moment takes c^2."""
    assert node.op is not None
    x, c = operands
    if isinstance(x, float) and node.op.name == "mul":
        x, c = c, x
    if not isinstance(x, Signal) or not isinstance(c, float):
        return unknown(node, context, f"{node.op.name} of two signals")
    c = c if node.op.name == "mul" else 1 / c
    return replace(
        x,
        mean=c * x.mean,
        second=c**2 * x.second,
        fourth=c**4 * x.fourth,
        shift=c**2 * x.shift,
        size=c**2 * x.size,
        fluctuation=c**4 * x.fluctuation,
    )


@register(RULES, "reshape", "permute", "cast")
def same_elements(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """The same elements in another order or dtype."""
    return operands[0]
