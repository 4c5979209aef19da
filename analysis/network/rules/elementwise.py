"""Elementwise ops: whatever is computed element by element from one variable is one function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.network import forward as ahead
from analysis.network.context import Applied, Context, Joint, Record, Slope, UnknownSignal
from analysis.network.dual import loosened, on_two_examples
from analysis.network.elements import Element, expressed
from analysis.network.program import partial_of
from analysis.network.records import Array, Mask, Noise, Signal, Weight
from analysis.network.response import NOT_POSITIVE, Grid, Response, differences, expectations
from analysis.network.roots import GaussianRoot, MaskedRoot, MixtureRoot, Root
from analysis.network.rules.products import independent, of_moments, product
from analysis.network.samples import DrawnRoot, SampledRoot, law_of
from analysis.network.scatter import share_of_form
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
    units = {s.units for s in signals}
    if len({len(s.second) for s in signals}) > 1:
        raise UnknownSignal(f"{node.op.name} of signals whose layouts differ")
    if len(units) > 1 and 1 in units:
        raise UnknownSignal(f"{node.op.name} with one value for all units")
    if any(s.element is None for s in signals):
        if node.op.name == "mul" and len(signals) == 2 and independent(signals[0], signals[1]):
            return product(node, signals[0], signals[1], [0, 1], context)
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
        moved = (element.index, element.form.mean[:, None])
        return element.root, element.root.program.append(ops.add, {}, moved)
    if element.root is None:
        for known in context.notes.setdefault("proportional", {}).get(element.sources, ()):
            inside = expressed(element, known)
            if inside is not None and inside.pure:
                return known, inside.index
    if key not in context.roots:
        share = share_of_form(x, context)
        drawn = context.notes.get("drawn", {})
        root = MixtureRoot(element, share) if element.root else law_of(element.form, drawn)
        root.sources = root.sources | x.sources
        if isinstance(root, MixtureRoot):
            held = frozenset(k for k in root.sources if context.holders[k] > 1)
            root.sources = held | {fresh()}
        else:
            context.notes["proportional"].setdefault(element.sources, []).append(root)
        context.roots[key] = root
        if isinstance(root, DrawnRoot):  # its law has its kurtosis, but for what networks scatter
            x = replace(x, excess=np.full_like(x.excess, -3 * root.wander))
        context.variables[root] = x
    return context.roots[key], 0


def one_variable(node: Node, operands: Sequence[Record], context: Context) -> bool:
    """Whether two signals are functions of one variable, so that what is made of them is one, too:
    a sum of them bends with that variable as a whole, not branch by branch."""
    roots = [o.element.root for o in operands if isinstance(o, Signal) and o.element is not None]
    known = {root for root in roots if root is not None}
    if len(roots) < 2 or len(known) != 1:
        return False
    (root,) = known
    pairs = zip(node.inputs, operands, strict=True)
    return all(_number(n, x, root, context) is not None for n, x in pairs if isinstance(x, Signal))


def _common_root(node: Node, operands: Sequence[Record], context: Context) -> Root | None:
    """The one variable of which all operands are functions, if there is one."""
    pairs = [(n, o) for n, o in zip(node.inputs, operands, strict=True) if isinstance(o, Signal)]
    found: list[Root] = []
    for operand, x in pairs:
        assert x.element is not None
        if context.at(operand) in context.roots:
            found.append(context.roots[context.at(operand)])
        elif x.element.root is not None:
            found.append(x.element.root)
    for root in found or [variable(*pairs[0], context)[0]]:
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
    for operand, x in zip(node.inputs, operands, strict=True):
        if isinstance(x, Signal):
            number = _number(operand, x, root, context)
            assert number is not None
            places.append(number)
        else:
            places.append(np.asarray(x, np.float64))
    first = next(x for x in operands if isinstance(x, Signal))
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
    y = Signal(
        mean=response.moment(1),
        second=response.moment(2),
        fourth=response.moment(4),
        shift=carried + bent + shaped,
        size=np.abs(response.second_1) * x.size
        + np.abs(bent)
        + np.abs(shaped)
        + (like.reshaped + root.left_open(response)[0]) * response.second,
        fluctuation=response.second_1**2 * x.fluctuation
        - (response.tilt**2 / x.units if x.centred else 0.0),
        excess=zero,
        units=like.units,
        element=element,
        sources=root.sources,
        places=like.places,
        fixed=x.fixed,
        dead=dead_of(root, index, x, context),
        alike=x.alike,
        joined=x.joined or bool(like.reshaped),
        identical=x.identical,
        partner=partner_of(root, index, x, context),
        apart=like.apart,
    )
    return replace(y, loose=loosened(root, index, x, y, context))


def respond_on(root: Root, index: int) -> Response:
    """Every expectation of a function that propagation needs."""
    grid, ((f, d),) = root.values(index)
    if grid.z is None:
        return differences(f, d, grid, root.ends_of(index))
    off = np.tile(NOT_POSITIVE, (len(grid.x), 1))
    value, slope = root.program.run(off, index)[index]
    return expectations(f, d, grid, not (np.any(value) or np.any(slope)))


def dead_of(root: Root, index: int, x: Signal, context: Context) -> float:
    """Probability that a function of the variable is 0 in all units: they are independent given the
    layer before. Positions count as if they were."""
    if not isinstance(root, GaussianRoot | MaskedRoot) or x.fixed:
        return 0.0
    if isinstance(root, MaskedRoot):
        x = context.variables.get(root.inner_root, x)
    grid, ((f, _),) = root.values(index)
    off = np.minimum(grid.expect(f == 0), 1.0)
    return context.average(1 - (1 - x.dead) * (1 - off ** (x.units * x.places)))


def partner_of(root: Root, index: int, x: Signal, context: Context) -> Array | None:
    """E[f(u) f(u')] on two examples, whose variables are correlated."""
    if isinstance(root, SampledRoot):
        return root.partner(index)
    grid, ((f, _),) = root.values(index)
    return on_two_examples(root, f, grid, x, context)


# ------------------------------------------------------------------------------ two variables


def _of_two(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """A function of two independent signals: moments over the product of their laws, and slopes
    averaged over the other one."""
    assert isinstance(node.op, Elementwise)
    positions = [i for i, o in enumerate(operands) if isinstance(o, Signal)]
    a, b = (operands[i] for i in positions)
    assert isinstance(a, Signal)
    assert isinstance(b, Signal)
    if not independent(a, b):
        raise UnknownSignal(f"{node.op.name} of two signals whose joint law is not known")
    if node.op.name == "mul":
        return product(node, a, b, positions, context)
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

    second = expect(value**2)
    ends = [_stretched(op, xs, params, 1 + t) for t in (_STRETCH, -_STRETCH)]
    up, down = (expect(end**2) for end in ends)
    slopes: dict[int, Slope] = {}
    for i, root, other in ((0, roots[0], "ban,bn->ba"), (1, roots[1], "ban,ba->bn")):
        d = _partial(op, positions[i], value, xs, params)
        weight = grids[1 - i].weight
        mean, square = np.einsum(other, d, weight), np.einsum(other, d * d, weight)
        kinks = tuple(sorted(root.program.kinks[0]))
        steep, flat = (
            _partial(op, positions[i], end, _scaled(xs, 1 + t), params)
            for end, t in zip(ends, (_STRETCH, -_STRETCH), strict=True)
        )
        slope, whole = expect(d * d), np.maximum(second, _TINY)
        more, less = (expect(g**2) / np.maximum(slope, _TINY) for g in (steep, flat))
        rise = (more - less) / (2 * _STRETCH)
        joint = Joint(
            own=(up - down) / (2 * _STRETCH * whole),
            slope=rise,
            curve=(more - 2 + less) / _STRETCH**2 - rise**2,
            second=second,
            fourth=expect(value**4),
            square=slope,
            cross=expect(value**2 * d * d),
            operand=signals[i].second,
            units=signals[i].units,
            apart=np.zeros_like(second),
        )
        slopes[positions[i]] = Slope(root, mean, square, joint)
        context.notes[(context.at(node), positions[i])] = (grids[i], kinks)
    context.slopes[context.at(node)] = slopes
    bend = (up - 2 * second + down) / _STRETCH**2
    moments = (expect(value), second, expect(value**4))
    return of_moments(signals, *moments, 0.5 * bend, 0.0 * bend)


def _scaled(xs: list[Array], factor: float) -> list[Array]:
    """Both operands with second moments that many times as large."""
    return [x * math.sqrt(factor) if x.ndim else x for x in xs]


def _stretched(op: Elementwise, xs: list[Array], params: dict[str, Any], factor: float) -> Array:
    return np.asarray(op.forward(*_scaled(xs, factor), **params), np.float64)


def _partial(
    op: Elementwise, position: int, value: Array, xs: list[Array], params: dict[str, Any]
) -> Array:
    """The partial derivative by one operand, over the whole grid."""
    partial = partial_of(op, position, value, xs, params)
    return np.zeros_like(value) if partial is None else np.broadcast_to(partial, value.shape)


_TINY = np.finfo(float).tiny
_STRETCH = 0.1
"""Relative change of both variances by which the curvature is taken."""
