"""More ways to lay elements out: joins along the usual axes, grids, broadcasting, windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, ShapeError
from tinygrad_edu.graph.axes import numpy_names, one_axis, several
from tinygrad_edu.graph.layout import cat, distinct, expand, flip, movedim, part, permute
from tinygrad_edu.graph.picking import diagonal
from tinygrad_edu.graph.reader import apply, as_tensor
from tinygrad_edu.graph.reduction import sum
from tinygrad_edu.ops.kinds import broadcast
from tinygrad_edu.ops.structural import Key

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor

# ------------------------------------------------------------------------------ axes


def t(x: Operand) -> Tensor:
    """The transpose of a matrix; a vector or scalar as it is."""
    x = as_tensor(x)
    if x.ndim > 2:
        raise ShapeError(f"t: shape {x.shape} has more than two axes; use transpose or mT.")
    return permute(x, tuple(reversed(range(x.ndim))))


def ravel(x: Operand) -> Tensor:
    """All elements along one axis."""
    return as_tensor(x).reshape(-1)


def moveaxis(x: Operand, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """NumPy's name of `movedim`."""
    return movedim(x, source, destination)


def unflatten(x: Operand, dim: int, sizes: Sequence[int]) -> Tensor:
    """One axis as several, of these sizes; one of them may be -1. The inverse of `flatten`."""
    x = as_tensor(x)
    axis = one_axis("unflatten", x.shape, dim)
    if not sizes or not x.shape:
        raise ShapeError(f"unflatten: axis {dim} of shape {x.shape} cannot become {sizes}.")
    inside = x.shape[axis : axis + 1]
    probe = np.empty(inside, np.bool_)
    try:
        found = probe.reshape(tuple(sizes)).shape
    except ValueError:
        raise ShapeError(
            f"unflatten: {inside[0]} elements along axis {dim} of shape {x.shape} do not fit into "
            f"{tuple(sizes)}."
        ) from None
    return x.reshape((*x.shape[:axis], *found, *x.shape[axis + 1 :]))


def fliplr(x: Operand) -> Tensor:
    """The columns in reverse order."""
    return flip(x, 1)


def flipud(x: Operand) -> Tensor:
    """The rows in reverse order."""
    return flip(x, 0)


# ------------------------------------------------------------------------------ joins


def hstack(tensors: Sequence[Operand]) -> Tensor:
    """The tensors side by side: along axis 1, vectors and scalars along axis 0."""
    parts = [_at_least(1, x) for x in tensors]
    return cat(parts, 1 if parts and parts[0].ndim > 1 else 0)


def vstack(tensors: Sequence[Operand]) -> Tensor:
    """The tensors one below the other, a vector being a row."""
    return cat([_at_least(2, x) for x in tensors], 0)


def column_stack(tensors: Sequence[Operand]) -> Tensor:
    """The tensors side by side, a vector being a column."""
    parts = [as_tensor(x) for x in tensors]
    return cat([x if x.ndim > 1 else x.reshape(-1, 1) for x in parts], 1)


def concat(tensors: Sequence[Operand], dim: int = 0) -> Tensor:
    """Another name of `cat`."""
    return cat(tensors, dim)


def _at_least(rank: int, x: Operand) -> Tensor:
    """The tensor with new axes in front, if it has too few."""
    x = as_tensor(x)
    return x.reshape((1,) * (rank - x.ndim) + x.shape) if x.ndim < rank else x


# ------------------------------------------------------------------------------ broadcasting


def broadcast_to(x: Operand, shape: Sequence[int]) -> Tensor:
    """`expand`, to a shape given whole."""
    return expand(x, tuple(shape))


def broadcast_tensors(*tensors: Operand) -> tuple[Tensor, ...]:
    """The tensors repeated to the shape that they have together."""
    parts = [as_tensor(x) for x in tensors]
    shape = broadcast("broadcast_tensors", [x.shape for x in parts])
    return tuple(distinct(expand(x, shape), x) for x in parts)


def meshgrid(*tensors: Operand, indexing: str = "ij") -> tuple[Tensor, ...]:
    """The coordinates of a grid: for each vector a tensor in the shape of the grid, which varies
    along the vector's own axis. With `indexing` "xy" the first two axes are swapped.

    Raises:
        ShapeError: A tensor with more than one axis. ArgumentError: Another indexing.
    """
    if len(tensors) == 1 and isinstance(tensors[0], list | tuple):
        tensors = tuple(tensors[0])
    if indexing not in ("ij", "xy"):
        raise ArgumentError(f"meshgrid: indexing is 'ij' or 'xy', not {indexing!r}.")
    rows = [_at_least(1, x) for x in tensors]
    for row in rows:
        if row.ndim > 1:
            raise ShapeError(f"meshgrid: coordinates are vectors, not {row.shape}.")
    shape = tuple(len(row) for row in rows)
    grid = [
        expand(row.reshape([-1 if i == axis else 1 for i in range(len(rows))]), shape)
        for axis, row in enumerate(rows)
    ]
    swap = indexing == "xy" and len(rows) > 1
    return tuple(g.transpose(0, 1) if swap else g for g in grid)


# ------------------------------------------------------------------------------ parts


def select(x: Operand, dim: int, index: int) -> Tensor:
    """The slice at one position along `dim`, without that axis."""
    x = as_tensor(x)
    return part(x, one_axis("select", x.shape, dim), int(index))


def narrow(x: Operand, dim: int, start: int, length: int) -> Tensor:
    """`length` consecutive slices along `dim`, the first at `start`.

    Raises:
        ShapeError: There are not so many.
    """
    x = as_tensor(x)
    axis = one_axis("narrow", x.shape, dim)
    size = x.shape[axis] if x.shape else 0
    first = start + size if start < 0 else start
    if not 0 <= first <= first + length <= size:
        raise ShapeError(
            f"narrow: {length} slices from {start} on do not lie within the {size} along axis "
            f"{dim} of shape {x.shape}."
        )
    return part(x, axis, slice(first, first + length))


def take(x: Operand, index: Operand) -> Tensor:
    """The elements at these positions of the flattened tensor, in the shape of `index`."""
    index = as_tensor(index)
    flat = as_tensor(x).reshape(-1)
    index = index if not index.numel() else index.long()
    return apply(ops.getitem, flat, index, key=Key((Key.ARRAY,)))


def unfold(x: Operand, dimension: int, size: int, step: int) -> Tensor:
    """The windows of `size` elements along an axis, one every `step`: the axis counts the windows,
    and a new last axis the elements of each.

    Raises:
        ArgumentError: A size below 0, or a step below 1. ShapeError: A window that does not fit.
    """
    x = as_tensor(x)
    axis = one_axis("unfold", x.shape, dimension)
    length = x.shape[axis] if x.shape else 1
    if size < 0 or step < 1:
        raise ArgumentError(f"unfold: needs size >= 0 and step >= 1, got {size} and {step}.")
    if size > length:
        raise ShapeError(
            f"unfold: a window of {size} does not fit into axis {dimension} of shape {x.shape}."
        )
    if not x.shape:
        return x.reshape(1)[:size]
    starts = np.arange(0, length - size + 1, step)
    places = starts[:, None] + np.arange(size)
    key = Key((*(slice(None),) * axis, Key.ARRAY))
    return movedim(apply(ops.getitem, x, places, key=key), axis + 1, -1)


@numpy_names
def diff(x: Operand, n: int = 1, dim: int = -1) -> Tensor:
    """The differences of neighbours along `dim`, n times over.

    Raises:
        ArgumentError: A negative n. ShapeError: A scalar.
    """
    x = as_tensor(x)
    axis = one_axis("diff", x.shape, dim)
    if n < 0:
        raise ArgumentError(f"diff: n must not be negative, got {n}.")
    if not x.shape:
        raise ShapeError("diff: a scalar has no neighbours; give it an axis with reshape(1).")
    y = x
    for _ in range(min(n, x.shape[axis])):
        after, before = part(y, axis, slice(1, None)), part(y, axis, slice(None, -1))
        y = after != before if x.dtype.kind == "b" else after - before
    return distinct(y, x)


def trace(x: Operand) -> Tensor:
    """The sum of the diagonal of a matrix."""
    x = as_tensor(x)
    if x.ndim != 2:
        raise ShapeError(f"trace: needs a matrix, got shape {x.shape}; use diagonal.")
    return sum(diagonal(x))


def rot90(x: Operand, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """The plane of two axes turned k times by a quarter, from the first axis towards the second.

    Raises:
        ArgumentError: Not two different axes.
    """
    x = as_tensor(x)
    first, second = (one_axis("rot90", x.shape, d) for d in several(dims))
    if first == second:
        raise ArgumentError(f"rot90: {tuple(dims)} must name two axes of shape {x.shape}.")
    turns = k % 4
    if turns == 2:
        return flip(x, (first, second))
    if turns == 0:
        return distinct(x, x)
    return (
        flip(x, second).transpose(first, second)
        if turns == 1
        else flip(x.transpose(first, second), second)
    )
