"""Forward mode: one walk over the recorded graph, oldest node first.

A tangent says how fast a value changes as the inputs move in a given direction. Like cotangents,
tangents live in a dictionary during the walk: the graph was recorded without them. So a walk in one
direction cannot mistake its tangents for those of another, and nested derivatives need no levels.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.derive.walk import refuse_stale
from tinygrad_edu.graph import modes
from tinygrad_edu.graph.anomaly import watched
from tinygrad_edu.graph.node import Node
from tinygrad_edu.graph.reader import graph_reader
from tinygrad_edu.graph.tensor import Tensor, make
from tinygrad_edu.ops.silence import silently
from tinygrad_edu.ops.table import array_reader


def push_forward(
    seeds: Mapping[Node, Tensor],
    order: Sequence[Node],
    kept: Collection[Node],
    create_graph: bool,
) -> dict[Node, Tensor]:
    """The tangents of the `kept` nodes, from those of the `seeds`; nodes that do not change are
    left out. `order` is what `walk.ordered` gives, from the kept nodes to the seeds.

    With `create_graph` the tangents are recorded tensors that can be differentiated again, and
    plain arrays on the way otherwise.
    """
    on_graph = create_graph or any(node.is_abstract for node in order[-1:])
    push = _push_tensors if on_graph else _push_arrays
    push = watched(push, "forward mode", "the tangent of the result")
    starts = {node: t if on_graph else t.node.data for node, t in seeds.items()}
    with modes.set_grad_enabled(create_graph):
        tangents = silently(_walk, starts, order, push)
    return {
        node: make(tangents[node].node if on_graph else Node(np.asarray(tangents[node])))
        for node in kept
        if node in tangents
    }


def _walk(
    seeds: Mapping[Node, Any], order: Sequence[Node], push: Callable[[Node, list[Any]], Any]
) -> dict[Node, Any]:
    """From the oldest node to the newest; None stands for a tangent that is zero."""
    tangents = dict(seeds)
    for node in order:
        moving = [tangents.get(x) for x in node.inputs]
        if node in seeds or all(tangent is None for tangent in moving):
            continue
        assert node.op is not None
        if node.op.reads:
            refuse_stale(node)
        tangent = push(node, moving)
        if tangent is not None:
            tangents[node] = tangent
    return tangents


def _push_arrays(node: Node, tangents: list[Any]) -> Any:
    """One op's derivative on plain arrays."""
    assert node.op is not None
    data = [x.data for x in node.inputs]
    return node.op.jvp(array_reader(node.data.dtype), tangents, node.data, data, **node.params)


def _push_tensors(node: Node, tangents: list[Any]) -> Any:
    """One op's derivative on tensors, recorded like everything else."""
    assert node.op is not None
    handles = [make(x) for x in node.inputs]
    reader = graph_reader(node.data.dtype)
    return node.op.jvp(reader, tangents, make(node), handles, **node.params)
