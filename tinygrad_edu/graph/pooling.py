"""`max_pool1d`, `max_pool2d`, `avg_pool1d` and `avg_pool2d`, under torch's signatures."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.graph.reader import apply, as_tensor
from tinygrad_edu.graph.spatial import Numbers, check_rank, per_axis

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor


def max_pool1d(
    input: Operand,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    dilation: Numbers = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """As `max_pool2d`, over one axis."""
    layout = _layout("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool(input, layout, return_indices)


def max_pool2d(
    input: Operand,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    dilation: Numbers = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window; NaN if there is one in it.

    The gradient goes to that element: to the first of several equal ones, to the last NaN.

    Args:
        input: (n, channels, height, width), or without n.
        kernel_size: The size of a window.
        stride: The step from one window to the next; by default the size of a window.
        padding: Room at either end of an axis, at most half a window, for windows to reach into;
            what is there is never the largest.
        dilation: The step between the elements of a window.
        ceil_mode: Whether a last window that does not fit whole counts.
        return_indices: Whether to return the positions, too.

    Returns:
        (n, channels, h, w); with `return_indices` also the position of each element in its plane
        (height * width), int64.

    Raises:
        ArgumentError: Sizes or steps below 1, padding above half a window.
        ShapeError: A wrong number of axes, or a window larger than the padded input.
        DTypeError: An input that is not float.
    """
    layout = _layout("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool(input, layout, return_indices)


def avg_pool1d(
    input: Operand,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """As `avg_pool2d`, over one axis."""
    layout = _layout("avg_pool1d", 1, input, kernel_size, stride, padding, None, ceil_mode)
    return apply(
        ops.avg_pool, as_tensor(input), **layout, count_padding=count_include_pad, divisor=0
    )


def avg_pool2d(
    input: Operand,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window.

    Args:
        input: (n, channels, height, width), or without n.
        kernel_size: The size of a window.
        stride: The step from one window to the next; by default the size of a window.
        padding: Zeros at either end of an axis, at most half a window.
        ceil_mode: Whether a last window that does not fit whole counts.
        count_include_pad: Whether a mean counts the zeros of the padding.
        divisor_override: Divide each sum by this number instead.

    Returns:
        (n, channels, h, w).

    Raises:
        ArgumentError: Sizes or steps below 1, padding above half a window, a divisor of 0.
        ShapeError: A wrong number of axes, or a window larger than the padded input.
        DTypeError: An input that is not float.
    """
    divisor = 0
    if divisor_override is not None:
        divisor = operator.index(divisor_override)
        if not divisor:
            raise ArgumentError("avg_pool2d: divisor_override is a whole number other than 0.")
    layout = _layout("avg_pool2d", 2, input, kernel_size, stride, padding, None, ceil_mode)
    counting = {"count_padding": bool(count_include_pad), "divisor": divisor}
    return apply(ops.avg_pool, as_tensor(input), **layout, **counting)


def _max_pool(input: Operand, layout: dict[str, Any], return_indices: bool) -> Any:
    x = as_tensor(input)
    y = apply(ops.max_pool, x, **layout)
    if not return_indices:
        return y
    plane = math.prod(x.shape[x.ndim - len(layout["kernel"]) :])
    return y, apply(ops.max_pool_positions, x, **layout) % max(plane, 1)


def _layout(
    name: str,
    rank: int,
    input: Operand,
    kernel_size: Numbers,
    stride: Numbers | None,
    padding: Numbers,
    dilation: Numbers | None,
    ceil_mode: bool,
) -> dict[str, Any]:
    """The parameters of the op; means have no dilation."""
    x = as_tensor(input)
    check_rank(name, x, rank)
    kernel = per_axis(name, "kernel_size", kernel_size, rank, 1)
    steps = kernel if stride in (None, [], ()) else per_axis(name, "stride", stride, rank, 1)
    around = per_axis(name, "padding", padding, rank, 0)
    gaps = (1,) * rank if dilation is None else per_axis(name, "dilation", dilation, rank, 1)
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, gaps, strict=True)]
    if any(2 * p > extent for p, extent in zip(around, extents, strict=True)):
        raise ArgumentError(
            f"{name}: padding {around} is more than half a window of {tuple(extents)}, so a window "
            "could lie in it alone; use less, or tg.pad."
        )
    rows = zip(x.shape[-rank:], extents, steps, around, strict=True)
    sides = tuple((p, _after(n, extent, step, p, ceil_mode)) for n, extent, step, p in rows)
    layout: dict[str, Any] = {"kernel": kernel, "stride": steps, "padding": sides}
    return layout if dilation is None else {**layout, "dilation": gaps}


def _after(size: int, extent: int, step: int, before: int, ceil_mode: bool) -> int:
    """The padding at the end. In `ceil_mode` it is what the last window needs, which must begin
    within the input or the padding before it."""
    if not ceil_mode:
        return before
    count = -(-(size + 2 * before - extent) // step) + 1
    if (count - 1) * step >= size + before:
        count -= 1
    return (count - 1) * step + extent - size - before
