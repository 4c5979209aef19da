"""Functions that give the same elements another shape or order, or join tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, ShapeError
from tinygrad_edu.graph.axes import all_axes, numpy_names, one_axis, resolve_reshape, unpack
from tinygrad_edu.graph.reader import apply, as_tensor

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor


def reshape(x: Operand, *shape: int | Sequence[int]) -> Tensor:
    """The same elements under another shape; one size may be -1."""
    x = as_tensor(x)
    return apply(ops.reshape, x, shape=resolve_reshape(x.shape, unpack(shape)))


def flatten(x: Operand, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from start_dim to end_dim as one."""
    x = as_tensor(x)
    start = one_axis("flatten", x.shape, start_dim)
    end = one_axis("flatten", x.shape, end_dim)
    if start > end:
        raise ShapeError(
            f"flatten: start_dim {start_dim} comes after end_dim {end_dim}; swap them."
        )
    size = math.prod(x.shape[start : end + 1])
    return x.reshape(*x.shape[:start], size, *x.shape[end + 1 :])


def squeeze(x: Operand, dim: int | Sequence[int] | None = None) -> Tensor:
    """Drop axes of size 1: those in `dim`, or all of them."""
    x = as_tensor(x)
    axes = all_axes("squeeze", x.shape, dim)
    return x.reshape(tuple(n for i, n in enumerate(x.shape) if i not in axes or n != 1))


def unsqueeze(x: Operand, dim: int) -> Tensor:
    """A new axis of size 1 at position `dim`."""
    x = as_tensor(x)
    axis = one_axis("unsqueeze", (*x.shape, 1), dim)
    return x.reshape((*x.shape[:axis], 1, *x.shape[axis:]))


def permute(x: Operand, *dims: int | Sequence[int]) -> Tensor:
    """The axes in another order: axis i of the result is axis dims[i] of x."""
    x = as_tensor(x)
    wanted = unpack(dims)
    axes = tuple(one_axis("permute", x.shape, d) for d in wanted) if x.shape else wanted
    if sorted(axes) != list(range(x.ndim)):
        raise ShapeError(
            f"permute: {wanted} must name each of the {x.ndim} axes of shape {x.shape} once; to "
            "swap two, use transpose."
        )
    return apply(ops.permute, x, axes=axes)


def transpose(x: Operand, dim0: int, dim1: int) -> Tensor:
    """Swap two axes."""
    x = as_tensor(x)
    order = list(range(x.ndim))
    a, b = one_axis("transpose", x.shape, dim0), one_axis("transpose", x.shape, dim1)
    if order:
        order[a], order[b] = b, a
    return permute(x, order)


def expand(x: Operand, *sizes: int | Sequence[int]) -> Tensor:
    """Repeat along axes of size 1, and along new ones in front; -1 keeps an axis as it is."""
    x = as_tensor(x)
    wanted = unpack(sizes)
    extra = len(wanted) - x.ndim
    shape = tuple(x.shape[i - extra] if n == -1 and i >= extra else n for i, n in enumerate(wanted))
    fits = extra >= 0 and all(m in (1, n) for m, n in zip(x.shape, shape[extra:], strict=True))
    if not fits or min(shape, default=0) < 0:
        raise ShapeError(
            f"expand: shape {x.shape} cannot be repeated to {wanted}; only axes of size 1 and new "
            "axes in front can, and -1 keeps an axis that is there."
        )
    return apply(ops.expand, x, shape=shape)


@numpy_names
def cat(tensors: Sequence[Operand], dim: int = 0) -> Tensor:
    """The tensors one after another along an existing axis."""
    parts = [as_tensor(t) for t in tensors]
    if not parts:
        raise ArgumentError("cat: needs at least one tensor.")
    if not all(part.shape for part in parts):
        raise ShapeError("cat: a scalar has no axis to join along; use stack.")
    return apply(ops.concat, *parts, axis=one_axis("cat", parts[0].shape, dim))


@numpy_names
def stack(tensors: Sequence[Operand], dim: int = 0) -> Tensor:
    """The tensors side by side along a new axis."""
    parts = [as_tensor(t) for t in tensors]
    if not parts:
        raise ArgumentError("stack: needs at least one tensor.")
    if any(part.shape != parts[0].shape for part in parts):
        listed = " and ".join(str(part.shape) for part in parts)
        raise ShapeError(
            f"stack: shapes {listed} must be equal; to join along an existing axis, use cat."
        )
    return cat([unsqueeze(part, dim) for part in parts], dim)
