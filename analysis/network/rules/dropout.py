"""Dropout: a product with independent random elements that are a constant or 0 (dropout).

A trace shows uniform random numbers as leaves without values, and a mask as their comparison with
p. Whoever does not use the op `dropout` scales a mask and multiplies or selects with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.network import backward as behind
from analysis.network import forward as ahead
from analysis.network.context import Context, Record, UnknownSignal
from analysis.network.cotangent import Coefficient, Cotangent, given, whole_grid, whole_kinks
from analysis.network.elements import Element
from analysis.network.records import Array, Mask, Noise, Signal
from analysis.network.registry import register
from analysis.network.roots import MaskedRoot
from analysis.network.sources import Form, fresh
from tinygrad_edu.graph.node import Node


@register(ahead.RULES, "dropout")
def dropout(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """x / (1 - p) where the mask is 1, else 0."""
    x, keep = operands
    if not isinstance(x, Signal) or not isinstance(keep, Mask):
        raise UnknownSignal("dropout of what is no signal, or by a mask that is not followed")
    p = float(node.params["p"])
    context.notes["signal operand", node] = node.inputs[0]
    return dropped(node, x, replace(keep, value=keep.value / (1 - p)), context)


@register(behind.RULES, "dropout")
def dropout_backward(
    node: Node, operands: Sequence[Record], cotangent: Cotangent, context: Context
) -> list[Any]:
    """The gradient takes the same mask."""
    return [dropped_backward(node, cotangent, context)[1], None]


def masked(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """An elementwise op with random elements among its operands."""
    assert node.op is not None
    name = node.op.name
    random = next(o for o in operands if isinstance(o, Mask | Noise))
    others = [o for o in operands if o is not random]
    if isinstance(random, Noise):
        return _compared(node, operands, context)
    if name == "logical_not":
        if random.value != 1:
            raise UnknownSignal("the opposite of scaled random elements")
        return Mask(1 - random.keep)
    numbers = [o for o in others if isinstance(o, float)]
    if name in ("mul", "div") and len(numbers) == 1 and (name == "mul" or operands[0] is random):
        c = numbers[0] if name == "mul" else 1 / numbers[0]
        return replace(random, value=c * random.value)
    if name == "mul" and isinstance(others[0], Signal):
        return dropped(node, others[0], random, context)
    if name == "where" and random.value == 1 and numbers == [0.0]:
        signal = next((o for o in others if isinstance(o, Signal)), None)
        if signal is not None:
            taken = random if operands[1] is signal else Mask(1 - random.keep)
            return dropped(node, signal, taken, context)
    raise UnknownSignal(f"{name} with random elements")


def _compared(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """Uniform numbers against p."""
    assert node.op is not None
    name = node.op.name
    number = next((o for o in operands if isinstance(o, float)), None)
    if name not in ("lt", "le", "gt", "ge") or number is None:
        raise UnknownSignal(f"{name} of random numbers")
    below = min(max(number, 0.0), 1.0)
    return Mask(below if (name in ("lt", "le")) == isinstance(operands[0], Noise) else 1 - below)


def dropped(node: Node, x: Signal, mask: Mask, context: Context) -> Signal:
    """Each element times the mask: the second moment takes keep * value^2, whatever the mean."""
    from analysis.network.rules.elementwise import dead_of, variable

    position = node.inputs.index(context.notes["signal operand", node])
    context.notes[context.at(node)] = (mask, position)
    k, v = mask.keep, mask.value
    element = None
    if x.element is not None:
        root, index = variable(node.inputs[position], x, context)
        element = Element(Form(np.zeros_like(x.mean), {}), MaskedRoot(root, index, k, v, fresh()))
        assert element.root is not None
        context.variables[element.root] = x
    second = k * v * v * x.second
    own = k * (v * v) ** 2 * x.fourth
    return replace(
        x,
        mean=k * v * x.mean,
        second=second,
        fourth=own,
        shift=k * v * v * x.shift,
        size=k * v * v * x.size,
        fluctuation=(k * v * v) ** 2 * x.fluctuation,
        excess=np.zeros_like(second),
        element=element,
        pairs=None,
        sources=x.sources if element is None else element.sources,
        dead=x.dead if element is None else dead_of(element.root, 0, x, context),  # type: ignore[arg-type]
        fixed=False,
        identical=False,
        joined=True,
        partner=None if x.partner is None else (k * v) ** 2 * x.partner,
    )


def dropped_backward(node: Node, cotangent: Cotangent, context: Context) -> tuple[int, Cotangent]:
    """The gradient takes the same factors."""
    mask, position = context.notes[context.at(node)]
    k, v = mask.keep, mask.value
    passed = _unmasked(cotangent)
    full = np.ones_like(cotangent.gradient.second)
    passed = passed.by_slope(None, k * v * full, k * v * v * full)
    return position, passed.with_gradient(replace(cotangent.gradient, joined=True))


def _unmasked(cotangent: Cotangent) -> Cotangent:
    """Coefficients that are functions of the masked variable, where it is not masked, as functions
    of the variable itself."""
    for _, c in cotangent.terms.values():
        inner = getattr(getattr(c.root, "inner", None), "root", None)
        if isinstance(inner, MaskedRoot):
            cotangent = given(cotangent, inner)
            break
    terms = {}
    for key, (arriving, c) in cotangent.terms.items():
        root = c.root
        if isinstance(root, MaskedRoot):
            kept = whole_grid(root).x.shape[1] - 1
            grid = root.inner_grid(whole_kinks(root))
            c = Coefficient(root.inner_root, _onto(c.value[:, :kept], grid.x, root))
        terms[key] = (arriving, c)
    return replace(cotangent, terms=terms)


def _onto(values: Array, old: Array, root: MaskedRoot) -> Array:
    """On the inner variable's own grid."""
    new = whole_grid(root.inner_root).x
    if new.shape == old.shape and np.array_equal(new, old):
        return values
    return np.stack([np.interp(*row) for row in zip(new, old, values, strict=True)])
