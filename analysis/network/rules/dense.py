"""Dense layers: a product of a signal with a matrix of weights, and biases."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.network import forward as ahead
from analysis.network.context import Context, Parts, Record, UnknownSignal
from analysis.network.dual import covariance
from analysis.network.elements import Element, mixed, summed
from analysis.network.records import Array, Signal, Weight, one_a_unit
from analysis.network.registry import register
from analysis.network.roots import DataRoot
from analysis.network.rules.parts import averaged_parts
from analysis.network.rules.scores import product
from analysis.network.rules.steps import by_step, fields_of
from analysis.network.rules.units import by_unit
from analysis.network.scatter import remember_scatter
from analysis.network.sources import Form, Key, fresh
from analysis.network.squares import of_average
from tinygrad_edu.graph.node import Node

ahead.WHOLE.add("matmul")


@register(ahead.RULES, "matmul")
def dense(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """x @ W: the sum of fan_in independent products, second moment n Var(W) E[x^2]
    (dense-forward); a mean of W adds n E[W] E[x] and what all units share of the inputs' sum."""
    x, w = operands
    if isinstance(x, Signal) and isinstance(w, Signal):
        return product(node, x, w, context)
    if not isinstance(w, Weight):
        raise UnknownSignal("a product with what is no matrix of weights")
    n = node.inputs[0].shape[-1]
    steps = by_step(node.inputs[0], x, context) if isinstance(x, Signal) else None
    if steps is not None and steps.places > 1:
        return _at_steps(node, steps, w, context)
    inputs = gathered(x, n, node.inputs[0].shape, context)
    if inputs is None:
        raise UnknownSignal("the layout of this product's input is not followed")
    units = node.shape[-1] if isinstance(x, Parts) else math.prod(node.shape[1:])
    if w.values is not None:
        return loaded(node, inputs, w, units, context)
    return project(node, inputs, w, n, units, context)


def _at_steps(node: Node, x: Signal, w: Weight, context: Context) -> Signal | None:
    """A dense layer at every position of a sequence."""
    context.notes["steps", context.at(node)] = x
    if w.values is not None:
        return loaded(node, x, w, node.shape[-1], context)
    z = project(node, x, w, x.units, node.shape[-1], context)
    if z is not None and not w.shared:
        fields_of(z, x, x.units * w.variance, context)
    return None if z is None else replace(z, layout="b" + "p" * (len(node.shape) - 2) + "u")


def gathered(x: Record, n: int, shape: tuple[int, ...], context: Context) -> Signal | None:
    """One record for all n inputs of a unit: parts and places averaged. Steps of a sequence with
    one law each give units with one law."""
    if isinstance(x, Parts):
        return averaged_parts(x, context) if x.units == n else None
    if not isinstance(x, Signal):
        return None
    if x.units * x.places == n:
        return averaged_places(x, context) if x.places > 1 else x
    if x.places == 1 and not x.fixed and x.units == math.prod(shape[1:]) and shape[-1] == n:
        return replace(x, units=n)
    return None


def averaged_places(x: Signal, context: Context) -> Signal:
    """Places flattened into units. They depend on each other, which adds to what the average square
    of all of them scatters by."""

    def average(values: Array) -> Array:
        by_place = values.reshape(*values.shape[:-1], -1, x.places)
        return np.asarray(by_place.mean(axis=-1))

    averages: dict[str, Any] = {
        name: average(getattr(x, name))
        for name in ("mean", "second", "fourth", "shift", "size", "fluctuation", "excess")
    }
    averages["fluctuation"] = averages["fluctuation"] + of_average(x, context) / x.units
    return replace(
        x,
        **averages,
        units=x.units * x.places,
        places=1,
        element=None,
        partner=None if x.partner is None else average(x.partner),
    )


def project(
    node: Node, x: Signal, w: Weight, n: int, units: int, context: Context
) -> Signal | None:
    """The record of sums of n products with independent weights."""
    factor = n * w.variance
    context.narrowness += 0.0 if x.fixed else 1 / n
    variance = factor * x.second
    mean = offset(node, x, w, n, context)
    form = _source(node, x, w, factor, context)
    if form is None:
        raise UnknownSignal(
            f"{w.name} is used more than once, on signals whose covariance is not known"
        )
    element = Element(Form(mean, form.terms))
    _, second, fourth = element.moments()
    fluctuation = factor**2 * x.scatter - _rigidity(variance, w)
    remember_scatter(form, variance, fluctuation, context)
    return Signal(
        mean=mean,
        second=second,
        fourth=fourth,
        shift=factor * x.shift,
        size=factor * x.size,
        fluctuation=fluctuation,
        excess=(w.kurtosis - 3) / n * x.kurtosis,
        units=units,
        element=element,
        sources=element.sources,
        places=x.places,
        dead=x.dead,
        joined=x.joined or bool(np.any(mean)),
        identical=w.variance == 0,
        partner=_partner(element, context),
        loose=x.loose + 1 / n,
    )


def loaded(node: Node, x: Signal, w: Weight, units: int, context: Context) -> Signal | None:
    """Weights that speak by their own numbers: unit i has the second moment of its row about the
    inputs' spread, and what its row adds up to times their mean. Exact on average over inputs that
    are independent, as they are behind a layer that was drawn; of data everything is known."""
    matrix = w.values
    assert matrix is not None
    if matrix.ndim != 2 or matrix.shape != (x.units, units):
        raise UnknownSignal(f"{w.name}: the layout of these loaded weights is not followed")
    if x.fixed and x.element is not None and isinstance(x.element.root, DataRoot):
        return _exactly(node, x, matrix, context)
    size = np.sqrt(np.mean(matrix**2, axis=0))
    whole = math.sqrt(w.variance)
    about = replace(x, mean=np.zeros_like(x.mean), second=x.variance)
    z = project(node, about, replace(w, mean=0.0), len(matrix), units, context)
    if z is None:
        return None
    known = context.notes.setdefault("own numbers", set())
    if not known.isdisjoint(x.sources):  # how its inputs depend on each other is not followed
        z = replace(z, size=z.size + x.second * len(matrix) * w.variance)
    known.update(z.sources)
    if x.gaussian:  # any fixed combination of Gaussian inputs is Gaussian
        z = replace(z, excess=-3 * z.fluctuation / np.maximum(z.second**2, 1e-300))
    rows_alike = bool(np.ptp(matrix, axis=1).max() <= 1e-12 * np.abs(matrix).max())
    z = replace(z, identical=rows_alike)
    if np.ptp(size) <= 1e-9 * whole and not np.any(x.mean):
        return z
    scales = size / whole if whole else np.zeros_like(size)
    return by_unit(node, z, scales, x.mean[:, None] * matrix.sum(axis=0), context)


def _exactly(node: Node, x: Signal, matrix: Array, context: Context) -> Signal:
    """Numbers of the data times numbers."""
    assert x.element is not None
    root, index = x.element.root, x.element.index
    assert isinstance(root, DataRoot)
    values = root.program.run(root.numbers, index)[index][0] + x.element.form.mean[:, None]
    made = root.with_numbers(values @ matrix)
    element = Element(Form(np.zeros_like(x.mean), {}), made)
    mean, second, fourth = element.moments()
    size = np.sqrt(np.mean(matrix**2, axis=0) / max(float(np.mean(matrix**2)), 1e-300))
    context.notes["units", context.at(node)] = (made, True, size)
    return replace(
        x,
        mean=mean,
        second=second,
        fourth=fourth,
        units=matrix.shape[1],
        element=element,
        sources=element.sources,
        identical=bool(np.ptp(matrix, axis=1).max() <= 1e-12 * np.abs(matrix).max()),
        partner=context.products(made.numbers),
    )


def offset(node: Node, x: Signal, w: Weight, n: int, context: Context) -> Array:
    """E[W] times the sum of the inputs: n E[x], and what it scatters by, which all units share.

    The sum of n independent inputs has variance n Var(x). Given numbers it is known."""
    zero = np.zeros_like(x.second)
    if w.mean == 0:
        return zero
    if x.fixed:
        return n * w.mean * x.mean
    if x.places > 1 or (x.joined and x.element is None):
        raise UnknownSignal(
            f"{w.name} has mean {w.mean:g}; how its inputs depend on each other is not followed",
        )
    if not context.offsets:
        raise UnknownSignal(f"{w.name} has mean {w.mean:g}: too many such layers")
    shared = context.offsets.pop(0)
    scatters = 0.0 if x.centred else n * x.variance
    spread = np.sqrt(np.maximum(scatters, 0.0))
    context.notes[node] = shared
    return np.asarray(w.mean * (n * x.mean + spread * shared))


def _source(node: Node, x: Signal, w: Weight, factor: float, context: Context) -> Form | None:
    """A fresh source; for weights that several ops use, correlated with those they gave before."""
    variance = factor * x.second
    zero = np.zeros_like(variance)
    if not w.shared or w.variance == 0:
        key = fresh()
        if x.partner is not None:
            own, other = np.sqrt(x.second), np.sqrt(context.partner(x.second))
            context.correlations[key] = x.partner / np.maximum(own * other, 1e-300)
        return Form(zero, {key: np.sqrt(variance)})
    rows = context.notes.get("looked up", {}).get(w.name, frozenset())
    if not rows.isdisjoint(x.sources):
        raise UnknownSignal(f"{w.name}: its own rows are multiplied with it")
    earlier = context.tied.setdefault(w.name, [])
    terms: dict[tuple[int, int], Array] = {}
    left = variance
    for inputs, key in earlier:
        both = _mixed(x, inputs)
        if both is None:
            return None
        known = Form(zero, terms).covariance(context.notes[key])
        own = context.notes[key].terms[key]
        slope = (factor * both - known) / np.where(own > 0, own, 1.0)
        terms[key] = slope
        left = left - slope**2
    key = fresh()
    terms[key] = np.sqrt(np.maximum(left, 0.0))
    form = Form(zero, terms)
    context.notes[key] = form
    earlier.append((x, key))
    for held in (*x.sources, *form.terms):
        context.holders[held] += 1
    return form


def _mixed(a: Signal, b: Signal) -> Array | None:
    """E[a b] of two signals."""
    if len(a.second) != len(b.second) or a.units != b.units:
        return None
    if a is b:
        return a.second
    if a.element is not None and b.element is not None:
        return mixed(a.element, b.element)
    return a.mean * b.mean if a.sources.isdisjoint(b.sources) else None


def _partner(element: Element, context: Context) -> Array | None:
    """E[z z'] on two examples: the sources of one layer are as correlated as its inputs were."""
    both = covariance(element.form, context)
    return None if both is None else both + element.form.mean * context.partner(element.form.mean)


def _rigidity(variance: Array, w: Weight) -> Array | float:
    """An orthogonal matrix keeps lengths: the squares of its N outputs have covariance -2 q^2 / N
    (coordinates of a uniform point on a sphere), as if q fluctuated that much less."""
    return 2 * variance**2 / w.orthogonal if w.orthogonal else 0.0


# ------------------------------------------------------------------------------ biases


def biased(
    node: Node, x: Signal, b: Weight, shape: tuple[int, ...], sign: float, context: Context
) -> Signal | None:
    """Signal + bias: independent, so the variances add. A bias is taken as Gaussian; its own
    kurtosis goes into `excess`."""
    if b.variance > 0 and not one_a_unit(shape, x):
        raise UnknownSignal(f"{b.name} is shared by units, so they are not independent")
    if b.values is not None and b.variance > 0:
        return by_unit(node, x, np.ones(1), sign * b.values.ravel(), context)
    return added(x, b, sign, (-1 - _number(b.name, context), 0), context)


def added(x: Signal, b: Weight, sign: float, key: Key, context: Context) -> Signal:
    """Signal + a Gaussian source of its own."""
    mean = np.full_like(x.mean, sign * b.mean)
    spread = {key: np.full_like(x.mean, sign * np.sqrt(b.variance))} if b.variance else {}
    context.correlations[key] = np.ones_like(x.mean)
    form = Form(mean, spread)
    if x.element is None:
        if key in x.sources:
            raise UnknownSignal(f"{b.name} is used more than once")
        shifted = x.second + 2 * x.mean * mean + mean**2 + b.variance
        both = _biased_partner(x, mean, b, context)
        pairs = _biased_pairs(x, mean, b)
        apart = x.apart and not b.variance
        moved = replace(x, mean=x.mean + mean, second=shifted, partner=both)
        return replace(moved, pairs=pairs, apart=apart)
    element = summed(x.element, Element(form))
    if element is None:
        raise UnknownSignal(f"{b.name} is used more than once")
    both = _biased_partner(x, mean, b, context)
    mean, second, fourth = element.moments()
    whole = np.maximum(element.form.variance, np.finfo(float).tiny)
    share = np.minimum(x.variance / whole, 1.0)
    return replace(
        x,
        mean=mean,
        second=second,
        fourth=fourth,
        dead=0.0 if b.variance or b.mean else x.dead,
        alike=0.0 if b.variance else max(x.alike, x.dead),
        centred=x.centred and not b.variance,
        excess=x.excess * share**2 + (b.kurtosis - 3) * (1 - share) ** 2
        if b.variance
        else x.excess,
        element=element,
        sources=element.sources,
        identical=x.identical and not b.variance,
        pairs=_biased_pairs(x, sign * b.mean + 0 * x.mean, b),
        apart=x.apart and not b.variance,  # positions share the bias
        partner=both if element.root is not None else _partner(element, context),
    )


def _biased_partner(x: Signal, mean: Array, b: Weight, context: Context) -> Array | None:
    """E[(x + b)(x' + b)] on two examples, which share the bias."""
    if x.partner is None:
        return None
    return np.asarray(x.partner + mean * (x.mean + context.partner(x.mean)) + mean**2 + b.variance)


def _biased_pairs(x: Signal, mean: Array, b: Weight) -> Callable[[], Array | None] | None:
    """E[(x + b)_p (x + b)_q] of two positions, which share the bias."""
    before = x.pairs
    if before is None:
        return None

    def pairs() -> Array | None:
        table = before()
        if table is None:
            return None
        own, added = (values.reshape(-1, x.places) for values in (x.mean, mean))
        crossed = own[:, :, None] * added[:, None, :]
        square = added[:, :, None] * added[:, None, :] + b.variance
        return np.asarray(table + crossed + crossed.transpose(0, 2, 1) + square)

    return pairs


def _number(name: str, context: Context) -> int:
    """A number for each bias, so that one used twice is the same source."""
    numbers: dict[str, int] = context.notes.setdefault("biases", {})
    return numbers.setdefault(name, len(numbers))
