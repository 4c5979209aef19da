"""Functions that give the same elements another shape or order, or join tensors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, AxisError, ShapeError
from tinygrad_edu.graph.axes import (
    all_axes,
    numpy_names,
    one_axis,
    resolve_reshape,
    several,
    unpack,
)
from tinygrad_edu.graph.reader import apply, as_tensor
from tinygrad_edu.ops.structural import Key

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor


def reshape(x: Operand, *shape: int | Sequence[int]) -> Tensor:
    """The same elements under another shape; one size may be -1."""
    x = as_tensor(x)
    return apply(ops.reshape, x, shape=resolve_reshape(x.shape, unpack(shape)))


def distinct(y: Tensor, x: Tensor) -> Tensor:
    """y; where nothing was to do and it still is x, a handle of its own on the same elements. (Or
    arithmetic in place on a result would change what the name of the operand stands for.)"""
    return apply(ops.reshape, y, shape=y.shape) if y is x else y


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


def swapaxes(x: Operand, axis0: int, axis1: int) -> Tensor:
    """NumPy's name of `transpose`."""
    return transpose(x, axis0, axis1)


def movedim(x: Operand, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Put the axes `source` in the places `destination`; the others keep their order."""
    x = as_tensor(x)
    start, end = (
        [one_axis("movedim", x.shape, d) for d in several(dims)] for dims in (source, destination)
    )
    if len(start) != len(end) or len(set(start)) != len(start) or len(set(end)) != len(end):
        raise AxisError(
            f"movedim: {source} and {destination} must name as many axes of shape {x.shape}, each "
            "once."
        )
    order = [axis for axis in range(x.ndim) if axis not in start]
    for place, axis in sorted(zip(end, start, strict=True)):
        order.insert(place, axis)
    return permute(x, order if x.shape else ())


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


# ------------------------------------------------------------------------------ parts


def part(x: Tensor, axis: int, selected: slice | int) -> Tensor:
    """What a slice or position selects along one axis."""
    return apply(ops.getitem, x, key=Key((*(slice(None),) * axis, selected)))


@numpy_names
def split(
    x: Operand, split_size_or_sections: int | Sequence[int], dim: int = 0
) -> tuple[Tensor, ...]:
    """Consecutive parts along `dim`: of one size (the last may be smaller), or of the given sizes,
    which must add up to that of the axis."""
    x = as_tensor(x)
    axis = _true_axis("split", x, dim)
    size, sections = x.shape[axis], split_size_or_sections
    if not isinstance(sections, Sequence):
        if sections < 1 and (sections or size):
            raise ArgumentError(f"split: parts have at least one element, not {sections}.")
        count = max(-(-size // sections), 1) if sections else 1
        ends = [min((i + 1) * sections, size) for i in range(count)]
    else:
        ends = list(itertools.accumulate(sections))
        if min(sections, default=0) < 0 or (ends or [0])[-1] != size:
            raise ShapeError(
                f"split: parts of sizes {tuple(sections)} do not add up to {size}, the size of "
                f"axis {dim} of shape {x.shape}."
            )
    return tuple(part(x, axis, slice(a, b)) for a, b in zip([0, *ends], ends, strict=False))


@numpy_names
def chunk(x: Operand, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`chunks` consecutive parts along `dim` of equal size; where that is not possible the last is
    smaller, or there are fewer, as in torch."""
    x = as_tensor(x)
    if chunks < 1:
        raise ArgumentError(f"chunk: needs at least one chunk, not {chunks}.")
    axis = _true_axis("chunk", x, dim)
    size = x.shape[axis]
    return split(x, -(-size // chunks) if size else [0] * chunks, axis)


@numpy_names
def unbind(x: Operand, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along `dim`, without that axis."""
    x = as_tensor(x)
    axis = _true_axis("unbind", x, dim)
    return tuple(part(x, axis, i) for i in range(x.shape[axis]))


def _true_axis(name: str, x: Tensor, dim: int) -> int:
    """An axis that is there: a scalar has none."""
    if not x.shape:
        raise ShapeError(f"{name}: a scalar has no axis; give it one with reshape(1).")
    return one_axis(name, x.shape, dim)


# ------------------------------------------------------------------------------ order, repetition


def flip(x: Operand, dims: int | Sequence[int], *more: int) -> Tensor:
    """The elements in reverse order along these axes."""
    x = as_tensor(x)
    axes = all_axes("flip", x.shape, (*several(dims), *more))
    backwards = tuple(slice(None, None, -1 if i in axes else 1) for i in range(x.ndim))
    return apply(ops.getitem, x, key=Key(backwards))


def roll(
    x: Operand, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None
) -> Tensor:
    """The elements moved on by `shifts` along `dims`; those that leave at the end come back at the
    start. Without `dims` the tensor is rolled as if it were flat."""
    x = as_tensor(x)
    if dims is None:
        return roll(x.reshape(-1), shifts, 0).reshape(x.shape)
    steps, axes = several(shifts), several(dims)
    if len(steps) != len(axes):
        raise ArgumentError(f"roll: {len(steps)} shifts for {len(axes)} dims; give one for each.")
    y = x
    for step, dim in zip(steps, axes, strict=True):
        axis = _true_axis("roll", x, dim)
        cut = -step % max(x.shape[axis], 1)
        if cut:
            y = cat([part(y, axis, slice(cut, None)), part(y, axis, slice(cut))], axis)
    return distinct(y, x)


def repeat(x: Operand, *sizes: int | Sequence[int]) -> Tensor:
    """The tensor beside copies of itself, `sizes` times along each axis; sizes in front of those of
    its axes make new ones. (torch's repeat: NumPy's repeats each element.)"""
    x = as_tensor(x)
    times = unpack(sizes)
    if len(times) < x.ndim or min(times, default=0) < 0:
        raise ShapeError(
            f"repeat: {times} does not say how often to repeat each of the {x.ndim} axes of shape "
            f"{x.shape}; tile fills in ones in front."
        )
    shape = (1,) * (len(times) - x.ndim) + x.shape
    copies = tuple(n for pair in zip(times, shape, strict=True) for n in pair)
    apart = tuple(n for size in shape for n in (1, size))
    return (
        x.reshape(apart).expand(copies).reshape([n * m for n, m in zip(times, shape, strict=True)])
    )


def tile(x: Operand, dims: int | Sequence[int], *more: int) -> Tensor:
    """As `repeat`; axes that `dims` says nothing about, the first ones, are not repeated."""
    x = as_tensor(x)
    times = (*several(dims), *more)
    return repeat(x, (1,) * (x.ndim - len(times)) + times)
