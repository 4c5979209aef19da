"""Elementwise ops: whatever is computed element by element from one variable is one function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.network import forward as ahead
from analysis.network.context import Applied, Context, Record, Slope, UnknownSignal
from analysis.network.elements import Element, expansion, expressed, hermite
from analysis.network.program import partial_of
from analysis.network.records import Array, Mask, Noise, Signal, Weight
from analysis.network.response import NOT_POSITIVE, Grid, Response, differences, expectations
from analysis.network.roots import GaussianRoot, MixtureRoot, Root
from analysis.network.samples import SampledRoot
from analysis.network.sources import Form, fresh
from tinygrad_edu import ops
from tinygrad_edu.graph.node import Node
from tinygrad_edu.ops.kinds import Elementwise

_LARGEST_PRODUCT = 6_000_000
"""Nodes of a grid over two independent variables."""


def elementwise(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """Any elementwise op: of one variable exactly, of two independent ones by their product law."""
    assert isinstance(node.op, Elementwise)
    if any(isinstance(o, Mask | Noise) for o in operands):
        from analysis.network.rules.dropout import masked

        for operand, record in zip(node.inputs, operands, strict=True):
            if isinstance(record, Signal):
                context.notes["signal operand", node] = operand
        return masked(node, operands, context)
    if any(isinstance(o, Weight) for o in operands):
        raise UnknownSignal(f"{node.op.name} of a parameter")
    signals = [o for o in operands if isinstance(o, Signal)]
    if any(len(s.second) != len(signals[0].second) for s in signals):
        raise UnknownSignal(f"{node.op.name} of signals whose layouts differ")
    if any(s.units != signals[0].units for s in signals) and 1 in {s.units for s in signals}:
        raise UnknownSignal(f"{node.op.name} with one value for all units")
    if any(s.element is None for s in signals):
        raise UnknownSignal(f"{node.op.name} of a signal whose law is not known")
    root = _common_root(node, operands, context)
    if root is not None:
        return _of_one(node, operands, root, context)
    if len(signals) == 2:
        return _of_two(node, operands, context)
    raise UnknownSignal(f"{node.op.name} of signals whose joint law is not known")


ahead.ELEMENTWISE.append(elementwise)


# ------------------------------------------------------------------------------ one variable


def variable(node: Node, x: Signal, context: Context) -> tuple[Root, int]:
    """The variable a signal is a function of, and which function: its own law becomes one where it
    is a sum."""
    assert x.element is not None
    key = context.at(node)
    element = x.element
    if element.pure:
        assert element.root is not None
        return element.root, element.index
    if element.root is not None and element.form.constant:
        index = element.root.program.append(
            ops.add, {}, (element.index, element.form.mean[:, None])
        )
        return element.root, index
    if element.root is None:
        for known in context.notes.setdefault("proportional", {}).get(element.sources, ()):
            inside = expressed(element, known)
            if inside is not None and inside.pure:
                return known, inside.index
    if key not in context.roots:
        root: Root = GaussianRoot(element.form) if element.root is None else MixtureRoot(element)
        root.sources = root.sources | x.sources
        if isinstance(root, MixtureRoot):
            held = frozenset(k for k in root.sources if context.holders[k] > 1)
            root.sources = held | {fresh()}
        else:
            context.notes["proportional"].setdefault(element.sources, []).append(root)
        context.roots[key] = root
        context.variables[root] = x
    return context.roots[key], 0


def _common_root(node: Node, operands: Sequence[Record], context: Context) -> Root | None:
    """The one variable of which all operands are functions, if there is one."""
    found: list[Root] = []
    pairs = [(n, o) for n, o in zip(node.inputs, operands, strict=True) if isinstance(o, Signal)]
    for operand, x in pairs:
        assert x.element is not None
        if context.at(operand) in context.roots:
            found.append(context.roots[context.at(operand)])
        elif x.element.root is not None:
            found.append(x.element.root)
    if not found:
        found = [variable(*pairs[0], context)[0]]
    for root in found:
        if all(_number(operand, x, root, context) is not None for operand, x in pairs):
            return root
    if len(pairs) == 1:
        return variable(*pairs[0], context)[0]
    return None


def _number(node: Node, x: Signal, root: Root, context: Context) -> int | None:
    """Which function of the root's variable the operand is; None if it is none."""
    assert x.element is not None
    if context.roots.get(context.at(node)) is root:
        return 0
    inside = expressed(x.element, root)
    if inside is None or (inside.form.terms and not inside.form.constant):
        return None
    if not np.any(inside.form.mean):
        return inside.index
    return root.program.append(ops.add, {}, (inside.index, inside.form.mean[:, None]))


def _of_one(node: Node, operands: Sequence[Record], root: Root, context: Context) -> Record:
    """A function of one variable."""
    assert isinstance(node.op, Elementwise)
    places: list[int | Array] = []
    first: Signal | None = None
    for operand, x in zip(node.inputs, operands, strict=True):
        if isinstance(x, Signal):
            number = _number(operand, x, root, context)
            assert number is not None
            places.append(number)
            first = first or x
        else:
            places.append(np.asarray(x, np.float64))
    assert first is not None
    index = root.program.append(node.op, node.params, tuple(places))
    context.applied[context.at(node)] = Applied(root, tuple(places), index)
    return function_of(node, root, index, first, context)


def function_of(node: Node, root: Root, index: int, like: Signal, context: Context) -> Signal:
    """The record of a function of a root's variable, with the corrections of order 1/width: the
    variable's second moment q scatters by s, which adds V'' s / 2 to the mean of V(q)."""
    response = respond_on(root, index)
    context.responses[context.at(node)] = response
    x = context.variables.get(root, like)
    if x.fixed:
        x = replace(x, fluctuation=np.zeros_like(x.second), excess=np.zeros_like(x.second))
    carried = response.second_1 * x.shift
    bent = response.second_2 * x.fluctuation / 2
    shaped = x.excess * response.q**2 * response.second_2 / 6
    zero = np.zeros_like(response.second)
    element = Element(Form(zero, {}), root, index)
    return Signal(
        mean=response.mean,
        second=response.second,
        fourth=response.fourth,
        shift=carried + bent + shaped,
        size=np.abs(response.second_1) * x.size + np.abs(bent) + np.abs(shaped),
        fluctuation=response.second_1**2 * x.fluctuation
        - (response.tilt**2 / x.units if x.centred else 0.0),
        excess=zero,
        units=like.units,
        element=element,
        sources=root.sources,
        places=like.places,
        fixed=x.fixed,
        dead=_dead(root, x, response, context),
        joined=x.joined,
        identical=x.identical,
        partner=partner_of(root, index, x, context),
        apart=like.apart,
    )


def respond_on(root: Root, index: int) -> Response:
    """Every expectation of a function that propagation needs."""
    grid, ((f, d),) = root.values(index)
    if grid.z is None:
        return differences(lambda x: root.program.run(x, index)[index], grid)
    off = np.tile(NOT_POSITIVE, (len(grid.x), 1))
    value, slope = root.program.run(off, index)[index]
    return expectations(f, d, grid, not (np.any(value) or np.any(slope)))


def _dead(root: Root, x: Signal, response: Response, context: Context) -> float:
    """Probability that all units are off: independent given the layer before."""
    if not response.off_below_0 or not isinstance(root, GaussianRoot) or x.fixed:
        return 0.0
    below = np.array(
        [_normal_below_0(m, q) for m, q in zip(root.form.mean, response.q, strict=True)]
    )
    return context.average(1 - (1 - x.dead) * (1 - below**x.units))


def _normal_below_0(mean: float, variance: float) -> float:
    return math.erfc(mean / math.sqrt(2 * variance)) / 2


def partner_of(root: Root, index: int, x: Signal, context: Context) -> Array | None:
    """E[f(u) f(u')] on two examples, whose variables are correlated."""
    if isinstance(root, SampledRoot):
        return root.partner(index)
    if not isinstance(root, GaussianRoot) or x.partner is None:
        return None
    grid, ((f, _),) = root.values(index)
    sigma = np.sqrt(np.maximum(root.variance, 1e-300))
    covariance = x.partner - root.form.mean * context.partner(root.form.mean)
    rho = np.clip(covariance / (sigma * context.partner(sigma)), -1, 1)
    if not np.any(rho):
        return np.asarray(grid.expect(f) * context.partner(grid.expect(f)))
    a, second = hermite(f, grid), grid.expect(f * f)
    b = np.array([context.partner(row) for row in a])
    return expansion(a, b, second, context.partner(second), rho)


# ------------------------------------------------------------------------------ two variables


def _of_two(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """A function of two independent signals: moments over the product of their laws, and slopes
    averaged over the other one."""
    assert isinstance(node.op, Elementwise)
    positions = [i for i, o in enumerate(operands) if isinstance(o, Signal)]
    a, b = (operands[i] for i in positions)
    assert isinstance(a, Signal)
    assert isinstance(b, Signal)
    if not a.sources.isdisjoint(b.sources):
        raise UnknownSignal(f"{node.op.name} of two signals whose joint law is not known")
    if node.op.name == "mul":
        return _product(node, a, b, positions, context)
    grids: list[Grid] = []
    values: list[Array] = []
    roots: list[Root] = []
    for i in positions:
        x = operands[i]
        assert isinstance(x, Signal)
        root, number = variable(node.inputs[i], x, context)
        grid, ((f, _),) = root.values(number)
        grids.append(grid)
        values.append(f)
        roots.append(root)
    if grids[0].x.size * grids[1].x.shape[1] > _LARGEST_PRODUCT:
        raise UnknownSignal(f"{node.op.name} of two signals for so many examples")
    xs: list[Array] = [np.asarray(0.0 if isinstance(o, Signal) else o) for o in operands]
    xs[positions[0]], xs[positions[1]] = values[0][:, :, None], values[1][:, None, :]
    return _over_both(node, xs, positions, roots, grids, (a, b), context)


def _over_both(
    node: Node,
    xs: list[Array],
    positions: list[int],
    roots: list[Root],
    grids: list[Grid],
    signals: tuple[Signal, Signal],
    context: Context,
) -> Signal:
    op = node.op
    assert isinstance(op, Elementwise)
    params: dict[str, Any] = dict(node.params)
    value = np.asarray(op.forward(*xs, **params), np.float64)
    wa, wb = (grid.weight for grid in grids)

    def expect(g: Array) -> Array:
        return np.asarray(np.einsum("ban,ba,bn->b", g, wa, wb))

    slopes: dict[int, Slope] = {}
    for i, root, other in ((0, roots[0], "ban,bn->ba"), (1, roots[1], "ban,ba->bn")):
        partial = partial_of(op, positions[i], value, xs, params)
        d = np.zeros_like(value) if partial is None else np.broadcast_to(partial, value.shape)
        weight = grids[1 - i].weight
        mean, square = np.einsum(other, d, weight), np.einsum(other, d * d, weight)
        kinks = tuple(sorted(root.program.kinks[0]))
        slopes[positions[i]] = Slope(root, mean, square)
        context.notes[(context.at(node), positions[i])] = (grids[i], kinks)
    context.slopes[context.at(node)] = slopes
    second = expect(value**2)
    ends = [
        expect(
            np.asarray(op.forward(*(x * math.sqrt(1 + t) if x.ndim else x for x in xs), **params))
            ** 2
        )
        for t in (_STRETCH, -_STRETCH)
    ]
    bend = (ends[0] - 2 * second + ends[1]) / _STRETCH**2
    moments = (expect(value), second, expect(value**4))
    return _of_moments(signals, *moments, 0.5 * bend, 0.0 * bend)


_STRETCH = 0.1
"""Relative change of both variances by which the curvature is taken."""


def _product(node: Node, a: Signal, b: Signal, positions: list[int], context: Context) -> Signal:
    """Of independent factors: the moments multiply."""
    context.slopes[context.at(node)] = {
        positions[0]: Slope(None, b.mean, b.second),
        positions[1]: Slope(None, a.mean, a.second),
    }
    mean, second, fourth = a.mean * b.mean, a.second * b.second, a.fourth * b.fourth
    # E[q_a q_b] has their covariance in addition, between 0 and the product of their deviations
    product = _of_moments((a, b), mean, second, fourth, 0.5 * second, 0.5 * second)
    if a.partner is None or b.partner is None:
        return product
    return replace(product, partner=a.partner * b.partner)


def _of_moments(
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
    tiny = np.finfo(float).tiny
    a, b = (np.sqrt(np.maximum(s.fluctuation, 0)) / np.maximum(s.second, tiny) for s in signals)
    carried = [s.shift / np.maximum(s.second, tiny) for s in signals]
    sizes = [s.size / np.maximum(s.second, tiny) for s in signals]
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
