"""State of modules: loading a state dictionary, checked before anything is changed; the one way in
which a forward pass gives a buffer its next value; and a forward pass that leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_edu.errors import CheckpointError
from tinygrad_edu.graph.creation import random_state, set_random_state
from tinygrad_edu.graph.node import tracing
from tinygrad_edu.graph.tensor import Tensor

if TYPE_CHECKING:
    from tinygrad_edu.nn.module import Module


class LoadReport(NamedTuple):
    """The keys that only one side had: the model (missing) or the dictionary (unexpected)."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not any(self):
            return "<all keys matched>"
        lines = [
            f"  {what}: {', '.join(keys)}"
            for what, keys in (("missing", self.missing_keys), ("unexpected", self.unexpected_keys))
            if keys
        ]
        return "\n".join(["<keys that only one side had:", *lines, ">"])


def load(
    model: str, own: Mapping[str, Tensor], state: Mapping[str, Any], strict: bool
) -> LoadReport:
    """Assign to each tensor in `own` the value of its name in `state`, in the tensor's dtype.

    Raises:
        CheckpointError: Lists, for the model of that name, the keys whose values do not fit and, if
            `strict`, those that are missing or unexpected. Nothing has been changed then.
    """
    report = LoadReport([k for k in own if k not in state], [k for k in state if k not in own])
    arrays = {key: _array(state[key]) for key in own if key in state}
    misfits = [f"{key} {why}" for key in arrays if (why := _misfit(own[key], arrays[key]))]
    listed = {"do not fit": misfits}
    if strict:
        listed |= {"are missing": report.missing_keys, "are unexpected": report.unexpected_keys}
    if any(listed.values()):
        found = "".join(f"\n  {what}: {', '.join(keys)}" for what, keys in listed.items() if keys)
        raise CheckpointError(
            f"load_state_dict: this is not the state of such a {model}, which stays as it was. "
            f"Keys that{found}"
        )
    for key, array in arrays.items():
        own[key].node.assign(array.astype(own[key].dtype))
    return report


Values = Any
"""An array, or a tensor where a step is being traced: arithmetic that both understand goes from one
value of a buffer to the next, as in optimizers."""


def current(buffer: Tensor) -> Values:
    """What a buffer holds."""
    return buffer if buffer.node.is_abstract else buffer.node.data


def advance(buffer: Tensor, value: Values) -> None:
    """Give a buffer its next value, in the buffer's dtype: running statistics, a count.

    To be called when nothing can go wrong any more. While shapes alone are traced the value is a
    tensor without values, and the buffer stays; the trace of a whole step records the update."""
    if not isinstance(value, Tensor):
        buffer.node.assign(np.asarray(value, buffer.dtype))
    elif tracing() is not None:
        buffer.node.take(value.to(buffer.dtype).node)


@contextmanager
def nothing_moves(module: Module) -> Iterator[None]:
    """Put buffers (running statistics) and the sequence of random draws (dropout) back afterwards,
    so that each measurement sees the same network."""
    buffers = [(buffer, buffer.node, buffer.node.data) for buffer in module.buffers()]
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)
        for buffer, node, data in buffers:
            buffer.node = node
            node.data = data


def _array(value: Any) -> np.ndarray[Any, Any]:
    return np.asarray(value.node.data if isinstance(value, Tensor) else value)


def _misfit(own: Tensor, array: np.ndarray[Any, Any]) -> str | None:
    """Why the array cannot be the tensor's value, or None."""
    if array.shape != own.shape:
        return f"(shape {array.shape}, the model has {own.shape})"
    if not np.can_cast(array.dtype, own.dtype, "same_kind"):
        return f"({array.dtype}, the model has {own.dtype})"
    return None
