"""Functions that pick elements by their positions, or put elements there.

All of them are ``x[key]`` and its transpose with a key that they work out, so they have no
derivative of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, AxisError, DTypeError, ShapeError
from tinygrad_edu.graph.axes import numpy_names, one_axis
from tinygrad_edu.graph.indexing import write
from tinygrad_edu.graph.layout import expand, movedim, part
from tinygrad_edu.graph.node import tracing
from tinygrad_edu.graph.pointwise import where
from tinygrad_edu.graph.reader import apply, as_tensor
from tinygrad_edu.ops.kinds import broadcast
from tinygrad_edu.ops.positions import out_of_range, place_of
from tinygrad_edu.ops.structural import Key

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor

# ------------------------------------------------------------------------------ along one axis


@numpy_names
def gather(x: Operand, dim: int, index: Operand) -> Tensor:
    """For each element of `index`, the element of x at that position along `dim`.

    In two dimensions with dim 1: ``y[i, j] = x[i, index[i, j]]``. The shapes agree in the number of
    axes, and `index` is nowhere larger but along `dim`. Positions are integers from 0 on; as in
    torch, none counts from the end, so a label of -1 is not read by accident.

    Raises:
        IndexingError: A position that x does not have.
        ShapeError: Shapes that do not fit.
        DTypeError: Positions that are no integers.
    """
    x, index = as_tensor(x), as_tensor(index)
    axis = _checked("gather", x, dim, index)
    return along(x, axis, _later("gather", x, axis, index))


@numpy_names
def take_along_dim(x: Operand, indices: Operand, dim: int | None = None) -> Tensor:
    """As `gather`, with shapes that broadcast but for `dim`: what argsort, argmax (with keepdim)
    and topk return fits. Without `dim` both count as flat. Negative positions count from the end.
    """
    x, index = as_tensor(x), as_tensor(indices)
    if dim is None:
        return take_along_dim(x.reshape(-1), index.reshape(-1), 0)
    if x.ndim != index.ndim:
        raise ShapeError(
            f"take_along_dim: {x.shape} and indices {index.shape} must have as many axes."
        )
    axis = one_axis("take_along_dim", x.shape, dim)
    index = where(index < 0, index + x.shape[axis], index)
    rest = broadcast("take_along_dim", [t.shape[:axis] + t.shape[axis + 1 :] for t in (x, index)])
    x, index = (
        expand(t, (*rest[:axis], *t.shape[axis : axis + 1], *rest[axis:])) for t in (x, index)
    )
    return gather(x, axis, index)


@numpy_names
def index_select(x: Operand, dim: int, index: Operand) -> Tensor:
    """The slices of x at these positions along `dim`, in their order, as often as named."""
    x, index = as_tensor(x), as_tensor(index)
    axis = one_axis("index_select", x.shape, dim)
    if index.ndim > 1:
        raise ShapeError(f"index_select: positions are one row of integers, not {index.shape}.")
    if not x.shape:
        return index_select(x.reshape(1), 0, index).reshape(())
    check_positions("index_select", x, axis, index)
    index = _later("index_select", x, axis, index)
    key = Key((*(slice(None),) * axis, Key.ARRAY))
    return apply(ops.getitem, x, index.reshape(-1), key=key)


@numpy_names
def repeat_interleave(x: Operand, repeats: int | Operand, dim: int | None = None) -> Tensor:
    """Each slice along `dim` so often in a row: `repeats` is one number for all or one for each.
    Without `dim` x counts as flat. NumPy's `repeat`.

    Raises:
        ShapeError: Neither one number of repeats nor one for each slice.
        ArgumentError: A number of repeats below 0.
    """
    x = as_tensor(x)
    if dim is None:
        return repeat_interleave(x.reshape(-1), repeats, 0)
    axis = one_axis("repeat_interleave", x.shape, dim)
    times = as_tensor(repeats)._values("repeat_interleave")
    size = x.shape[axis] if x.shape else 1
    if times.dtype.kind not in "iu":
        raise DTypeError(f"repeat_interleave: repeats are integers, not {times.dtype}.")
    if times.shape not in ((), (1,), (size,)):
        raise ShapeError(
            f"repeat_interleave: repeats of shape {times.shape} for {size} slices along axis "
            f"{axis} of shape {x.shape}; give one number, or one for each slice."
        )
    if (times < 0).any():
        raise ArgumentError(f"repeat_interleave: cannot repeat {times.min()} times.")
    return index_select(x, axis, np.repeat(np.arange(size), times))


@numpy_names
def scatter_add(x: Operand, dim: int, index: Operand, src: Operand) -> Tensor:
    """x with the elements of `src` added at the positions `index` along `dim`: the transpose of
    `gather`. In two dimensions with dim 1 it adds ``src[i, j]`` to ``x[i, index[i, j]]``; one that
    is named several times receives all. `src` may be larger than `index`; the rest is left out.

    Raises as `gather` does.
    """
    x, index, src = as_tensor(x), as_tensor(index), as_tensor(src)
    axis = _checked("scatter_add", x, dim, index)
    index = _later("scatter_add", x, axis, index)
    if src.dtype != x.dtype:
        raise DTypeError(
            f"scatter_add: cannot add {src.dtype} to {x.dtype}; convert one with .to()."
        )
    src = _corner("scatter_add", src, index)
    if not x.shape:
        return x + src
    key = Key((Key.ARRAY,) * x.ndim)
    return x + apply(ops.scatter, src, *_grid(index, axis), key=key, shape=x.shape)


@numpy_names
def scatter(x: Operand, dim: int, index: Operand, src: Operand) -> Tensor:
    """As `scatter_add`, but each element replaces what is there; `src` may be a number. Where a
    position is named several times, the last one counts, in value and gradient."""
    x, index = as_tensor(x), as_tensor(index)
    axis = _checked("scatter", x, dim, index)
    index = _later("scatter", x, axis, index)
    if hasattr(src, "shape"):
        src = _corner("scatter", as_tensor(src), index)
    return write(x, tuple(_grid(index, axis)) if x.shape else Ellipsis, src)


def along(x: Tensor, axis: int, index: Tensor) -> Tensor:
    """`gather` with arguments that are known to fit."""
    if not x.shape:
        return expand(x, index.shape)
    return apply(ops.getitem, x, *_grid(index, axis), key=Key((Key.ARRAY,) * x.ndim))


def _grid(index: Tensor, axis: int) -> list[Tensor]:
    """An index for every axis, which together name the places of a gather."""
    grid: list[Tensor] = [as_tensor(row) for row in np.ogrid[tuple(slice(n) for n in index.shape)]]
    grid[axis] = index
    return grid


def _checked(name: str, x: Tensor, dim: int, index: Tensor) -> int:
    """The axis, if the positions fit x."""
    axis = one_axis(name, x.shape, dim)
    if max(x.ndim, 1) != max(index.ndim, 1) or any(
        m > n for i, (m, n) in enumerate(zip(index.shape, x.shape, strict=False)) if i != axis
    ):
        raise ShapeError(
            f"{name}: an index of shape {index.shape} does not fit {x.shape}: it needs as many "
            f"axes, and none may be longer but axis {dim}."
        )
    check_positions(name, x, axis, index)
    return axis


def check_positions(name: str, x: Tensor, axis: int, index: Tensor) -> None:
    size = x.shape[axis] if x.shape else 1
    if index.dtype.kind not in "iu":
        if not index.numel():  # an empty list says nothing about what it holds
            return
        raise DTypeError(f"{name}: positions are integers, not {index.dtype}; use .long().")
    if index.node.is_abstract or not index.numel():
        return
    lowest, highest = int(index.node.data.min()), int(index.node.data.max())
    if lowest < 0 or highest >= size:
        raise out_of_range(lowest, highest, size, False, name, place_of(axis, x.shape))


def _later(name: str, x: Tensor, axis: int, index: Tensor) -> Tensor:
    """The positions, in the trace of a step with an op that checks them at each call."""
    if not (index.node.is_abstract and tracing() is not None and x.shape):
        return index
    where = place_of(axis, x.shape)
    how = {"size": x.shape[axis], "wraps": False, "ignored": None}
    return apply(ops.positions, index, name=name, where=where, **how)


def _corner(name: str, src: Tensor, index: Tensor) -> Tensor:
    """As much of `src` as there are positions."""
    if src.ndim != index.ndim or any(m > n for m, n in zip(index.shape, src.shape, strict=True)):
        raise ShapeError(
            f"{name}: an index of shape {index.shape} names more places than src of shape "
            f"{src.shape} has elements for."
        )
    for axis, size in enumerate(index.shape):
        if size < src.shape[axis]:
            src = part(src, axis, slice(size))
    return src


# ------------------------------------------------------------------------------ diagonals


def diagonal(x: Operand, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonals of the matrices that axes dim1 and dim2 span, along a new last axis; `offset`
    picks the one that many places to the right."""
    x = as_tensor(x)
    axes = one_axis("diagonal", x.shape, dim1), one_axis("diagonal", x.shape, dim2)
    if x.ndim < 2 or axes[0] == axes[1]:
        raise AxisError(
            f"diagonal: axes {dim1} and {dim2} of shape {x.shape} span no matrix; name two."
        )
    return _read_diagonal(movedim(x, axes, (-2, -1)), offset)


def diag(x: Operand, diagonal: int = 0) -> Tensor:
    """The square matrix with this vector as one of its diagonals, zero elsewhere; of a matrix, the
    vector on that diagonal."""
    x = as_tensor(x)
    if x.ndim == 2:
        return _read_diagonal(x, diagonal)
    if x.ndim != 1:
        raise ShapeError(f"diag: needs a vector or a matrix, got {x.shape}; use diagonal.")
    size = x.shape[0] + abs(diagonal)
    places = _diagonal(diagonal, size, size)
    return apply(ops.scatter, x, *places, key=Key((Key.ARRAY, Key.ARRAY)), shape=(size, size))


def _read_diagonal(x: Tensor, offset: int) -> Tensor:
    """A diagonal of the matrices of the last two axes."""
    places = _diagonal(offset, *x.shape[-2:])
    return apply(ops.getitem, x, *places, key=Key((Ellipsis, Key.ARRAY, Key.ARRAY)))


def _diagonal(offset: int, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """The positions on a diagonal of a matrix."""
    top, left = max(-offset, 0), max(offset, 0)
    along = np.arange(max(min(rows - top, columns - left), 0))
    return top + along, left + along


def tril(x: Operand, diagonal: int = 0) -> Tensor:
    """The matrices of the last two axes with zeros above a diagonal."""
    return _triangle("tril", x, diagonal)


def triu(x: Operand, diagonal: int = 0) -> Tensor:
    """The matrices of the last two axes with zeros below a diagonal."""
    return _triangle("triu", x, diagonal)


def _triangle(name: str, x: Operand, diagonal: int) -> Tensor:
    x = as_tensor(x)
    if x.ndim < 2:
        raise ShapeError(f"{name}: shape {x.shape} has no matrix in its last two axes.")
    rows, columns = x.shape[-2:]
    lower = np.tri(rows, columns, diagonal if name == "tril" else diagonal - 1, np.bool_)
    zero = np.zeros((), x.dtype)  # a bare 0 would make integers of truth values
    return where(lower, x, zero) if name == "tril" else where(lower, zero, x)
