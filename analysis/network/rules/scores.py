"""Attention: scores q_i . k_j, their softmax over positions j, and its product with values.

In a wide model queries, keys and values are independent Gaussian fields over positions, since each
has weights of its own, and given the scores an output sum_j p_ij v_j has the second moment
sum_jl p_ij p_il E[v_j v_l]. Only the average over scores has no closed form: it is taken over
points of their joint law (`draws`), exact for heads of any width, with its standard error in the
bound. (Hron et al. 2020, "Infinite attention", have the limit of many heads.)
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.network.context import Context, UnknownSignal
from analysis.network.cotangent import Cotangent, Rows, UnknownCotangent, source
from analysis.network.draws import Draws, count_of, relative_error
from analysis.network.elements import Element
from analysis.network.fields import pairs_of
from analysis.network.layouts import layout_of
from analysis.network.records import Array, Gradient, Signal
from analysis.network.rules.conv import placed
from analysis.network.rules.steps import by_step
from analysis.network.samples import SampledRoot
from analysis.network.sources import Form
from tinygrad_edu.graph.node import Node

_TINY = np.finfo(float).tiny
_MOST_BACK = 60_000_000
"""Multiplications of the backward pass's average: it takes as many points as that allows."""


@dataclass(frozen=True)
class Scored:
    """Queries and keys by positions, and points of both, (cases, points, places, width)."""

    query: Signal
    key: Signal
    queries: Array
    keys: Array


# ------------------------------------------------------------------------------ the product


def product(node: Node, a: Signal, b: Signal, context: Context) -> Signal:
    """Queries times keys, or probabilities times values."""
    left, right = node.inputs
    a = _placed(left, a, True, context)
    b = _placed(right, b, _is_scores(a), context)
    heads, first = _split(layout_of(a, left.shape))
    others, second = _split(layout_of(b, right.shape))
    if heads != others:
        raise UnknownSignal("a product of two signals whose layouts are not those of an attention")
    if (first, second) == ("pu", "up"):
        return _scores(node, a, b, context)
    if (first, second) == ("pp", "pu") and _is_scores(a):
        return _mixed(node, a, b, context)
    raise UnknownSignal("a product of two signals whose layouts are not those of an attention")


def _is_scores(x: Signal) -> bool:
    return x.element is not None and isinstance(x.element.root, SampledRoot)


def _placed(node: Node, x: Signal, steps: bool, context: Context) -> Signal:
    if x.places > 1 or len(node.shape) != 3:
        return x
    made = by_step(node, x, context) if steps else placed(node, x, context)
    return x if made is None else made


def _split(layout: str) -> tuple[str, str]:
    """The letters of the heads, and of the two last axes."""
    return layout[1:-2].replace("1", "u"), layout[-2:]


def _scores(node: Node, a: Signal, b: Signal, context: Context) -> Signal:
    """Points of q_i . k_j. Heads are independent, so one is drawn."""
    width, places = node.inputs[0].shape[-1], a.places * b.places
    heads = a.units // width
    if a.units != b.units or len(a.second) // a.places != len(b.second) // b.places:
        raise UnknownSignal("a product of two signals whose layouts differ")
    cases = len(a.second) // a.places
    count = count_of(cases * max(places, max(a.places, b.places) * width))
    draws = Draws(count, width, context)
    queries, keys = draws.of(a), draws.of(b)
    made = np.einsum("cpiu,cpju->cijp", queries, keys, optimize=True)
    context.notes["scored", context.at(node)] = Scored(a, b, queries, keys)
    own, other = _wander(a), _wander(b)
    record = _sampled(made, a.sources | b.sources, heads)
    doubt = record.second * max(float(np.max(own)), float(np.max(other)))
    layout = "b" + layout_of(a, node.inputs[0].shape)[1:-2] + "pp"
    return replace(record, layout=layout, size=record.size + doubt, fluctuation=doubt * 0)


def _sampled(points: Array, sources: Any, heads: int) -> Signal:
    """The record of points (cases, T, S, points)."""
    cases, rows, columns, count = points.shape
    flat = points.reshape(cases * rows * columns, count)
    by_place = points.reshape(cases, rows * columns, count)
    law = SampledRoot.of_sample(flat, sources, lambda: by_place, None)
    zero = np.zeros(len(flat))
    second = np.mean(flat**2, axis=1)
    return Signal(
        mean=flat.mean(axis=1),
        second=second,
        fourth=np.mean(flat**4, axis=1),
        shift=zero,
        size=second * relative_error(by_place**2),
        fluctuation=zero,
        excess=zero,
        units=heads,
        element=Element(Form(zero, {}), law),
        sources=sources,
        places=rows * columns,
        joined=True,
    )


def _wander(x: Signal) -> Array:
    """Relative variance of a second moment over networks: the inner products of what queries, keys
    and values are made of scatter by as much."""
    return np.asarray(np.maximum(x.fluctuation, 0.0) / np.maximum(x.second**2, _TINY))


def _points(x: Signal, shape: tuple[int, ...]) -> Array:
    """(cases, T, S, points) of scores, or of what was made of them."""
    assert x.element is not None
    root, mean = x.element.root, x.element.form.mean
    assert isinstance(root, SampledRoot)
    if root.field is None:
        raise UnknownSignal("positions whose joint law is not known")
    raw = root.field()
    flat = raw.reshape(-1, raw.shape[2])
    values = root.program.run(flat, x.element.index)[x.element.index][0] + mean[:, None]
    return np.asarray(values.reshape(len(raw), *shape[-2:], -1))


# ------------------------------------------------------------------------------ softmax


def softmax_of_scores(node: Node, x: Signal, context: Context) -> Signal:
    """Over the keys, for each query."""
    last = node.params["axis"] % len(node.shape) == len(node.shape) - 1
    if not _is_scores(x) or not last or node.op is None or node.op.name != "softmax":
        raise UnknownSignal("softmax over positions, other than of the scores of an attention")
    s = _points(x, node.shape)
    p = np.exp(s - s.max(axis=2, keepdims=True))
    p /= p.sum(axis=2, keepdims=True)
    context.notes["scores", context.at(node)] = p
    doubt = float(np.max(x.size / np.maximum(x.second, _TINY)))
    record = _sampled(p, x.sources, x.units)
    return replace(
        record, layout=layout_of(x, node.shape), size=record.size + doubt * record.second
    )


# ------------------------------------------------------------------------------ values


def _mixed(node: Node, a: Signal, v: Signal, context: Context) -> Signal:
    """sum_j p_ij v_j. Units of a head share the probabilities: over networks their second moment
    scatters by as much as p does, however wide the model."""
    if not a.sources.isdisjoint(v.sources):
        raise UnknownSignal("values that are made of the same weights as the scores")
    table = pairs_of(v, context)
    if table is None or v.units % a.units:
        raise UnknownSignal("how positions of the values depend on each other is not known")
    p = _points(a, node.inputs[0].shape)
    mixed = np.einsum("cijp,cjl->cilp", p, table, optimize=True)
    given = np.einsum("cilp,cilp->cip", mixed, p)
    second = given.mean(axis=2)
    mean = np.einsum("cij,cj->ci", p.mean(axis=3), v.mean.reshape(len(p), -1))
    scale = np.maximum(second, _TINY)
    scatter = given.var(axis=2) / a.units
    doubt = np.maximum(_wander(v).max(), (a.size / np.maximum(a.second, _TINY)).max())
    share = (v.shift / np.maximum(v.second, _TINY)).reshape(len(p), -1).mean(axis=1)[:, None]
    size = second * (relative_error(given) + doubt + np.abs(share))
    context.notes["mixed", context.at(node)] = (p, table, v, a)

    def pairs() -> Array:
        return np.asarray(np.einsum("cilp,cklp->cik", mixed, p) / p.shape[3])

    made: dict[str, Any] = {
        "mean": mean,
        "second": second,
        "fourth": 3 * np.mean(given**2, axis=2),
        "shift": second * share,
        "size": size,
        "fluctuation": scatter + scale**2 * float(_wander(v).max()),
        "excess": np.zeros_like(second),
    }
    return Signal(
        **{name: value.reshape(-1) for name, value in made.items()},
        units=v.units,
        places=second.shape[1],
        sources=a.sources | v.sources,
        joined=True,
        pairs=functools.cache(pairs),
        layout="b" + layout_of(v, node.inputs[1].shape)[1:],
    )


# ------------------------------------------------------------------------------ backward


def product_backward(node: Node, cotangent: Cotangent, context: Context) -> list[Any]:
    """At both operands of a product."""
    if ("mixed", context.at(node)) in context.notes:
        return _mixed_backward(node, cotangent, context)
    return _scores_backward(node, cotangent, context)


def _rough(g: Gradient, second: Array, doubt: float | Array, aligned: bool = True) -> Gradient:
    """A summary without corrections: what they would be counts as doubt."""
    zero = np.zeros_like(second)
    whole = float(np.max(g.size)) + np.abs(float(np.max(np.abs(g.epsilon))))
    return Gradient(
        second=second,
        coherent=second,
        profile=zero,
        bend=zero,
        log_1=zero,
        log_2=zero,
        epsilon=zero,
        size=zero + whole + doubt,
        slack=g.slack,
        joined=True,
        aligned=aligned,
    )


def _mixed_backward(node: Node, cotangent: Cotangent, context: Context) -> list[Any]:
    """At v_j: sum_i p_ij g_i. At p_ij: g_i . v_j, which goes together for all keys j."""
    p, table, v, a = context.notes["mixed", context.at(node)]
    g, cases = cotangent.gradient, len(p)
    arriving = cotangent.second().reshape(cases, -1)
    apart = np.einsum("cijp,ci->cjp", p**2, arriving)
    second = apart.mean(axis=2).reshape(-1)
    doubt = relative_error(apart) + float(_wander(v).max())
    doubt += float((a.size / np.maximum(a.second, _TINY)).max())
    spread: Any = 0.0
    if g.aligned:  # anything between gradients that are uncorrelated and equal ones
        equal = np.einsum("cijp,ci->cjp", p, np.sqrt(arriving)) ** 2
        most = np.maximum(equal.mean(axis=2).reshape(-1), second)
        spread = (most - second) / np.maximum(most + second, _TINY)
        second = (most + second) / 2
    at_values = source(second, np.zeros_like(second), _rough(g, second, doubt + spread))
    width = v.units // a.units
    rows = width * arriving[:, :, None, None] * table[:, None]
    own = np.einsum("cijj->cij", rows).reshape(-1)
    at_p = source(own, np.zeros_like(own), _rough(g, own, doubt, g.aligned))
    return [replace(at_p, rows=Rows(rows)), at_values]


def softmax_of_scores_backward(node: Node, cotangent: Cotangent, context: Context) -> Cotangent:
    """p_ij (g_ij - sum_l p_il g_il), with the covariances R of g_ij and g_il."""
    p = context.notes["scores", context.at(node)]
    rows = cotangent.rows
    if rows is None or rows.p is not None:
        raise UnknownCotangent("probabilities of an attention that are not only mixed with values")
    mixed = np.einsum("cijp,cijl->cilp", p, rows.table, optimize=True)
    whole = np.einsum("cilp,cilp->cip", mixed, p)
    own = np.einsum("cijj->cij", rows.table)[..., None]
    square = p**2 * (own - 2 * mixed + whole[:, :, None])
    second = np.maximum(square.mean(axis=3), 0.0).reshape(-1)
    g = cotangent.gradient
    gradient = _rough(g, second, relative_error(square), g.aligned)
    made = source(second, np.zeros_like(second), gradient)
    return replace(made, rows=Rows(rows.table, p))


def _scores_backward(node: Node, cotangent: Cotangent, context: Context) -> list[Any]:
    """At q_i: sum_j d_ij k_j, at k_j: sum_i d_ij q_i, of d that depends on q and k through p."""
    known: Scored = context.notes["scored", context.at(node)]
    rows = cotangent.rows
    if rows is None or rows.p is None:
        raise UnknownCotangent("scores of an attention that do not only go into one softmax")
    cases, t, s, count = rows.p.shape
    width = known.queries.shape[3]
    count = min(count, max(64, _MOST_BACK // (cases * t * s * (s + width) * width)))
    p = rows.p[..., :count].transpose(0, 3, 1, 2)
    factor = rows.factor**2
    q, k = known.queries[:, :count], known.keys[:, :count]
    mixed = np.einsum("cnij,cijl->cnil", p, rows.table, optimize=True)
    whole = np.einsum("cnil,cnil->cni", mixed, p)
    own = np.einsum("cijj->cij", rows.table)[:, None]
    square = p**2 * (own - 2 * mixed + whole[..., None])
    at_key = factor * np.einsum("cnij,cniu->cjn", square, q**2) / width
    y = p[..., None] * k[:, :, None]
    total = y.sum(axis=3)
    at_query = np.einsum("cniju,cijl,cnilu->cin", y, rows.table, y, optimize=True)
    at_query -= 2 * np.einsum("cnij,cniju,cniu->cin", mixed, y, total, optimize=True)
    at_query += np.einsum("cni,cniu->cin", whole, total**2)
    at_query = factor * np.maximum(at_query, 0.0) / width
    doubt = max(float(_wander(known.query).max()), float(_wander(known.key).max()))
    if cotangent.gradient.aligned:
        equal = factor * _of_equal(rows.table, p, q, mixed) / width
        most = np.maximum(equal, at_key)
        both = np.maximum((most + at_key).mean(axis=2), _TINY)
        doubt += float(np.max((most - at_key).mean(axis=2) / both))
        at_key = (most + at_key) / 2
    return [_averaged(cotangent, at_query, doubt), _averaged(cotangent, at_key, doubt)]


def _of_equal(table: Array, p: Array, q: Array, mixed: Array) -> Array:
    """E[(sum_i d_ij q_i)^2] at each key if all queries' outputs receive one and the same gradient:
    then the sum over queries is inside of the square."""
    sizes = np.sqrt(np.einsum("cijj->ci", table))
    whole = np.maximum(sizes.mean(axis=1), _TINY)[:, None]
    common = np.einsum("cijl,ci->cjl", table, (whole / np.maximum(sizes, _TINY)) ** 2) / len(
        table[0]
    )
    y = (sizes / whole)[:, None, :, None, None] * p[..., None] * q[:, :, :, None]
    scale = (whole / np.maximum(sizes, _TINY))[:, None, :, None] ** 2
    total = y.sum(axis=2)
    crossed = np.einsum("cniju,cnij->cnju", y, mixed * scale, optimize=True)
    beside = np.einsum("cniju,cnil->cnjul", y, p, optimize=True)
    square = np.einsum("cnjul,clm,cnjum->cnju", beside, common, beside, optimize=True)
    own = np.einsum("cjj->cj", common)[:, None, :, None]
    given = own * total**2 - 2 * total * crossed + square
    return np.asarray(np.maximum(given, 0.0).sum(axis=3).transpose(0, 2, 1))


def _averaged(cotangent: Cotangent, by_point: Array, doubt: float) -> Cotangent:
    second = by_point.mean(axis=2).reshape(-1)
    gradient = _rough(cotangent.gradient, second, doubt + relative_error(by_point))
    return source(second, np.zeros_like(second), gradient)
