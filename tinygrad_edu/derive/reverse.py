"""Reverse mode: one walk over the recorded graph, newest node first.

Cotangents live in a dictionary during the walk, never on the graph, so walking twice gives the
same numbers twice. They are plain arrays when nobody will differentiate them again, and recorded
tensors otherwise: the same derivative rules run on both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.derive.walk import ordered, refuse_stale
from tinygrad_edu.errors import DTypeError, GradientError, ShapeError, TraceError, describe
from tinygrad_edu.graph import modes
from tinygrad_edu.graph.anomaly import watched
from tinygrad_edu.graph.hooks import registered
from tinygrad_edu.graph.lines import users_line
from tinygrad_edu.graph.node import Node, tracing
from tinygrad_edu.graph.reader import graph_reader
from tinygrad_edu.graph.tensor import Tensor, make
from tinygrad_edu.ops.silence import silently
from tinygrad_edu.ops.table import array_reader

TensorOrTensors = Tensor | Sequence[Tensor]


def backward(root: Tensor, gradient: Tensor | None, create_graph: bool) -> None:
    """Add the gradient of `root` to the `.grad` of every leaf; see `Tensor.backward`."""
    start = _start("backward", root, gradient)
    order = ordered([root.node])
    kept = {node for node in order if node.op is None or node.retains_grad}
    cotangents = pull_back([(root.node, start)], order, kept, create_graph)
    now = tracing()
    for node, cotangent in cotangents.items():
        if now is not None:
            now.grad_event(node, reading=True)
        if node.grad is None:
            node.grad = cotangent
        else:
            with modes.set_grad_enabled(create_graph):
                node.grad = node.grad + cotangent


def grad(
    outputs: TensorOrTensors,
    inputs: TensorOrTensors,
    grad_outputs: TensorOrTensors | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of tensors; see `tinygrad_edu.autograd.grad`."""
    roots, leaves = _several("outputs", outputs), _several("inputs", inputs)
    starts = (None,) * len(roots)
    if grad_outputs is not None:
        starts = _several("grad_outputs", grad_outputs)
    if len(starts) != len(roots):
        raise GradientError(
            f"grad: {len(roots)} outputs but {len(starts)} grad_outputs; give one for each."
        )
    seeds = [
        (root.node, _start("grad", root, start)) for root, start in zip(roots, starts, strict=True)
    ]
    targets = {leaf.node for leaf in leaves}
    order = ordered([root.node for root in roots], targets)
    cotangents = pull_back(seeds, order, targets, create_graph)
    results = tuple(cotangents.get(leaf.node) for leaf in leaves)
    if not allow_unused:
        for position, (leaf, result) in enumerate(zip(leaves, results, strict=True)):
            if result is None:
                raise GradientError(
                    f"grad: input {position} of shape {leaf.shape} "
                    + (
                        "is not part of the outputs' graph"
                        if leaf.requires_grad
                        else "does not require grad"
                    )
                    + "; pass allow_unused=True to get None for it."
                )
    return results


def _several(name: str, tensors: Any) -> tuple[Any, ...]:
    """One tensor or any iterable of tensors, as a tuple (cotangents may be None)."""
    several = isinstance(tensors, Iterable) and not isinstance(tensors, (Tensor, np.ndarray))
    found = tuple(tensors) if several else (tensors,)
    for x in found:
        if not isinstance(x, Tensor) and not (x is None and name == "grad_outputs"):
            raise DTypeError(f"grad: {name} are Tensors, not {type(x).__name__}.")
    return found


def _start(name: str, root: Tensor, gradient: Tensor | None) -> Tensor:
    """The cotangent a walk starts from: what was given, or 1 for a single element."""
    if not root.requires_grad:
        raise GradientError(
            f"{name}: this tensor of shape {root.shape} does not require grad: nothing it was "
            "computed from does (requires_grad=True), or recording was off (tg.no_grad)."
        )
    if gradient is None:
        if root.numel() != 1:
            raise GradientError(
                f"{name}: shape {root.shape} has {root.numel()} elements, and only a single one "
                "has a gradient; reduce it (.sum(), .mean()) or pass the cotangent of its shape."
            )
        return make(Node(np.ones(root.shape, root.dtype)))
    if not isinstance(gradient, Tensor):
        raise DTypeError(
            f"{name}: the cotangent must be a Tensor, not {type(gradient).__name__}; wrap it in "
            "tg.tensor(...)."
        )
    if (gradient.shape, gradient.dtype) != (root.shape, root.dtype):
        raise ShapeError(
            f"{name}: the cotangent {describe([gradient])} must have shape and dtype of the "
            f"output, {describe([root])}."
        )
    return gradient


def pull_back(
    seeds: Iterable[tuple[Node, Tensor]],
    order: Sequence[Node],
    kept: set[Node],
    create_graph: bool,
) -> dict[Node, Tensor]:
    """The cotangents of the `kept` nodes, each in a handle of its own. Any other cotangent is
    dropped as soon as it has been pulled back."""
    now = tracing()
    if now is not None:
        now.check_own(order)
        count = registered.on_leaves
        now.needs("a tensor has got a hook", lambda: registered.on_leaves == count)
    on_graph = create_graph or (bool(order) and order[-1].is_abstract)
    pull = _pull_tensors if on_graph else _pull_arrays
    pull = watched(pull, "backward", "the gradient of operand {}")
    starts = [(node, start if on_graph else start.node.data) for node, start in seeds]
    with modes.set_grad_enabled(create_graph):
        cotangents = silently(_walk, starts, order, kept, pull)
    if on_graph:
        return {node: make(value.node) for node, value in cotangents.items()}
    return {node: make(Node(np.asarray(value))) for node, value in cotangents.items()}


def _walk(
    seeds: Iterable[tuple[Node, Any]],
    order: Sequence[Node],
    kept: set[Node],
    pull: Callable[[Node, Any, list[bool]], list[Any]],
) -> dict[Node, Any]:
    """From the newest node to the oldest; parts that arrive at one node add up."""
    alive = set(order)
    cotangents: dict[Node, Any] = {}
    for node, start in seeds:
        if node in alive:
            cotangents[node] = cotangents[node] + start if node in cotangents else start
    hooked = registered.on_any > 0
    for node in reversed(order):
        op, inputs = node.op, node.inputs
        if hooked and node in cotangents:
            cotangents[node] = _after_hooks(node, cotangents[node])
        if op is None or node not in cotangents:
            continue
        cotangent = cotangents[node] if node in kept else cotangents.pop(node)
        wanted = [x in alive for x in inputs]
        if True not in wanted:
            continue
        if op.reads:
            refuse_stale(node)
        for x, wants, part in zip(inputs, wanted, pull(node, cotangent, wanted), strict=True):
            if wants and part is not None:
                cotangents[x] = cotangents[x] + part if x in cotangents else part
    return cotangents


def _after_hooks(node: Node, cotangent: Any) -> Any:
    """What a node's hooks, if it has any, make of its cotangent."""
    hooks = getattr(node, "hooks", None)
    if not hooks:
        return cotangent
    if tracing() is not None:
        raise TraceError(
            "register_hook: a compiled step cannot call a hook at each call; remove it, or take "
            f"the gradient by autograd.grad and return it.\n{users_line()}"
        )
    is_tensor = isinstance(cotangent, Tensor)
    seen = cotangent if is_tensor else make(Node(np.asarray(cotangent)))
    for hook in tuple(hooks.values()):  # a hook may remove itself
        changed = hook(seen)
        if changed is None:
            continue
        if not isinstance(changed, Tensor) or (changed.shape, changed.dtype) != (
            seen.shape,
            seen.dtype,
        ):
            raise ShapeError(
                f"register_hook: the hook returned {describe([changed])} for a gradient "
                f"{describe([seen])}; return a tensor of that shape and dtype, or None."
            )
        seen = changed
    return seen if is_tensor else seen.node.data


def _pull_arrays(node: Node, cotangent: Any, wanted: list[bool]) -> list[Any]:
    """One op's derivative on plain arrays."""
    assert node.op is not None
    data = [x.data for x in node.inputs]
    return node.op.vjp(
        array_reader(node.data.dtype), cotangent, node.data, data, wanted, **node.params
    )


def _pull_tensors(node: Node, cotangent: Tensor, wanted: list[bool]) -> list[Any]:
    """One op's derivative on tensors, recorded like everything else."""
    assert node.op is not None
    handles = [make(x) for x in node.inputs]
    return node.op.vjp(
        graph_reader(node.data.dtype), cotangent, make(node), handles, wanted, **node.params
    )
