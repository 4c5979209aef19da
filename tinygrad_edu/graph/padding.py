"""`pad`: more elements around those that are there, or fewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, ShapeError
from tinygrad_edu.graph.axes import unpack
from tinygrad_edu.graph.layout import distinct, part
from tinygrad_edu.graph.pointwise import masked_fill
from tinygrad_edu.graph.reader import apply, as_tensor
from tinygrad_edu.ops.structural import Key

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor


def pad(
    x: Operand, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """x with `pad` elements more at either end of each axis, as torch.nn.functional.pad.

    `pad` starts from the last axis: (left, right) of the last, then of the one before, and so on;
    axes it does not reach stay as they are. A negative number takes elements away. What is added
    is, by mode:

    * "constant": `value` (0),
    * "reflect": the elements mirrored at the outermost, which is not repeated: c b | a b c | b a,
    * "replicate": the outermost element: a a | a b c | c c,
    * "circular": what follows if the axis is closed to a ring: b c | a b c | a b.

    Raises:
        ArgumentError: An unknown mode, a value for a mode that has none.
        ShapeError: More pairs than axes, an odd number, more elements than a mode can supply, or
            more taken away than there are.
    """
    x = as_tensor(x)
    pad = unpack((pad,))
    if len(pad) % 2 or len(pad) > 2 * x.ndim:
        raise ShapeError(
            f"pad: {tuple(pad)} must hold two numbers for each of the last axes of shape "
            f"{x.shape}, the last axis first."
        )
    sides = {x.ndim - 1 - i: (pad[2 * i], pad[2 * i + 1]) for i in range(len(pad) // 2)}
    for axis, (left, right) in sides.items():
        if x.shape[axis] + min(left, 0) + min(right, 0) < 0:
            raise ShapeError(
                f"pad: {left} and {right} take more away than axis {axis} of shape {x.shape} has."
            )
    if mode == "constant":
        return _surrounded(x, sides, 0 if value is None else value)
    if mode not in _POSITIONS:
        raise ArgumentError(
            f"pad: mode is 'constant', 'reflect', 'replicate' or 'circular', not {mode!r}."
        )
    if value not in (None, 0):
        raise ArgumentError(f"pad: a value belongs to mode 'constant', not {mode!r}.")
    y = x
    for axis, (left, right) in sides.items():
        if left or right:
            y = _continued(y, axis, left, right, mode)
    return distinct(y, x)


Sides = dict[int, tuple[int, int]]
"""By axis, how many elements to add at its start and end."""


def _cropped(x: Tensor, axis: int, left: int, right: int) -> Tensor:
    """The axis without the elements that negative numbers take away."""
    start, end = max(-left, 0), x.shape[axis] + min(right, 0)
    return x if (start, end) == (0, x.shape[axis]) else part(x, axis, slice(start, end))


def _surrounded(x: Tensor, sides: Sides, value: float) -> Tensor:
    """x with elements of one value around it."""
    inside, shape = [slice(None)] * x.ndim, list(x.shape)
    for axis, (left, right) in sides.items():
        x = _cropped(x, axis, left, right)
        inside[axis] = slice(max(left, 0), max(left, 0) + x.shape[axis])
        shape[axis] += left + right
    key = Key(tuple(inside))
    placed = apply(ops.scatter, x, key=key, shape=tuple(shape))
    if value == 0:
        return placed
    outside = np.ones(shape, np.bool_)
    outside[key.parts] = False
    return masked_fill(placed, outside, value)


def _continued(x: Tensor, axis: int, left: int, right: int, mode: str) -> Tensor:
    """The axis continued at both ends by its own elements. In a ring, those that are taken away are
    gone first; a mirror or an edge stays where it is, as in torch."""
    if mode == "circular":
        x = _cropped(x, axis, left, right)
        left, right = max(left, 0), max(right, 0)
    size, wanted = x.shape[axis], max(left, right, 0)
    most = {"reflect": max(size - 1, 0), "replicate": size and wanted, "circular": size}[mode]
    if wanted > most:
        raise ShapeError(
            f"pad: mode {mode!r} has at most {most} elements to add to axis {axis} of shape "
            f"{x.shape}, not {wanted}."
        )
    positions = _POSITIONS[mode](np.arange(-left, size + right), size)
    return apply(ops.getitem, x, positions, key=Key((*(slice(None),) * axis, Key.ARRAY)))


_POSITIONS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "reflect": lambda i, n: n - 1 - np.abs(n - 1 - np.abs(i)),
    "replicate": lambda i, n: np.clip(i, 0, n - 1),
    "circular": lambda i, n: i % max(n, 1),
}
"""Where the element comes from that will stand at position i, counted from the first of n."""
