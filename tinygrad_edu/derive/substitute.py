"""Calling a module with other parameters than its own, so that transforms reach them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tinygrad_edu.errors import ArgumentError, DTypeError
from tinygrad_edu.graph.tensor import Tensor

Tensors = Mapping[str, Tensor]


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Tensors | Sequence[Tensors],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """``module(*args, **kwargs)`` with these tensors in place of its parameters and buffers. ::

        def loss(params, x, y):
            return cross_entropy(tg.func.functional_call(model, params, (x,)), y)

        params = {name: p.detach() for name, p in model.named_parameters()}
        gradients = tg.func.grad(loss)(params, x, y)

    Keys are dotted names, as in `named_parameters`; what has no entry keeps its own value, and
    several dicts count as one. `args` is a tuple, or the only argument. The module is left as it
    was, also where its forward assigns to what was replaced. As torch.func.functional_call.

    Raises:
        ArgumentError: A key names nothing in the module, or two dicts hold the same key.
        DTypeError: A value is not a Tensor.
    """
    several = parameter_and_buffer_dicts
    tensors: dict[str, Tensor] = {}
    for more in [several] if isinstance(several, Mapping) else several:
        twice = tensors.keys() & more.keys()
        if twice:
            raise ArgumentError(f"functional_call: {min(twice)!r} is in two of the dicts.")
        tensors |= more
    positional = args if isinstance(args, tuple) else () if args is None else (args,)
    with _substituted(module, tensors):
        return module(*positional, **(kwargs or {}))


@contextlib.contextmanager
def _substituted(module: Any, tensors: Tensors) -> Iterator[None]:
    """Let each handle in the module stand for another node meanwhile. Layers that share a parameter
    share the handle, so they all see it."""
    places = [(_place(module, key), _checked(key, tensor)) for key, tensor in tensors.items()]
    saved = [(owner, name, handle, handle.node) for (owner, name, handle), _ in places]
    try:
        for (_, _, handle), tensor in places:
            handle.node = tensor.node
        yield
    finally:
        for owner, name, handle, node in saved:
            handle.node = node
            vars(owner)[name] = handle


def _place(module: Any, key: str) -> tuple[Any, str, Tensor]:
    """The module that holds the tensor of this name, the attribute, and the tensor."""
    *path, name = key.split(".")
    owner = module
    for part in path:
        owner = getattr(owner, part, None)
    handle = vars(owner).get(name) if hasattr(owner, "__dict__") else None
    if not isinstance(handle, Tensor):
        known = [name for name, _ in (*module.named_parameters(), *module.named_buffers())]
        raise ArgumentError(
            f"functional_call: {type(module).__name__} has no parameter or buffer {key!r}; it has "
            f"{', '.join(known) or 'none'}."
        )
    return owner, name, handle


def _checked(key: str, tensor: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise DTypeError(f"functional_call: {key!r} must be a Tensor, not {type(tensor).__name__}.")
    return tensor
