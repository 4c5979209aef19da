"""Finding elements by what they are, and adding to or replacing whole slices by position.

What is found decides the shape of the result: `nonzero`, `masked_select` and `unique` look at
values, which a step that is traced does not have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.errors import DTypeError, ShapeError
from tinygrad_edu.graph.arrangement import broadcast_tensors
from tinygrad_edu.graph.axes import one_axis
from tinygrad_edu.graph.indexing import read, write
from tinygrad_edu.graph.picking import check_positions
from tinygrad_edu.graph.reader import apply, as_tensor
from tinygrad_edu.ops import dtypes
from tinygrad_edu.ops.structural import Key

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor

# ------------------------------------------------------------------------------ by value


def nonzero(x: Operand, *, as_tuple: bool = False) -> Tensor | tuple[Tensor, ...]:
    """Where x is not 0: a row of indices for each such element, (count, axes); with `as_tuple` one
    index array for each axis, as a key of x takes them."""
    x = as_tensor(x)
    found = np.nonzero(np.atleast_1d(x._values("nonzero")))
    if as_tuple:
        return tuple(as_tensor(i) for i in found)
    return as_tensor(np.stack(found, axis=1) if x.shape else np.empty((len(found[0]), 0), np.int64))


def argwhere(x: Operand) -> Tensor:
    """NumPy's name of `nonzero`."""
    return nonzero(x)  # type: ignore[return-value]


def masked_select(x: Operand, mask: Operand) -> Tensor:
    """The elements of x where the (bool) mask holds, along one axis; the two broadcast.

    Raises:
        DTypeError: A mask that is not bool.
    """
    x, mask = as_tensor(x), as_tensor(mask)
    if mask.dtype != dtypes.boolean:
        raise DTypeError(f"masked_select: the mask is {mask.dtype}, not bool; compare first.")
    x, mask = broadcast_tensors(x, mask)
    return read(x.reshape(-1), mask.reshape(-1))


def unique(
    x: Operand,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements in ascending order (whether `sorted` or not), as constants; along
    `dim`, the different slices.

    Returns:
        The elements; with `return_inverse` also where among them each element of x is, with
        `return_counts` also how often each occurs.
    """
    x = as_tensor(x)
    axis = None if dim is None else one_axis("unique", x.shape, dim)
    values, inverse, counts = np.unique(
        x._values("unique"), return_inverse=True, return_counts=True, axis=axis, equal_nan=False
    )
    shape = x.shape if dim is None else (-1,)
    wanted = [True, return_inverse, return_counts]
    found = [values, np.asarray(inverse).reshape(shape), counts]
    results = tuple(as_tensor(each) for each, asked in zip(found, wanted, strict=True) if asked)
    return results if len(results) > 1 else results[0]


# ------------------------------------------------------------------------------ by position


def index_add(x: Operand, dim: int, index: Operand, source: Operand, *, alpha: float = 1) -> Tensor:
    """x with alpha times the slices of `source` added to the slices at these positions along `dim`;
    a position that is named several times receives all.

    Raises:
        ShapeError: Slices in another number than the positions, or of another shape.
        DTypeError: Another dtype than that of x. IndexingError: A position that x does not have.
    """
    x, source = as_tensor(x), as_tensor(source)
    key, index = _slices("index_add", x, dim, index)
    if source.dtype != x.dtype:
        raise DTypeError(f"index_add: cannot add {source.dtype} to {x.dtype}; use .to().")
    _check_slices("index_add", x, dim, index, source)
    added = source if alpha == 1 else alpha * source
    if not x.shape:
        return x + added.sum()
    return x + apply(ops.scatter, added, index, key=Key(key), shape=x.shape)


def index_copy(x: Operand, dim: int, index: Operand, source: Operand) -> Tensor:
    """x with the slices of `source` in place of those at these positions along `dim`; of a position
    that is named several times the last one counts. Raises as `index_add` does."""
    x, source = as_tensor(x), as_tensor(source)
    key, index = _slices("index_copy", x, dim, index)
    if source.dtype != x.dtype:
        raise DTypeError(f"index_copy: cannot copy {source.dtype} to {x.dtype}; use .to().")
    _check_slices("index_copy", x, dim, index, source)
    if not x.shape:
        return write(x, Ellipsis, source.reshape(-1)[-1])
    return write(x, (*key[:-1], index), source)


def index_fill(x: Operand, dim: int, index: Operand, value: Operand) -> Tensor:
    """x with one number in all slices at these positions along `dim`.

    Raises:
        ShapeError: A value that is no number. IndexingError: A position that x does not have.
    """
    x = as_tensor(x)
    key, index = _slices("index_fill", x, dim, index)
    if np.ndim(value.node.data if hasattr(value, "node") else value):
        raise ShapeError("index_fill: the value is one number; index_copy takes slices.")
    return write(x, (*key[:-1], index) if x.shape else Ellipsis, value)


def _slices(name: str, x: Tensor, dim: int, index: Operand) -> tuple[tuple[Any, ...], Tensor]:
    """The key of the slices at these positions along an axis, and the positions as a row."""
    axis, index = one_axis(name, x.shape, dim), as_tensor(index)
    if index.ndim > 1:
        raise ShapeError(f"{name}: positions are one row of integers, not {index.shape}.")
    check_positions(name, x, axis, index)
    row = index.reshape(-1)
    return (*(slice(None),) * axis, Key.ARRAY), row if row.numel() else row.long()


def _check_slices(name: str, x: Tensor, dim: int, index: Tensor, source: Tensor) -> None:
    axis = one_axis(name, x.shape, dim)
    wanted = (*x.shape[:axis], len(index), *x.shape[axis + 1 :]) if x.shape else source.shape
    if source.shape != wanted:
        raise ShapeError(
            f"{name}: {len(index)} positions along axis {dim} of shape {x.shape} need a source of "
            f"shape {wanted}, got {source.shape}."
        )
