"""A network as the engine sees it: the graph of ops, traced on shapes alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinygrad_edu.derive.walk import ordered
from tinygrad_edu.graph.modes import enable_grad
from tinygrad_edu.graph.node import Node
from tinygrad_edu.graph.tensor import Tensor, abstract
from tinygrad_edu.ops.dtypes import float32

if TYPE_CHECKING:
    from tinygrad_edu.nn import Module, Parameter


@dataclass(frozen=True)
class Place:
    """The output of one leaf module: a row of the report."""

    name: str
    op: str
    node: Node


@dataclass(frozen=True)
class Trace:
    """The graph from `input` to `output`: `nodes` holds operands before results, `parameters` maps
    leaf nodes to their names and parameters, `places` lists the leaf modules in order of use."""

    input: Node
    output: Node
    nodes: tuple[Node, ...]
    parameters: dict[Node, tuple[str, Parameter]]
    places: tuple[Place, ...]


def trace(model: Module, shape: tuple[int, ...]) -> Trace:
    """Run `model` on one example of this shape without values and keep what it recorded."""
    dtype = next((p.dtype for p in model.parameters()), float32)
    source = abstract((1, *shape), dtype)
    places: list[Place] = []

    def remember(name: str) -> Any:
        def hook(module: Module, inputs: Any, output: Tensor) -> None:
            places.append(Place(name, type(module).__name__, output.node))

        return hook

    handles = [module.register_forward_hook(remember(name)) for name, module in leaf_modules(model)]
    try:
        with enable_grad():
            output = model(source)
    finally:
        for handle in handles:
            handle.remove()
    return Trace(
        input=source.node,
        output=output.node,
        nodes=tuple(ordered([output.node], constants=True)),
        parameters={p.node: (name, p) for name, p in model.named_parameters()},
        places=tuple(places),
    )


def leaf_modules(model: Module) -> list[tuple[str, Module]]:
    """The modules that hold no others, with their names; a model that is one is called "model"."""
    return [
        (name or "model", module)
        for name, module in model.named_modules()
        if not any(True for _ in module.children())
    ]
