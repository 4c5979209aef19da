"""The order in which reverse and forward mode visit a recorded graph, and what both must check."""

from __future__ import annotations

from collections.abc import Iterable

from tinygrad_edu.errors import StaleStorageError
from tinygrad_edu.graph.node import Node


def ordered(
    roots: Iterable[Node], targets: set[Node] | None = None, constants: bool = False
) -> list[Node]:
    """The nodes that carry gradient, operands before results; with `targets`, only those on a way
    from a root to a target; with `constants`, those that carry none, too. Iterative, so a chain may
    be as long as memory allows."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack = [(root, False) for root in roots]
    while stack:
        node, operands_done = stack.pop()
        if operands_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend(
                (x, False) for x in node.inputs if (x.requires_grad or constants) and x not in seen
            )
    if targets is None:
        return order
    leading: set[Node] = set()
    for node in order:
        if node in targets or any(x in leading for x in node.inputs):
            leading.add(node)
    return [node for node in order if node in leading]


def refuse_stale(node: Node) -> None:
    """Raise if a value that the derivative of this node's op may read is not what it was."""
    assert node.op is not None
    for position, x in enumerate((*node.inputs, node)):
        if x.changed > node.tick:
            which = f"operand {position}" if position < len(node.inputs) else "the result"
            raise StaleStorageError(
                f"{node.op.name}: {which} of shape {x.shape} was changed after {node.op.name} "
                "used it and before its gradient was computed (by an optimizer step, "
                "load_state_dict or .data); compute the result again, or call backward first."
            )
