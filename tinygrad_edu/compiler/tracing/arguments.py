"""The arguments of a compiled step: arrays are fed to the program, all else belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.compiler.tracing.scan import PLAIN
from tinygrad_edu.errors import GradientError
from tinygrad_edu.graph import modes
from tinygrad_edu.graph.node import Abstract, Node
from tinygrad_edu.graph.tensor import Tensor, make
from tinygrad_edu.kernels import threads

Key = tuple[Any, ...]


def signature(args: Sequence[Any], kwargs: Mapping[str, Any], arrays: list[np.ndarray]) -> Key:
    """What calls of one program have in common: whether ops are recorded, the number of threads
    that was asked for, shapes and dtypes of tensors and arrays, the values of plain arguments, the
    identity of other objects. The arrays are appended to the list."""
    key: list[Any] = [modes.state.recording, threads.chosen]
    for arg in args:
        if arg.__class__ is Tensor and not (node := arg.node).requires_grad:
            data = node.snapshot() if node.live else node.data
            arrays.append(data)
            key.append((data.shape, data.dtype))
        else:
            _visit(arg, key, arrays)
    for name, arg in kwargs.items():
        key.append(name)
        _visit(arg, key, arrays)
    return tuple(key)


def _visit(value: Any, key: list[Any], arrays: list[np.ndarray]) -> None:
    if isinstance(value, Tensor):
        if value.requires_grad:
            key.append(_leaf(value))
            return
        data = value.node.snapshot()
        arrays.append(data)
        key.append((data.shape, data.dtype))
    elif isinstance(value, np.ndarray | np.generic):
        data = np.asarray(value)
        arrays.append(data)
        key.append((data.shape, data.dtype))
    elif isinstance(value, PLAIN):
        key.append((type(value), str(value) if isinstance(value, slice) else value))
    elif isinstance(value, Mapping):
        key.append((type(value), len(value)))
        for name, branch in value.items():
            key.append(name)
            _visit(branch, key, arrays)
    elif isinstance(value, tuple | list):
        key.append((type(value), len(value)))
        for branch in value:
            _visit(branch, key, arrays)
    else:
        key.append((type(value), id(value)))


def _leaf(value: Tensor) -> Any:
    """A leaf that asks for gradients is itself what is passed: a parameter."""
    if value.is_leaf:
        return (Tensor, id(value))
    raise GradientError(
        f"A compiled step cannot be differentiated from outside, and an argument of shape "
        f"{value.shape} requires grad. Pass x.detach(), or compile all from the leaves to "
        "backward() in one step."
    )


def stand_ins(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any, list[Node]]:
    """The arguments with tensors without values in the place of arrays, and their nodes. Made while
    a trace is open."""
    nodes: list[Node] = []

    def stand_in(data: Any) -> Tensor:
        nodes.append(Node(Abstract(data.shape, data.dtype)))
        return make(nodes[-1])

    given, named = _with_arrays_as(stand_in, args, kwargs)
    return given, named, nodes


def with_tensors(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """The arguments with tensors in the place of arrays, as the step gets them."""
    return _with_arrays_as(lambda data: make(Node(np.asarray(data))), args, kwargs)


def _with_arrays_as(
    made_of: Callable[[Any], Tensor], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Any, Any]:
    """The arguments with another tensor, made of the data, for each array and each tensor that is
    no parameter."""

    def visit(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value if value.requires_grad else made_of(value.node.data)
        if isinstance(value, np.ndarray | np.generic):
            return made_of(value)
        if isinstance(value, Mapping):
            return {name: visit(branch) for name, branch in value.items()}
        if isinstance(value, tuple | list):
            make_tree = getattr(type(value), "_make", type(value))
            return make_tree([visit(branch) for branch in value])
        return value

    return [visit(arg) for arg in args], {name: visit(arg) for name, arg in kwargs.items()}


def objects(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """The arguments that are no data: modules, optimizers, parameters."""
    found: list[Any] = []
    todo = [*args, *kwargs.values()]
    while todo:
        value = todo.pop()
        if isinstance(value, Mapping):
            todo.extend(value.values())
        elif isinstance(value, tuple | list):
            todo.extend(value)
        elif isinstance(value, Tensor):
            if value.requires_grad:
                found.append(value)
        elif not isinstance(value, (np.ndarray, *PLAIN)):
            found.append(value)
    return found
