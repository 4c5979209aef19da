"""Reading and assigning ``x[key]`` with NumPy's basic and advanced keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.errors import DTypeError
from tinygrad_edu.graph.functions import as_tensor, expand, where
from tinygrad_edu.graph.reader import apply
from tinygrad_edu.ops.structural import Key

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Tensor


def parse(x: Tensor, key: Any) -> tuple[Key, list[Tensor]]:
    """Split a key into its fixed parts and its index arrays. A boolean mask stands for the
    positions where it holds."""
    parts: list[Any] = []
    indices: list[Tensor] = []
    for part in key if isinstance(key, tuple) else (key,):
        if part is None or part is Ellipsis or isinstance(part, slice):
            parts.append(part)
        elif isinstance(part, int | np.integer) and not isinstance(part, bool):
            parts.append(int(part))
        else:
            for array in _positions(x, part):
                parts.append(Key.ARRAY)
                indices.append(array)
    return Key(tuple(parts)), indices


def _positions(x: Tensor, part: Any) -> list[Tensor]:
    array = as_tensor(part)
    if array.dtype.kind == "b":
        return [as_tensor(i) for i in np.nonzero(array._values("a boolean index"))]
    if array.dtype.kind not in "iu":
        raise DTypeError(
            f"getitem: shape {x.shape} cannot be indexed by {array.dtype}; indices are integers, "
            "slices, None, ... or boolean masks."
        )
    return [array]


def read(x: Tensor, key: Any) -> Tensor:
    """x[key] as a recorded op."""
    parsed, indices = parse(x, key)
    return apply(ops.getitem, x, *indices, key=parsed)


def write(x: Tensor, key: Any, value: Any) -> Tensor:
    """A copy of `x` in which ``x[key]`` is `value`, differentiable in both."""
    parsed, indices = parse(x, key)
    place = {"key": parsed, "shape": x.shape}
    target = apply(ops.getitem, x, *indices, key=parsed)
    value = expand(as_tensor(value).to(x.dtype), target.shape)
    written = apply(ops.scatter, np.ones(target.shape, np.bool_), *indices, **place)
    if not parsed.is_basic:
        value = _last_writer_only(x, value, indices, parsed)
    return where(written, apply(ops.scatter, value, *indices, **place), x)


def _last_writer_only(x: Tensor, value: Tensor, indices: list[Tensor], key: Key) -> Tensor:
    """Where an element is addressed several times NumPy keeps the last value written to it; the
    others must not add up, nor receive gradient."""
    order = np.arange(value.numel()).reshape(value.shape)
    last = np.zeros(x.shape, np.int64)
    filled = key.fill(tuple(i.node.data for i in indices))
    last[filled] = order
    return where(last[filled] == order, value, 0)
