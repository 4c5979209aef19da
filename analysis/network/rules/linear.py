"""Linear elementwise ops: factors, biases, joins; what is not linear goes to `elementwise`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from analysis.network import forward as ahead
from analysis.network.context import Context, Record, UnknownSignal
from analysis.network.records import Array, Mask, Signal, Weight, one_a_unit
from analysis.network.registry import register
from analysis.network.rules.broadcast import alike, by_position
from analysis.network.rules.dense import biased
from analysis.network.rules.elementwise import elementwise, one_variable
from analysis.network.rules.joins import join
from analysis.network.rules.units import by_unit
from tinygrad_edu.graph.node import Node


@register(ahead.RULES, "neg")
def negate(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """-x: even moments stay."""
    (x,) = operands
    if isinstance(x, float):
        return -x
    if not isinstance(x, Signal):
        raise UnknownSignal("the negative of a parameter")
    return scaled(x, -1.0)


@register(ahead.RULES, "mul", "div")
def scale(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """c x or x / c for a constant c: the second moment takes c^2. Other products: `elementwise`."""
    assert node.op is not None
    x, c = operands
    if isinstance(x, float | Weight | Mask) and node.op.name == "mul":
        x, c = c, x
    if isinstance(x, float) and isinstance(c, float):
        return x * c if node.op.name == "mul" else x / c
    if isinstance(x, Weight) and isinstance(c, Weight | float) and node.op.name == "mul":
        return _product_of_constants(x, c)
    if isinstance(x, Signal) and isinstance(c, Weight):
        return weighted(node, x, c if node.op.name == "mul" else reciprocal(c), context)
    if isinstance(x, Signal) and isinstance(c, float):
        if node.op.name == "div" and c == 0:
            raise UnknownSignal("a division by 0")
        return scaled(x, c if node.op.name == "mul" else 1 / c)
    return elementwise(node, operands, context)


def _product_of_constants(w: Weight, c: Weight | float) -> Weight:
    """Of a drawn parameter and constants, element by element."""
    if isinstance(c, float):
        c = Weight("a constant", c, 0.0, 1.0)
    if w.variance == 0:
        w, c = c, w
    if c.variance == 0:
        return replace(w, mean=w.mean * c.mean, variance=w.variance * c.mean**2, values=None)
    if w.mean or c.mean or (w.values is None) == (c.values is None):
        raise UnknownSignal(f"the product of {w.name} and {c.name}")
    variance, kurtosis = w.variance * c.variance, w.kurtosis * c.kurtosis
    return Weight(w.name, 0.0, variance, kurtosis)


def reciprocal(w: Weight) -> Weight:
    """1 / w of a parameter that is a constant or speaks by its own numbers."""
    if w.values is None and w.variance:
        raise UnknownSignal(f"a division by {w.name}, which is drawn at random")
    numbers = np.asarray(w.mean if w.values is None else w.values, np.float64)
    if not np.all(numbers):
        raise UnknownSignal(f"a division by {w.name}, which has a 0 in it")
    inverse = 1 / numbers
    values = None if w.values is None else inverse
    return Weight(w.name, float(inverse.mean()), float(inverse.var()), w.kurtosis, values=values)


def scaled(x: Signal, c: float) -> Signal:
    """c x."""
    element = None if x.element is None else x.element.affine(c, 0.0)
    return replace(
        x,
        mean=c * x.mean,
        second=c**2 * x.second,
        fourth=c**4 * x.fourth,
        shift=c**2 * x.shift,
        size=c**2 * x.size,
        fluctuation=c**4 * x.fluctuation,
        element=element,
        dead=1.0 if c == 0 else x.dead,
        partner=None if x.partner is None else c**2 * x.partner,
        pairs=_times(x, c**2),
    )


def _times(x: Signal, square: float) -> Callable[[], Array | None] | None:
    """What two positions have in common, a factor with this mean square later."""
    before = x.pairs
    if before is None or square == 1:
        return before

    def pairs() -> Array | None:
        table = before()
        return None if table is None else square * table

    return pairs


def weighted(node: Node, x: Signal, w: Weight, context: Context) -> Signal | None:
    """A factor for each unit (layer scale, a norm's gain), independent of the signal."""
    shape = next(n.shape for n in node.inputs if n.shape != node.shape or n.op is None)
    if w.variance == 0:
        context.notes[context.at(node)] = w
        return scaled(x, w.mean)
    if not one_a_unit(shape, x):
        raise UnknownSignal(f"{w.name} is shared by units, so they are not independent")
    if w.values is not None:
        return by_unit(node, x, w.values.ravel(), np.zeros(1), context)
    context.notes[context.at(node)] = w
    square = w.mean**2 + w.variance
    fourth = w.kurtosis * w.variance**2 + 6 * w.mean**2 * w.variance + w.mean**4
    return replace(
        scaled(x, 1.0),
        mean=w.mean * x.mean,
        second=square * x.second,
        fourth=fourth * x.fourth,
        shift=square * x.shift,
        size=square * x.size,
        fluctuation=square**2 * x.fluctuation,
        element=None,
        identical=False,
        partner=None if x.partner is None else square * x.partner,
        pairs=_times(x, square),
        apart=x.apart and not w.variance,
    )


@register(ahead.RULES, "add", "sub")
def add(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """Signal + bias, signal + constant, or a join."""
    assert node.op is not None
    sign = 1.0 if node.op.name == "add" else -1.0
    x, y = operands
    if isinstance(x, float) and isinstance(y, float):
        return x + sign * y
    if isinstance(x, Signal) and isinstance(y, Signal):
        if one_variable(node, operands, context):
            return elementwise(node, operands, context)
        x, y = alike(node, x, y, context)
        return join(node, x, y if sign == 1 else scaled(y, -1.0), context)
    first = isinstance(x, Signal)
    signal, other = (x, y) if first else (y, x)
    if not isinstance(signal, Signal):
        raise UnknownSignal(f"{node.op.name} of what is no signal")
    if isinstance(other, Weight) and not other.variance:
        other = other.mean
    if isinstance(other, float) and signal.element is not None and signal.element.pure:
        return elementwise(node, [signal, other] if first else [other, signal], context)
    signal = signal if first or sign == 1 else scaled(signal, -1.0)
    sign = sign if first else 1.0
    if isinstance(other, Weight):
        own, of_other = node.inputs if first else node.inputs[::-1]
        shape = of_other.shape
        if sum(size > 1 for size in shape) > 1:
            return by_position(own, of_other, signal, other, sign, context)
        return biased(node, signal, other, shape, sign, context)
    if isinstance(other, float):
        constant = Weight("a constant", other, 0.0, 1.0)
        return biased(node, signal, constant, (), sign, context)
    return elementwise(node, operands, context)


@register(ahead.RULES, "cast")
def same_elements(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """The same elements in another dtype."""
    return operands[0]
