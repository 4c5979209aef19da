"""A network as the engine sees it: the graph of ops, traced on shapes alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.errors import AnalysisError, InputError
from tinygrad_edu.derive.walk import ordered
from tinygrad_edu.errors import DTypeError, TinygradError
from tinygrad_edu.graph.modes import enable_grad
from tinygrad_edu.graph.node import Node
from tinygrad_edu.graph.tensor import Tensor, abstract
from tinygrad_edu.ops.dtypes import float32, int64

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


def trace(model: Module, shape: tuple[int, ...], tokens: bool = False) -> Trace:
    """Run `model` on examples of this shape without values and keep what it recorded. There are
    two, so that layers which compare examples (batch norm) can run. `tokens`: the input is whole
    numbers."""
    dtype = int64 if tokens else next((p.dtype for p in model.parameters()), float32)
    source = abstract((2, *shape), dtype)
    with watched(model) as calls, enable_grad():
        output = _output(model, source)
    return Trace(
        input=source.node,
        output=output.node,
        nodes=tuple(ordered([output.node], constants=True)),
        parameters={p.node: (name, p) for name, p in model.named_parameters()},
        places=tuple(Place(name, type(m).__name__, y.node) for name, m, y in calls),
    )


def _output(model: Module, source: Tensor) -> Tensor:
    """What a model returns; whatever goes wrong in it is the model's."""
    try:
        output = model(source)
    except (TinygradError, AnalysisError):
        raise
    except Exception as error:
        raise InputError(
            f"the model raised {type(error).__name__} on examples of shape {source.shape[1:]}: "
            f"{error}"
        ) from error
    if not isinstance(output, Tensor):
        raise InputError(
            f"the model returned a {type(output).__name__}; what can be analysed returns one tensor"
        )
    return output


_BY_NUMBER = ("looked up by integers", "class numbers are integers")
"""What the engine says where floats come in place of whole numbers."""


def looks_up(model: Module, shape: tuple[int, ...]) -> bool:
    """Whether the model takes whole numbers, as embeddings do, and not floats."""
    try:
        trace(model, shape)
    except DTypeError as error:
        return any(said in str(error) for said in _BY_NUMBER)
    except (TinygradError, AnalysisError):
        return False
    return False


@contextmanager
def watched(model: Module) -> Iterator[list[tuple[str, Module, Tensor]]]:
    """The calls of leaf modules made inside the block: name, module, output. A module that is
    called again is listed again, as name#2, name#3 ..."""
    calls: list[tuple[str, Module, Tensor]] = []
    times: Counter[str] = Counter()

    def remember(name: str) -> Any:
        def hook(module: Module, inputs: Any, output: Tensor) -> None:
            times[name] += 1
            again = f"#{times[name]}" if times[name] > 1 else ""
            calls.append((name + again, module, output))

        return hook

    handles = [module.register_forward_hook(remember(name)) for name, module in leaf_modules(model)]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def leaf_modules(model: Module) -> list[tuple[str, Module]]:
    """The modules that hold no others, with their names; a model that is one is called "model"."""
    return [
        (name or "model", module)
        for name, module in model.named_modules()
        if not any(True for _ in module.children())
    ]
