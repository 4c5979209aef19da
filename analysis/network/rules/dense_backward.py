"""Backward through dense layers: the gradient at the inputs is a fresh source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.network import backward as behind
from analysis.network.context import Context, Parts, Record
from analysis.network.cotangent import Coefficient, Cotangent, UnknownCotangent, source, whole_grid
from analysis.network.elements import correlation, mehler
from analysis.network.records import Array, Gradient, Signal, Weight
from analysis.network.registry import register
from analysis.network.response import linear
from analysis.network.roots import GaussianRoot
from analysis.network.rules.conv import GRADIENT_FIELDS
from analysis.network.rules.dense import gathered
from analysis.network.rules.parts import at_part
from analysis.network.rules.scores import product_backward
from analysis.network.rules.units import by_unit_backward
from tinygrad_edu.graph.node import Node

_ORTHOGONAL_SLACK = 0.5
"""What the rows of an orthogonal matrix of size N, which are not independent, can change in a
gradient is of order 1/N and not modelled; measured were up to 0.35 / N a layer (gelu)."""


@register(behind.RULES, "matmul")
def dense_backward(
    node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
) -> list[object]:
    """Through W^T: n_out products add up, and a mean of W adds what all units agree on."""
    x, w = operands
    if isinstance(x, Signal) and isinstance(w, Signal):
        return product_backward(node, cotangent, context)
    assert isinstance(x, Signal | Parts)
    assert isinstance(w, Weight)
    n_in, n_out = node.inputs[0].shape[-1], node.shape[-1]
    steps = context.notes.get(("steps", context.at(node)))
    if steps is not None and isinstance(x, Signal):
        if ("units", context.at(node)) in context.notes:
            cotangent = by_unit_backward(node, cotangent, context)
        return [transposed(steps, w, n_in, n_out, cotangent, context), None]
    inputs = gathered(x, n_in, node.inputs[0].shape, context)
    assert inputs is not None
    if ("units", context.at(node)) in context.notes:
        cotangent = by_unit_backward(node, cotangent, context)
    passed = transposed(inputs, w, n_in, n_out, cotangent, context)
    if isinstance(x, Parts):
        return [tuple(at_part(passed, s, inputs) for s in x.signals), None]
    if inputs.places != x.places:
        return [repeated(passed, x.places), None]
    return [passed, None]


def transposed(
    x: Signal, w: Weight, n_in: int, n_out: int, cotangent: Cotangent, context: Context
) -> Cotangent:
    """The gradient at the n_in inputs of n_out units: a fresh source."""
    gradient, arriving = cotangent.gradient, cotangent.second()
    total = n_out * (arriving + (n_out - 1) * cotangent.pair())
    second = n_out * w.variance * arriving + w.mean**2 * total
    c = n_in * w.variance
    passed = Gradient(
        second=second,
        coherent=n_out * w.variance * gradient.coherent,
        profile=(w.kurtosis - 3) * c * x.second * gradient.bend,
        bend=np.zeros_like(x.second),
        log_1=c * gradient.log_1,
        log_2=c**2 * gradient.log_2,
        epsilon=gradient.epsilon,
        size=gradient.size,
        slack=gradient.slack + (_ORTHOGONAL_SLACK / w.orthogonal if w.orthogonal else 0.0),
        blocked=gradient.blocked,
        joined=gradient.joined or bool(w.mean),
        aligned=gradient.aligned,
        numbers=w.values is not None,
    )
    if w.values is not None and gradient.numbers:
        passed = replace(passed, slack=passed.slack + 1.0)
    if x.gaussian:  # no activation in between: the elements of x scatter about their own law
        passed = behind.through(linear(x.second), x, passed)
    across = cotangent.across(context)
    across = None if across is None else n_out * w.variance * across
    fresh_one = source(second, w.mean**2 * total + _alike(w, n_in) * arriving, passed, across)
    if n_in == n_out:
        fresh_one = replace(fresh_one, echo=_echo(x, w, cotangent))
    if w.shared and w.variance:
        return _tied_backward(fresh_one, n_out * w.variance, cotangent, w, context)
    return fresh_one


def _alike(w: Weight, n_in: int) -> float:
    """What two inputs' gradients have in common through numbers of their own: the mean of
    sum_i W_ij W_ik over j != k."""
    if w.values is None or n_in < 2:
        return 0.0
    sums = w.values.sum(axis=0)
    return float(np.sum(sums**2) - np.sum(w.values**2)) / (n_in * (n_in - 1))


def _echo(x: Signal, w: Weight, cotangent: Cotangent) -> dict[int, Array]:
    """What comes back of each arriving source itself; E[phi''] = E[phi' z] / sigma."""
    echo: dict[int, Array] = {}
    for key, (arriving, c) in cotangent.terms.items():
        if isinstance(c.root, GaussianRoot) and np.any(x.mean):
            grid = whole_grid(c.root)
            assert grid.z is not None
            curvature = grid.expect(c.value * grid.z) / np.sqrt(grid.q)
            echo[key] = x.units * w.variance * curvature * x.mean * arriving.second
    return echo


def _tied_backward(
    passed: Cotangent, factor: float, cotangent: Cotangent, w: Weight, context: Context
) -> Cotangent:
    """Weights that several ops use give correlated sources where what arrives is correlated."""
    key = f"{w.name} backward"
    earlier = context.tied.setdefault(key, [])
    if w.mean != 0:
        raise UnknownCotangent(f"{w.name}, which has a mean, is used more than once")
    ((own, (arriving, coefficient)),) = passed.terms.items()
    terms = {own: (arriving, coefficient)}
    for before, source_of in earlier:
        both = _common(cotangent, before)
        if np.any(both):
            if len(earlier) > 1:
                raise UnknownCotangent(f"{w.name} is used more than twice by what belongs together")
            known, (first, _) = next(iter(source_of.terms.items()))
            slope = factor * both / np.maximum(first.second, np.finfo(float).tiny)
            left = np.maximum(arriving.second - slope**2 * first.second, 0.0)
            terms = {
                own: (replace(arriving, second=left), Coefficient(None, np.ones_like(left))),
                known: (first, Coefficient(None, slope)),
            }
    earlier.append((cotangent, passed))
    context.notes.setdefault("held gradients", set()).update(passed.terms, cotangent.terms)
    return Cotangent(terms, passed.gradient)


def _common(a: Cotangent, b: Cotangent) -> Array:
    """E[d d'] of two cotangents of the same units."""
    total = np.zeros_like(a.gradient.second)
    for key in a.terms.keys() & b.terms.keys():
        arriving, one = a.terms[key]
        total = total + arriving.second * _together(one, b.terms[key][1])
    return total


def _together(a: Coefficient, b: Coefficient) -> Array:
    """E[a b] of two coefficients."""
    if a.root is None or b.root is None:
        return a.mean() * b.mean()
    if a.root is b.root:
        return whole_grid(a.root).expect(a.value * b.value)
    if isinstance(a.root, GaussianRoot) and isinstance(b.root, GaussianRoot):
        grids = whole_grid(a.root), whole_grid(b.root)
        return mehler((grids[0], a.value), (grids[1], b.value), correlation(a.root, b.root))
    raise UnknownCotangent("shared weights whose gradients depend on several variables")


def repeated(cotangent: Cotangent, places: int) -> Cotangent:
    """The same gradient at every place."""

    def spread(values: Array) -> Array:
        return np.repeat(values, places)

    g = cotangent.gradient
    repeats: dict[str, Any] = {name: spread(getattr(g, name)) for name in GRADIENT_FIELDS}
    gradient = replace(g, **repeats)
    pair = spread(cotangent.pair())
    return source(spread(cotangent.second()), pair, gradient)


def through_bias(
    node: Node, x: Signal, b: Weight, cotangent: Cotangent, context: Context
) -> Cotangent:
    """Signal + bias: the gradient passes; only a share of the signal is what the weights made."""
    if ("units", context.at(node)) in context.notes:
        cotangent = by_unit_backward(node, cotangent, context)
    g = cotangent.gradient
    share = x.second / np.maximum(x.second + b.variance + b.mean**2, np.finfo(float).tiny)
    coherent = share * g.coherent + (1 - share) * g.second
    return Cotangent(cotangent.terms, replace(g, coherent=coherent))
