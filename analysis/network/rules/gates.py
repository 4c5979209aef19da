"""Gates: products a phi(b) of two slices of one layer z = W x.

Along x both factors grow together. With the gradient g of a unit of the product, what arrives at a
is g phi(b), and at b it is g a phi'(b); neither is correlated with the other, but a times the first
and b times the second are: E[a^2 phi^2] + E[a^2 (b phi')^2] + 2 E[a^2 phi b phi']. The last is a
correction of order 1/fan_in of the gradient at x: a twelfth at 12 inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from analysis.network.context import Context, Record
from analysis.network.cotangent import Cotangent
from analysis.network.records import Array, Signal
from tinygrad_edu.graph.node import Node


def along_gates(
    node: Node,
    operands: Sequence[Record],
    passed: list[Cotangent | None],
    cotangent: Cotangent,
    context: Context,
) -> list[Cotangent | None]:
    """The operands' cotangents, with what the factors have in common along the signal: all of it is
    given to the factor that is a slice itself, since both add up at the layer."""
    if node.op is None or node.op.name != "mul" or len(operands) != 2:
        return passed
    for own, other in ((0, 1), (1, 0)):
        layer = _sliced(node.inputs[own])
        of_other, radial = _radial(node.inputs[other], operands[other], context)
        mine = passed[own]
        if layer is None or layer is not of_other or radial is None or mine is None:
            continue
        common = 2 * cotangent.gradient.second * radial
        gradient = replace(mine.gradient, coherent=mine.gradient.coherent + common)
        result = list(passed)
        result[own] = replace(mine, gradient=gradient)
        return result
    return passed


def _sliced(node: Node) -> Node | None:
    """What a node is a slice of."""
    return node.inputs[0] if node.op is not None and node.op.name == "getitem" else None


def _radial(node: Node, x: Record, context: Context) -> tuple[Node | None, Array | None]:
    """The layer of which a factor phi(b) is a function, and E[b phi phi']."""
    if not isinstance(x, Signal):
        return None, None
    if _sliced(node) is not None:
        return _sliced(node), x.second
    response = context.responses.get(context.at(node))
    if response is None or not node.inputs:
        return None, None
    return _sliced(node.inputs[0]), response.radial
