"""`conv1d`, `conv2d` and their transposes, under torch's signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, ShapeError
from tinygrad_edu.graph.reader import apply, as_tensor, compose
from tinygrad_edu.graph.spatial import Numbers, check_rank, per_axis, sides

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor


def conv1d(
    input: Operand,
    weight: Operand,
    bias: Operand | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
) -> Tensor:
    """As `conv2d`, over one spatial axis: input (n, channels, length), weight (out, channels /
    groups, kernel)."""
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Operand,
    weight: Operand,
    bias: Operand | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
) -> Tensor:
    """The products of each filter with every window of the input, each added up, plus a bias for
    each output channel (a cross-correlation: filters are not flipped).

    Args:
        input: (n, channels, height, width), or without n.
        weight: (out, channels / groups, kernel height, kernel width).
        bias: (out,), or None.
        stride: The step from one window to the next.
        padding: Zeros at either end of an axis; "valid" for none, "same" for as many as keep the
            size at stride 1 (one more at the end than at the beginning where they are odd).
        dilation: The step between the elements of a window.
        groups: Channels are split into so many groups, each with its own share of the filters.

    Returns:
        (n, out, h, w) with h = floor((height + 2 padding - dilation (kernel - 1) - 1) / stride) + 1
        and w likewise.

    Raises:
        ShapeError: Channels that do not fit, groups that do not divide them, a kernel larger than
            the padded input.
        ArgumentError: A stride, dilation or groups below 1, negative padding, "same" with a stride.
        DTypeError: Operands that are no floats, or of different dtypes.
    """
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Operand,
    weight: Operand,
    bias: Operand | None = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
) -> Tensor:
    """As `conv_transpose2d`, over one spatial axis."""
    name = "conv_transpose1d"
    return _transposed(
        name, 1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    input: Operand,
    weight: Operand,
    bias: Operand | None = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
) -> Tensor:
    """The transpose of `conv2d` in its input: each element of the input adds its filter, times
    itself, to a window of the result.

    Args:
        input: (n, channels, height, width), or without n.
        weight: (channels, out / groups, kernel height, kernel width), as `conv2d` would have it to
            come from the result to the input.
        bias: (out,), or None.
        stride, padding, dilation, groups: Those of that `conv2d`.
        output_padding: Which of the sizes that `conv2d` would take to this input is meant: so many
            more than the smallest. Below stride or below dilation.

    Returns:
        (n, out, h, w) with h = (height - 1) stride - 2 padding + dilation (kernel - 1) +
        output_padding + 1 and w likewise.

    Raises:
        ShapeError, ArgumentError, DTypeError: As `conv2d`.
    """
    name = "conv_transpose2d"
    return _transposed(
        name, 2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def _operands(
    name: str, rank: int, input: Operand, weight: Operand, bias: Operand | None
) -> tuple[Tensor, Tensor, Tensor | None, bool]:
    """Input with a batch, weight and bias as tensors, and whether the batch was there."""
    x, w = as_tensor(input), as_tensor(weight)
    batched = check_rank(name, x, rank)
    if w.ndim != rank + 2:
        raise ShapeError(
            f"{name}: the weight has {rank + 2} axes, two of channels and the kernel, but its "
            f"shape is {w.shape}."
        )
    b = None if bias is None else as_tensor(bias)
    return x if batched else x.reshape(1, *x.shape), w, b, batched


def _conv(
    name: str,
    rank: int,
    input: Operand,
    weight: Operand,
    bias: Operand | None,
    stride: Numbers,
    padding: Numbers | str,
    dilation: Numbers,
    groups: int,
) -> Tensor:
    x, w, b, batched = _operands(name, rank, input, weight, bias)
    steps = per_axis(name, "stride", stride, rank, 1)
    gaps = per_axis(name, "dilation", dilation, rank, 1)
    layout = {
        "stride": steps,
        "padding": sides(name, padding, w.shape[2:], steps, gaps),
        "dilation": gaps,
        "groups": groups,
    }
    if b is None:
        y = apply(ops.convolution, x, w, **layout)
    else:
        y = compose(ops.convolution_bias, x, w, b, **layout)
    return y if batched else y.reshape(y.shape[1:])


def _transposed(
    name: str,
    rank: int,
    input: Operand,
    weight: Operand,
    bias: Operand | None,
    stride: Numbers,
    padding: Numbers,
    output_padding: Numbers,
    groups: int,
    dilation: Numbers,
) -> Tensor:
    x, w, b, batched = _operands(name, rank, input, weight, bias)
    steps = per_axis(name, "stride", stride, rank, 1)
    gaps = per_axis(name, "dilation", dilation, rank, 1)
    around = per_axis(name, "padding", padding, rank, 0)
    more = per_axis(name, "output_padding", output_padding, rank, 0)
    if any(n >= max(s, d) for n, s, d in zip(more, steps, gaps, strict=True)):
        raise ArgumentError(
            f"{name}: output_padding {more} must be below stride {steps} or dilation {gaps}."
        )
    rows = zip(x.shape[2:], w.shape[2:], steps, gaps, around, more, strict=True)
    size = tuple((n - 1) * s - 2 * p + d * (k - 1) + 1 + extra for n, k, s, d, p, extra in rows)
    layout: dict[str, Any] = {
        "stride": steps,
        # What the result has more is left out again, or a window more might fit.
        "padding": tuple((p, p - extra) for p, extra in zip(around, more, strict=True)),
        "dilation": gaps,
        "groups": groups,
    }
    if min(size) < 1:
        raise ShapeError(
            f"{name}: an input {x.shape} and a weight {w.shape} with padding {around} leave "
            f"nothing: the result would be of size {size}; use less padding."
        )
    y = apply(ops.convolution_input, x, w, size=size, **layout)
    if b is not None:
        if b.shape != y.shape[1:2]:
            raise ShapeError(
                f"{name}: the result has {y.shape[1]} channels, so the bias is ({y.shape[1]},), "
                f"not {b.shape}."
            )
        y = y + b.reshape(-1, *[1] * rank)
    return y if batched else y.reshape(y.shape[1:])
