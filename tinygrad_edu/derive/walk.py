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
    stack: list[Node | None] = list(roots)
    while stack:
        node = stack.pop()
        if node is None:  # the operands of the node below are done
            order.append(stack.pop())  # type: ignore[arg-type]
        elif node not in seen:
            seen.add(node)
            if not node.inputs:
                order.append(node)
                continue
            stack += (node, None)
            for x in node.inputs:
                if (x.requires_grad or constants) and x not in seen:
                    stack.append(x)
    if targets is None:
        return order
    leading: set[Node] = set()
    for node in order:
        if node in targets or any(x in leading for x in node.inputs):
            leading.add(node)
    return [node for node in order if node in leading]


def refuse_stale(node: Node) -> None:
    """Raise if a value that the derivative of this node's op may read is not what it was."""
    tick = node.tick
    for x in node.inputs:
        if x.changed > tick:
            raise _stale(node, x, f"operand {node.inputs.index(x)}")
    if node.changed > tick:
        raise _stale(node, node, "the result")


def _stale(node: Node, x: Node, which: str) -> StaleStorageError:
    assert node.op is not None
    return StaleStorageError(
        f"{node.op.name}: {which} of shape {x.shape} was changed after {node.op.name} used it and "
        "before its gradient was computed (by an optimizer step, load_state_dict or .data); "
        "compute the result again, or call backward first."
    )
