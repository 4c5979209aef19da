"""Reading and assigning ``x[key]``: NumPy's basic and advanced keys, torch's order of axes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.errors import DTypeError, IndexingError, ShapeError
from tinygrad_edu.graph.layout import expand, movedim
from tinygrad_edu.graph.pointwise import where
from tinygrad_edu.graph.reader import apply, as_tensor, to_array
from tinygrad_edu.ops.structural import Key

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Tensor


def parse(x: Tensor, key: Any) -> tuple[Key, list[Tensor]]:
    """Split a key into its fixed parts and its index arrays. A boolean mask stands for the
    positions where it holds."""
    parts = [_part(x, part) for part in (key if isinstance(key, tuple) else (key,))]
    fixed: list[Any] = []
    indices: list[Tensor] = []
    axis = 0
    for position, part in enumerate(parts):
        if _is_array(part):
            arrays = _positions(x, part, axis) if part.dtype.kind == "b" else (part,)
            fixed.extend([Key.ARRAY] * len(arrays))
            indices.extend(arrays)
        else:
            fixed.append(part)
        axis += _axes_taken(part)
        if part is Ellipsis:  # the rest of the key counts from the last axis
            axis = x.ndim - sum(_axes_taken(rest) for rest in parts[position + 1 :])
    return Key(tuple(fixed)), indices


def _part(x: Tensor, part: Any) -> Any:
    """One part of a key: a slice, an integer, None, ... or a tensor of integers or truth values."""
    if isinstance(part, slice) and part.step is not None and not operator.index(part.step):
        raise IndexingError(f"getitem: {part} has step 0, which leads nowhere.")
    if part is None or part is Ellipsis or isinstance(part, slice):
        return part
    if isinstance(part, int | np.integer) and not isinstance(part, bool):
        return int(part)
    try:
        array = as_tensor(part)
    except DTypeError as error:
        raise IndexingError(f"getitem: {part!r} is no index: {error}") from None
    if not array.numel() and isinstance(part, Sequence):
        return array.long()  # an empty list says nothing about what it holds
    if array.dtype.kind not in "iub" or (array.dtype.kind == "b" and not array.shape):
        raise IndexingError(
            f"getitem: shape {x.shape} cannot be indexed by {array.dtype} {array.shape}; indices "
            "are integers, slices, None, ... or boolean masks with at least one axis."
        )
    return array


def _is_array(part: Any) -> bool:
    return not (part is None or part is Ellipsis or isinstance(part, (slice, int)))


def _axes_taken(part: Any) -> int:
    """How many axes of the tensor this part of a key addresses (an Ellipsis: by itself none)."""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if _is_array(part) and part.dtype.kind == "b" else 1


def _positions(x: Tensor, mask: Tensor, axis: int) -> tuple[Tensor, ...]:
    """Where the mask holds, as an index array for each of its axes."""
    masked = x.shape[axis : axis + mask.ndim]
    if mask.shape != masked:
        raise IndexingError(
            f"getitem: a mask of shape {mask.shape} does not fit axes {axis} to "
            f"{axis + mask.ndim - 1} of shape {x.shape}; the sizes must be equal."
        )
    return tuple(as_tensor(i) for i in np.nonzero(mask._values("a boolean index")))


def _misplaced(x: Tensor, key: Any, parsed: Key) -> tuple[range, range] | None:
    """Where NumPy puts the axes of the index arrays in the result of ``x[key]``, and where torch
    does; None if they agree.

    Index arrays with a slice between them have their axes in front. To NumPy an integer is such an
    array, so that of ``x[0, :, [1, 2]]`` the first axis has size 2; to torch it has been taken out
    before (as if by select), and what is left, ``x[0][:, [1, 2]]``, keeps its order."""
    if parsed.is_basic or len(parsed.parts) == 1:
        return None
    parts = [_part(x, part) for part in (key if isinstance(key, tuple) else (key,))]
    arrays = [i for i, part in enumerate(parts) if _is_array(part) and part.shape]
    if not arrays or len(parts) == len(arrays):
        return None
    rest = x.ndim - sum(map(_axes_taken, parts))  # what an Ellipsis stands for
    kept = [
        0 if isinstance(part, int) or _is_array(part) else rest if part is Ellipsis else 1
        for part in parts
    ]
    single = [i for i, part in enumerate(parts) if isinstance(part, int) or _is_array(part)]
    apart = len(single) != single[-1] - single[0] + 1
    if not apart or any(kept[arrays[0] : arrays[-1]]):
        return None
    place = sum(kept[: arrays[0]])
    axes = max(1 if parts[i].dtype.kind == "b" else parts[i].ndim for i in arrays)
    return (range(axes), range(place, place + axes)) if place else None


def read(x: Tensor, key: Any) -> Tensor:
    """x[key] as a recorded op."""
    parsed, indices = parse(x, key)
    found = apply(ops.getitem, x, *indices, key=parsed)
    misplaced = _misplaced(x, key, parsed)
    return movedim(found, *misplaced) if misplaced else found


def write(x: Tensor, key: Any, value: Any) -> Tensor:
    """A copy of `x` in which ``x[key]`` is `value`, differentiable in both."""
    mask = _whole_mask(x, key)
    if mask is not None and np.size(value) == 1:  # one number: how many places need not be known
        return where(mask, fit("setitem", x, value, ()), x)
    parsed, indices = parse(x, key)
    place = {"key": parsed, "shape": x.shape}
    target, _ = ops.getitem.infer(x, *indices, key=parsed)
    misplaced = _misplaced(x, key, parsed)
    if misplaced:
        numpys, torchs = misplaced
        shape = [n for axis, n in enumerate(target) if axis not in numpys]
        shape[torchs.start : torchs.start] = target[: len(numpys)]
        value = movedim(fit("setitem", x, value, tuple(shape)), torchs, numpys)
    else:
        value = fit("setitem", x, value, target)
    written = apply(ops.scatter, np.ones(target, np.bool_), *indices, **place)
    if not parsed.is_basic:
        # Where an element is addressed several times NumPy keeps the last value written to it; the
        # others must not add up, nor receive gradient.
        value = where(apply(ops.last_writer, *indices, **place), value, np.zeros((), x.dtype))
    return where(written, apply(ops.scatter, value, *indices, **place), x)


def _whole_mask(x: Tensor, key: Any) -> Tensor | None:
    """The key as a tensor, if it is one boolean mask in the shape of x."""
    if isinstance(key, bool | tuple | list) or not hasattr(key, "dtype"):
        return None
    mask = as_tensor(key)
    return mask if mask.dtype.kind == "b" and mask.shape == x.shape != () else None


def fit(name: str, x: Tensor, value: Any, shape: tuple[int, ...]) -> Tensor:
    """The value in the tensor's dtype and the shape of the place it goes to; leading axes of size 1
    are dropped, as NumPy and torch do."""
    if not hasattr(value, "dtype"):
        value = to_array(value, x.dtype, name=name)
    value = as_tensor(value).to(x.dtype)
    while value.ndim > len(shape) and value.shape[0] == 1:
        value = value.reshape(value.shape[1:])
    try:
        return expand(value, shape)
    except ShapeError:
        raise ShapeError(
            f"{name}: a value of shape {value.shape} does not broadcast to the shape {shape} of "
            f"the place it is assigned to, in a tensor of shape {x.shape}."
        ) from None
