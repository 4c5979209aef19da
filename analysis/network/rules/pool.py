"""Pooling over windows of positions (average-pooling, max-pooling).

Both need how positions depend on each other. Where they are independent (`Signal.apart`) its law
follows from that of one position: the largest of k by the k-th power of its distribution
function. Elsewhere an average needs the second moments of pairs (`fields`), the largest the joint
law of a window (`largest`). What is computed of an average of a Gaussian field, or of the largest,
is followed by its law (`samples`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import ndtr

from analysis.network import backward as behind
from analysis.network import forward as ahead
from analysis.network.context import Context, Record, UnknownSignal
from analysis.network.cotangent import Cotangent, UnknownCotangent, given, source, whole_grid
from analysis.network.elements import Element
from analysis.network.fields import across, correlated, pairs_of, remember
from analysis.network.records import Array, Gradient, Signal
from analysis.network.registry import register
from analysis.network.response import Grid
from analysis.network.roots import Root
from analysis.network.rules.conv import GRADIENT_FIELDS, Geometry, placed
from analysis.network.rules.elementwise import variable
from analysis.network.rules.largest import Places, largest, members_of, not_gaussian, winning
from analysis.network.rules.steps import by_step
from analysis.network.samples import SampledRoot
from analysis.network.sources import Form, gaussian
from tinygrad_edu.graph.node import Node

Moments = tuple[Array, Array, Array, Any]
"""Mean, second and fourth moment, and the doubt about the second."""


def pools(*names: str, largest: bool) -> None:
    """Enter ops that pool windows of `kernel` positions by their average or maximum."""
    for name in names:
        ahead.RULES[name] = _maximum if largest else _average
        behind.RULES[name] = _back_maximum if largest else _back_average


def _window(node: Node, places: int) -> Geometry:
    if node.op is not None and node.op.name == "sum":  # over all positions: one window
        return Geometry((places,), (1,), (places,), (1,), ((0, 0),), (1,))
    return Geometry.of(node, tuple(node.params["kernel"]))


def _ready(node: Node, x: Record, context: Context) -> tuple[Signal, Geometry]:
    """The input by positions, if the windows can be followed."""
    if not isinstance(x, Signal):
        raise UnknownSignal("pooling of what is no signal")
    inputs = (by_step if _over_steps(node) else placed)(node.inputs[0], x, context)
    if inputs is None:
        raise UnknownSignal("the layout of what is pooled is not followed")
    context.notes["pooling", context.at(node)] = inputs
    return inputs, _window(node, inputs.places)


def _averages(x: Signal, geometry: Geometry) -> dict[str, Any]:
    """What windows have, carried over from their positions on average."""
    size = geometry.sizes(len(x.second))
    names = ("second", "shift", "size", "excess")
    means = {n: geometry.gathered(getattr(x, n)) / size for n in names}
    wander = geometry.gathered(np.sqrt(np.maximum(x.fluctuation, 0.0))) / size
    return {**means, "wander": wander}


def _pooled(x: Signal, geometry: Geometry, mean: Array, second: Array, **known: Any) -> Signal:
    """The record of windows: corrections are carried in proportion."""
    of = _averages(x, geometry)
    kept = second / np.maximum(of["second"], _TINY)
    doubt = known.pop("doubt", 0.0)
    record = Signal(
        mean=mean,
        second=second,
        fourth=3 * second**2,
        shift=kept * of["shift"],
        size=kept * of["size"] + doubt,
        fluctuation=(of["wander"] * kept) ** 2,
        excess=np.zeros_like(second),
        units=x.units,
        sources=x.sources,
        places=int(np.prod(geometry.outside)),
        joined=True,
        apart=x.apart and not geometry.overlapping,
    )
    return replace(record, **known)


# ------------------------------------------------------------------------------ the average


def _shares(node: Node, geometry: Geometry) -> Array:
    """What each element of a window is multiplied by, a number for each window: the op says it of
    ones, whatever it does about padding."""
    assert node.op is not None
    if node.op.name == "sum":
        return np.ones(1)
    ones = np.ones((1, 1, *geometry.inside))
    averages = np.asarray(node.op.forward(ones, **node.params), np.float64).reshape(-1)
    return np.asarray(averages / geometry.sizes(ones.size))


def _average(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """The mean is kept but for padding; the second moment is the average over all pairs of a
    window. An average of a Gaussian field is one."""
    x, geometry = _ready(node, operands[0], context)
    share = np.tile(_shares(node, geometry), len(x.second) // x.places)
    if x.apart and not geometry.overlapping:
        second = (geometry.gathered(x.mean) * share) ** 2 + geometry.gathered(x.variance) * share**2
        return _law_of_average(x, geometry, share, second, None, context)
    pairs = pairs_of(x, context)
    if pairs is None:
        raise UnknownSignal("an average of positions whose dependence is not followed")
    weights = share.reshape(len(pairs), -1)
    table = _summed(pairs, geometry) * weights[:, :, None] * weights[:, None, :]
    second = np.einsum("cww->cw", table).reshape(-1)
    x = replace(x, size=x.size + x.second * _between(x, context))
    return _law_of_average(x, geometry, share, second, table, context)


@register(ahead.RULES, "sum")
def _total(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """Over all positions, as x.mean((2, 3)) has it: an average, but for a factor."""
    if not _over_steps(node) and _summed_axes(node) != list(range(2, len(node.inputs[0].shape))):
        raise UnknownSignal("a sum over units or examples, which are then no longer independent")
    return _average(node, operands, context)


def _summed_axes(node: Node) -> list[int]:
    return sorted(a % len(node.inputs[0].shape) for a in node.params["axes"])


def _over_steps(node: Node) -> bool:
    """Whether it is a sum over the positions of (n, *positions, units)."""
    rank = len(node.inputs[0].shape)
    assert node.op is not None
    return node.op.name == "sum" and rank > 2 and _summed_axes(node) == list(range(1, rank - 1))


def _between(x: Signal, context: Context) -> Array:
    """How far the dependence of positions may be off at this width, relatively: of linear functions
    of fields and of numbers it is exact."""
    root = None if x.element is None else x.element.root
    variable = x if root is None else context.variables.get(root, x)
    if variable.centred:
        return _taken_by_norm(x, variable)
    if x.fixed or root is None:
        return np.zeros_like(x.second)
    return not_gaussian(x, root, context)


def _taken_by_norm(x: Signal, variable: Signal) -> Array:
    """What a norm over the positions of c channels takes from the covariance of two of them, at
    most: its mean has 1/c of their average covariance. (Behind such a norm, `excess` is -3/c.)"""
    left = np.abs(variable.excess) / 3 + 1 / variable.units
    return np.asarray(left if x.pairs is None else left**2)  # `pairs` has the first order


def _summed(pairs: Array, geometry: Geometry) -> Array:
    """Sums over both windows of a pair: (cases, windows, windows)."""
    cases, places = pairs.shape[:2]
    windows = int(np.prod(geometry.outside))
    half = geometry.gathered(pairs.reshape(cases * places, places)).reshape(cases, places, windows)
    turned = np.ascontiguousarray(half.transpose(0, 2, 1)).reshape(cases * windows, places)
    return np.asarray(geometry.gathered(turned).reshape(cases, windows, windows))


def _law_of_average(
    x: Signal,
    geometry: Geometry,
    share: Array,
    second: Array,
    table: Array | None,
    context: Context,
) -> Signal:
    mean = geometry.gathered(x.mean) * share
    weights = share.reshape(-1, int(np.prod(geometry.outside)))
    between = across(x, context)
    if between is not None:
        between = _summed(between, geometry) * weights[:, :, None] * weights[:, None, :]
    partner = None if between is None else np.einsum("cww->cw", between).reshape(-1)
    if not x.gaussian:
        known = None if table is None else lambda: table
        return _pooled(x, geometry, mean, second, pairs=known, partner=partner)
    variance = np.maximum(second - mean**2, 0.0)
    form = gaussian(variance, mean)
    element = Element(form)
    (key,) = form.terms
    own = mean.reshape(weights.shape)
    outer = own[:, :, None] * own[:, None, :]

    def about_means(products: Array | None) -> Array | None:
        return None if products is None else correlated(products - outer, variance)

    remember(key, lambda: about_means(table), context, lambda: about_means(between))
    if partner is not None:
        context.correlations[key] = (partner - mean**2) / np.maximum(variance, _TINY)
    _, second, fourth = element.moments()
    pooled = _pooled(x, geometry, mean, second, element=element, partner=partner)
    excess = _averages(x, geometry)["excess"]
    return replace(pooled, fourth=fourth, excess=excess, sources=x.sources | element.sources)


# ------------------------------------------------------------------------------ the largest


def _maximum(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """The largest of the values of a window."""
    x, geometry = _ready(node, operands[0], context)
    if x.element is None:
        raise UnknownSignal("the largest of values whose law is not known")
    root, index = variable(node.inputs[0], x, context)
    whole = not geometry.overlapping and not any(sum(p) for p in geometry.padding)
    if x.apart and whole and np.ptp(x.second) <= 1e-12 * np.max(x.second):
        return _of_independent(node, x, geometry, context)
    found = largest(x, root, index, geometry, context)
    context.notes["windows", context.at(node)] = (found.window, root, index)
    field = functools.cache(found.field)
    law = SampledRoot.of_sample(found.sample, x.sources, field, found.shared)
    moments = (found.mean, found.second, found.fourth, found.doubt)
    return _with_law(node, x, law, moments, context)


def _with_law(node: Node, x: Signal, law: SampledRoot, found: Moments, context: Context) -> Signal:
    mean, second, fourth, doubt = found
    element = Element(Form(np.zeros_like(mean), {}), law)
    known = {"doubt": doubt, "fourth": fourth, "element": element, "partner": law.partner(0)}
    pooled = _pooled(x, _window(node, x.places), mean, second, **known)
    context.variables[law] = pooled
    context.notes["law", context.at(node)] = law
    return pooled


def _of_independent(node: Node, x: Signal, geometry: Geometry, context: Context) -> Signal:
    """Of k independent values of one law, by the power of its distribution function."""
    k = int(np.prod(geometry.kernel))
    root, index = variable(node.inputs[0], x, context)
    grid, ((f, _),) = root.values(index)
    chance = _chance_of_largest(f[0], grid, k)
    order = np.argsort(f[0], kind="stable")
    values, weight = f[0][order], (k * chance * grid.weight[0])[order]
    count = len(x.second) // x.places * int(np.prod(geometry.outside))
    mean, second, fourth = (np.full(count, np.dot(weight, values**p)) for p in (1, 2, 4))
    context.notes["largest", context.at(node)] = (root, index, grid.x[0], chance)
    exact = grid.z is not None and bool(np.all(np.diff(f[0]) >= 0))
    law = SampledRoot(np.tile(values, (count, 1)), np.tile(weight, (count, 1)), x.sources)
    if x.partner is not None and np.allclose(x.partner, x.mean * context.partner(x.mean)):
        law.shared = lambda: (law.x[:, None], law.weight)
    doubt = second * (0.0 if exact else _ON_A_GRID)
    doubt = doubt + second * geometry.gathered(_between(x, context)) / k
    return _with_law(node, x, law, (mean, second, fourth, doubt), context)


def _chance_of_largest(f: Array, grid: Grid, k: int) -> Array:
    """F^(k-1) at each node: that the k - 1 others are smaller. Of equal values each has its share;
    where a function does not rise, its distribution is taken from the grid."""
    if grid.z is not None and np.all(np.diff(f) >= 0):
        return np.asarray(ndtr(grid.z[0]) ** (k - 1))
    order = np.argsort(f, kind="stable")
    weight = grid.weight[0][order]
    below = np.concatenate([[0.0], np.cumsum(weight)])
    chance: Array = np.empty_like(weight)
    chance[order] = np.diff((below / below[-1]) ** k) / np.maximum(k * weight, _TINY)
    return chance


_TINY = np.finfo(float).tiny
_ON_A_GRID = 1e-3
"""What a distribution function that is read off a grid may be wrong by, relatively."""


# ------------------------------------------------------------------------------ backward


def _scattered(
    cotangent: Cotangent, geometry: Geometry, factor: Array, **changed: Any
) -> tuple[Array, Array, Gradient]:
    """Second moment, that of pairs, and the summary at each input, which receives `factor` (of a
    square) of what arrives at each window that it is in. Windows must be uncorrelated if they
    overlap."""
    g = cotangent.gradient
    if geometry.overlapping and g.aligned:
        raise UnknownCotangent("windows that overlap and whose gradients are correlated")
    if geometry.overlapping and np.any(cotangent.pair()):
        raise UnknownCotangent("overlapping windows below weights that have a mean")
    share = np.tile(factor, len(g.second) // len(factor))
    brought = share * cotangent.second()
    second = geometry.scattered(brought)
    whole = np.maximum(second, _TINY)
    moved: dict[str, Any] = {
        name: geometry.scattered(brought * getattr(g, name)) / whole for name in GRADIENT_FIELDS
    }
    moved["coherent"] = geometry.scattered(share * g.coherent)
    gradient = replace(g, **{**moved, "second": second, **changed}, joined=True)
    return second, geometry.scattered(share * cotangent.pair()), gradient


def _back_average(
    node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
) -> list[Any]:
    """Its share of the gradient to each: the same to all of a window, so they are correlated."""
    if any(c.root is not None for _, c in cotangent.terms.values()):
        cotangent = _averaged(cotangent)
    geometry = _window(node, context.notes["pooling", context.at(node)].places)
    share = _shares(node, geometry)
    passed = source(*_scattered(cotangent, geometry, share**2, aligned=True))
    return [passed]


def _averaged(cotangent: Cotangent) -> Cotangent:
    """Coefficients that are functions of the average, as numbers: the average hardly tells what one
    of its positions is."""
    return source(cotangent.second(), cotangent.pair(), cotangent.gradient)


def _back_maximum(
    node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
) -> list[Any]:
    """d to the largest. A value is that with a chance that depends on it, and so may d."""
    law: SampledRoot = context.notes["law", context.at(node)]
    cotangent = given(cotangent, law)
    if any(c.root is not None for _, c in cotangent.terms.values()) and np.any(cotangent.pair()):
        raise UnknownCotangent("max pooling below weights that have a mean")
    root, won, values = _winners(node, context)
    geometry = _window(node, context.notes["pooling", context.at(node)].places)
    members, _ = members_of(geometry)
    one = np.ones(len(members))
    second, pair, gradient = _scattered(cotangent, geometry, one)
    brought = _square_given(cotangent, law, members, won, values)
    share = brought.reshape(len(second), -1) / np.maximum(second, _TINY)[:, None]
    # the mean is that of 0 or 1 where d is a number; else only the square is asked for
    passed = source(second, pair, gradient).by_slope(root, np.minimum(share, np.sqrt(share)), share)
    sure = replace(gradient, size=gradient.size + _surplus(root, won, members, geometry))
    return [passed.with_gradient(sure)]


def _surplus(root: Root, won: Array, members: Places, geometry: Geometry) -> Array:
    """By how much the chances of a window's positions do not add up to 1, relatively, by inputs."""
    weight = whole_grid(root).weight
    cases = won.shape[0]
    by_place = weight.reshape(cases, -1, weight.shape[1])[:, members]
    whole = np.einsum("cwkn,cwkn->cw", won, by_place)
    off = geometry.scattered(np.abs(whole - 1).reshape(-1))
    return np.asarray(off / np.maximum(geometry.scattered(np.ones(whole.size)), 1.0))


def _winners(node: Node, context: Context) -> tuple[Root, Array, Array]:
    """The variable, the chance of each position of each window at the nodes of its variable,
    (cases, windows, k, nodes), and the pooled values there, (cases, places, nodes)."""
    key = context.at(node)
    inputs: Signal = context.notes["pooling", key]
    if ("largest", key) in context.notes:
        root, index, x, chance = context.notes["largest", key]
        grid = whole_grid(root)
        one = np.stack([np.interp(row, x, chance) for row in grid.x])
        members, _ = members_of(_window(node, inputs.places))
        won = one.reshape(-1, inputs.places, one.shape[1])[:, members]
    else:
        window, root, index = context.notes["windows", key]
        grid = whole_grid(root)
    values = root.run(root.whole_kinks(), index)[0]
    u, f = (a.reshape(-1, inputs.places, a.shape[1]) for a in (grid.x, values))
    if ("largest", key) not in context.notes:
        won = winning(window, u, f)
    return root, won, f


def _square_given(
    cotangent: Cotangent, law: SampledRoot, members: Places, won: Array, values: Array
) -> Array:
    """E[d^2 | u] at each input: the sum over the windows that it is in, of the chance to have won
    and of what then arrives, which may be a function of the largest value."""
    total = np.zeros_like(values)
    cases, count = won.shape[:2]
    for arriving, c in cotangent.terms.values():
        second = arriving.second.reshape(cases, count)
        for tap, place in enumerate(members.T):
            if c.root is None:
                slope = (c.value**2).reshape(cases, count, 1)
            else:
                at = values[:, place].reshape(cases * count, -1)
                rows = zip(at, law.x, c.value**2, strict=True)
                slope = np.stack([np.interp(*row) for row in rows]).reshape(cases, count, -1)
            brought = second[..., None] * slope * won[:, :, tap]
            for window, position in enumerate(place):
                total[:, position] += brought[:, window]
    return total


pools("avg_pool", largest=False)
behind.RULES["sum"] = _back_average
pools("max_pool", largest=True)
