"""Functions that put elements in order, or pick the largest with its position.

The order is found first, as positions, which have no derivative; the values are then gathered. Ties
keep their order, so gradients go where the positions say, and NaN counts as larger than any number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.graph.axes import numpy_names, one_axis, whole
from tinygrad_edu.graph.layout import part, squeeze
from tinygrad_edu.graph.picking import along
from tinygrad_edu.graph.pointwise import maximum, minimum
from tinygrad_edu.graph.reader import apply, as_tensor
from tinygrad_edu.graph.reduction import amax, amin, argmax, argmin

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor


class Picked(NamedTuple):
    """Elements of a tensor, and the positions they had along an axis."""

    values: Tensor
    indices: Tensor


# ------------------------------------------------------------------------------ extremes


@overload
def max(x: Operand, dim: None = None, keepdim: bool = False) -> Tensor: ...
@overload
def max(x: Operand, dim: int, keepdim: bool = False) -> Picked: ...
@overload
def max(x: Operand, dim: Tensor | np.ndarray) -> Tensor: ...
@numpy_names
def max(
    x: Operand, dim: int | Tensor | np.ndarray | None = None, keepdim: bool = False
) -> Tensor | Picked:
    """The largest element of all; along `dim`, the largest ones and their positions, as a pair
    (values, indices); of two tensors, their elementwise `maximum`.

    Ties among all elements share the gradient evenly, as in `amax`; along an axis it goes to the
    position returned, that of the first."""
    if dim is None:
        return amax(x, None, keepdim)
    if _is_tensor(dim):
        return maximum(x, dim)
    return _pick(argmax, "max", x, dim, keepdim)  # type: ignore[arg-type]


@overload
def min(x: Operand, dim: None = None, keepdim: bool = False) -> Tensor: ...
@overload
def min(x: Operand, dim: int, keepdim: bool = False) -> Picked: ...
@overload
def min(x: Operand, dim: Tensor | np.ndarray) -> Tensor: ...
@numpy_names
def min(
    x: Operand, dim: int | Tensor | np.ndarray | None = None, keepdim: bool = False
) -> Tensor | Picked:
    """The smallest element of all; along `dim`, the smallest ones and their positions, as a pair
    (values, indices); of two tensors, their elementwise `minimum`. Ties as in `max`."""
    if dim is None:
        return amin(x, None, keepdim)
    if _is_tensor(dim):
        return minimum(x, dim)
    return _pick(argmin, "min", x, dim, keepdim)  # type: ignore[arg-type]


def _is_tensor(x: object) -> bool:
    return hasattr(x, "node") or isinstance(x, np.ndarray)


def _pick(
    position: Callable[..., Tensor], name: str, x: Operand, dim: int, keepdim: bool
) -> Picked:
    x = as_tensor(x)
    axis = one_axis(name, x.shape, dim)
    indices = position(x, axis, True)
    picked = Picked(along(x, axis, indices), indices)
    return picked if keepdim else Picked(*(squeeze(t, axis) for t in picked))


# ------------------------------------------------------------------------------ order


@numpy_names
def argsort(x: Operand, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The positions of the elements in ascending (or descending) order along `dim`.

    The order is always stable, as if `stable` were True: equal elements stay in the order they are
    in. NaN comes last in ascending order, first in descending."""
    x = as_tensor(x)
    axis = one_axis("argsort", x.shape, dim)
    if not x.shape:
        return argsort(x.reshape(1), 0).reshape(())
    return apply(ops.argsort, x, axis=axis, descending=descending)


@numpy_names
def sort(x: Operand, dim: int = -1, descending: bool = False, stable: bool = True) -> Picked:
    """The elements in ascending (or descending) order along `dim`, and the positions they had, as
    a pair (values, indices). See `argsort`; the gradient goes back to where each came from."""
    x = as_tensor(x)
    indices = argsort(x, dim, descending)
    return Picked(along(x, one_axis("sort", x.shape, dim), indices), indices)


@numpy_names
def topk(x: Operand, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Picked:
    """The k largest (or smallest) elements along `dim`, and the positions they had, as a pair
    (values, indices). They come in order, whether `sorted` or not; of equal ones, the first are
    taken."""
    x = as_tensor(x)
    axis = one_axis("topk", x.shape, dim)
    size = x.shape[axis] if x.shape else 1
    if not 0 <= whole(k) <= size:
        raise ArgumentError(
            f"topk: k is 0 to {size}, the size of axis {dim} of shape {x.shape}, not {k}."
        )
    indices = argsort(x, axis, largest)
    indices = part(indices, axis, slice(k)) if x.shape else indices
    return Picked(along(x, axis, indices), indices)
