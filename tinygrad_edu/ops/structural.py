"""Linear ops that move, add or repeat elements: each beside its transpose.

Axes are normalised, non-negative tuples by the time an op sees them (`tinygrad_edu.graph` accepts
torch's and NumPy's spellings).
"""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from tinygrad_edu.errors import IndexingError, ShapeError
from tinygrad_edu.ops import native
from tinygrad_edu.ops.dtypes import boolean, int64, is_float
from tinygrad_edu.ops.kinds import Cast, index, join, linear, selection, sum_to
from tinygrad_edu.ops.native import is_array
from tinygrad_edu.ops.positions import indexed_axes, place_of, positions
from tinygrad_edu.ops.silence import silently


def reduced(shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> tuple[int, ...]:
    """The shape after reducing over `axes`."""
    if keepdims:
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


# ------------------------------------------------------------------------------ sums

_BLOCK = 128
"""Numbers added naively before partial sums are combined: NumPy's own pairwise block length."""


_reduce: Any = np.add.reduce


def add_up(x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> Any:
    """The sum over `axes`, with a relative error that does not grow with the number of elements
    (more than its logarithm).

    NumPy adds pairwise along the axis that is fastest in memory, or along all at once if everything
    is summed. Over any other axis it keeps one running total, in float32 for float32; where many
    numbers would go into it, the total is kept in float64 instead.
    """
    if x.dtype.itemsize < 8 and is_float(x.dtype) and _running(x, axes) > _BLOCK:
        return _reduce(x, axis=axes, keepdims=keepdims, dtype=np.float64).astype(x.dtype)
    return _reduce(x, axis=axes, keepdims=keepdims, dtype=x.dtype)  # int32 stays int32


def _running(x: np.ndarray, axes: tuple[int, ...]) -> int:
    """How many (pairwise) sums NumPy adds to each total one after another."""
    count = math.prod([x.shape[axis] for axis in axes])
    if count <= _BLOCK or (len(axes) == x.ndim and x.flags.forc):
        return 1
    strides = [builtins.abs(stride) for stride in x.strides]
    fastest = min((i for i in range(x.ndim) if x.shape[i] > 1), key=strides.__getitem__)
    return int(count // x.shape[fastest] if fastest in axes else count)


@linear(
    shape=lambda x, axes, keepdims: reduced(x.shape, axes, keepdims),
    transpose=lambda m, g, x, axes, keepdims: m.expand(
        m.reshape(g, shape=reduced(x.shape, axes, True)), shape=x.shape
    ),
)
def sum(x, axes, keepdims):
    """The sum over `axes`."""
    return silently(add_up, x, axes, keepdims)


def _again_cumsum(m, x, axis, reverse):
    return m.cumsum(x, axis=axis, reverse=reverse)


@linear(
    shape=lambda x, axis, reverse: x.shape,
    transpose=lambda m, g, x, axis, reverse: m.cumsum(g, axis=axis, reverse=not reverse),
)
def cumsum(x, axis, reverse):
    """The sum along `axis` of each element and all before it (with `reverse`: all after it)."""
    found = native.run(_again_cumsum, (x,), axis=axis, reverse=reverse) if is_array(x) else None
    if found is not None:
        return found[0]
    narrow = is_float(x.dtype) and x.dtype.itemsize < 8  # a running total, so kept in float64
    order = (slice(None),) * axis + (slice(None, None, -1 if reverse else 1),)
    total = silently(np.cumsum, x[order], axis, np.float64 if narrow else x.dtype)
    return silently(total[order].astype, x.dtype, copy=False)


@linear(
    shape=lambda x, shape: shape, transpose=lambda m, g, x, shape: sum_to(m, g, x.shape), view=True
)
def expand(x, shape):
    """Repeat along axes of size 1 (and new leading axes) until the shape is `shape`."""
    return np.broadcast_to(x, shape)


# ------------------------------------------------------------------------------ layout


@linear(
    shape=lambda x, shape: shape,
    transpose=lambda m, g, x, shape: m.reshape(g, shape=x.shape),
    view=True,
)
def reshape(x, shape):
    """The same elements in row-major order under another shape."""
    return np.reshape(x, shape)


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    inverse = [0] * len(axes)
    for position, axis in enumerate(axes):
        inverse[axis] = position
    return tuple(inverse)


@linear(
    shape=lambda x, axes: tuple(x.shape[axis] for axis in axes),
    transpose=lambda m, g, x, axes: m.permute(g, axes=_inverse(axes)),
    view=True,
)
def permute(x, axes):
    """Reorder the axes: axis i of the result is axis `axes[i]` of x."""
    return np.transpose(x, axes)


# ------------------------------------------------------------------------------ indexing


class Key:
    """An index expression whose integer arrays are operands of the op: `parts` holds slices,
    integers, None and Ellipsis, and `Key.ARRAY` where the next index operand goes."""

    __slots__ = ("parts",)
    ARRAY = object()

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts = parts

    def fill(self, indices: tuple[Any, ...]) -> tuple[Any, ...]:
        """The expression NumPy understands."""
        rest = iter(indices)
        return tuple(next(rest) if part is Key.ARRAY else part for part in self.parts)

    @property
    def is_basic(self) -> bool:
        """No index arrays: every element is addressed at most once."""
        return Key.ARRAY not in self.parts

    def checked(self, name: str, indices: tuple[Any, ...], shape: tuple[int, ...]) -> None:
        """Raise an `IndexingError` for a position that an array of this shape does not have."""
        for i, axis in zip(indices, indexed_axes(self.parts, Key.ARRAY, len(shape)), strict=True):
            where = place_of(axis, shape)
            positions.forward(i, size=shape[axis], wraps=True, ignored=None, name=name, where=where)

    def __repr__(self) -> str:
        return ", ".join("array" if part is Key.ARRAY else repr(part) for part in self.parts)


def _addressed(shape, indices, key):
    """The shape of what `key` addresses in an array of `shape`."""
    probe = np.broadcast_to(np.empty((), np.bool_), shape)
    filled = key.fill(tuple(np.zeros(i.shape, np.intp) for i in indices))
    try:
        return probe[filled].shape
    except IndexError as error:
        raise IndexingError(
            f"getitem: index [{key}] does not fit shape {shape}: {error}."
        ) from None


@linear(
    shape=lambda x, *indices, key: _addressed(x.shape, indices, key),
    transpose=lambda m, g, x, *indices, key: m.scatter(g, *indices, key=key, shape=x.shape),
)
def getitem(x, *indices, key):
    """x[key], NumPy's basic and advanced indexing."""
    try:
        return x[key.fill(indices)]
    except IndexError:
        key.checked("getitem", indices, x.shape)
        raise


@linear(
    shape=lambda x, *indices, key, shape: shape,
    transpose=lambda m, g, x, *indices, key, shape: m.getitem(g, *indices, key=key),
)
def scatter(x, *indices, key, shape):
    """Zeros of `shape` with x added at `key`; an element addressed twice receives both."""
    result = np.zeros(shape, x.dtype)
    if key.is_basic:
        result[key.fill(indices)] = x
    else:
        try:
            silently(np.add.at, result, key.fill(indices), x)
        except IndexError:
            key.checked("scatter", indices, shape)
            raise
    return result


@index(shape=lambda *indices, key, shape: _addressed(shape, indices, key), dtype=boolean)
def last_writer(*indices, key, shape):
    """Whether each element written to `key` of an array of `shape` is the one that stays: of
    several addressed to one place it is the last."""
    filled = key.fill(indices)
    target = _addressed(shape, indices, key)
    order = np.arange(math.prod(target)).reshape(target)
    last = np.empty(shape, np.int64)
    last[filled] = order
    return last[filled] == order


# ------------------------------------------------------------------------------ joining


def _joined_shape(*xs, axis):
    first = xs[0].shape
    for x in xs:
        rest = x.shape[:axis] + x.shape[axis + 1 :]
        if len(x.shape) != len(first) or rest != first[:axis] + first[axis + 1 :]:
            listed = " and ".join(str(x.shape) for x in xs)
            raise ShapeError(
                f"cat: shapes {listed} may differ along axis {axis} only; reshape or expand the "
                "other axes to agree, or use stack for a new axis."
            )
    return (*first[:axis], builtins.sum(x.shape[axis] for x in xs), *first[axis + 1 :])


def _own_slice(m, g, xs, i, axis):
    start = builtins.sum(x.shape[axis] for x in xs[:i])
    span = slice(start, start + xs[i].shape[axis])
    return m.getitem(g, key=Key((slice(None),) * axis + (span,)))


@join(shape=_joined_shape, transpose=_own_slice)
def concat(*xs, axis):
    """The operands one after another along `axis`."""
    return np.concatenate(xs, axis)


# ------------------------------------------------------------------------------ selecting


@selection(shape=lambda x, axes, keepdims: reduced(x.shape, axes, keepdims))
def amax(x, axes, keepdims):
    """The largest element over `axes`; ties share the gradient evenly."""
    return np.max(x, axis=axes, keepdims=keepdims)


@selection(shape=lambda x, axes, keepdims: reduced(x.shape, axes, keepdims))
def amin(x, axes, keepdims):
    """The smallest element over `axes`; ties share the gradient evenly."""
    return np.min(x, axis=axes, keepdims=keepdims)


@index(shape=lambda x, axis, keepdims: reduced(x.shape, (axis,), keepdims), dtype=int64)
def argmax(x, axis, keepdims):
    """The position of the first largest element along `axis`."""
    return np.argmax(x, axis=axis, keepdims=keepdims)


@index(shape=lambda x, axis, keepdims: reduced(x.shape, (axis,), keepdims), dtype=int64)
def argmin(x, axis, keepdims):
    """The position of the first smallest element along `axis`."""
    return np.argmin(x, axis=axis, keepdims=keepdims)


_WORTH_BUCKETS = 256
"""Elements along an axis from which a radix sort is faster than NumPy's."""


def _again_argsort(m, x, axis, descending):
    return m.argsort(x, axis=axis, descending=descending)


@index(shape=lambda x, axis, descending: x.shape, dtype=int64)
def argsort(x, axis, descending):
    """The positions that sort x along `axis`. Ties keep their order; NaN counts as the largest."""
    if is_array(x) and x.shape[axis] >= _WORTH_BUCKETS:
        found = native.run(_again_argsort, (x,), axis=axis, descending=descending)
        if found is not None:
            return found[0]
    if not descending:
        return np.argsort(x, axis, kind="stable")
    # Sorted backwards and read from the end, so that ties keep their order here, too.
    return x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)


cast = Cast("cast", "The same values in another dtype.")
