"""Convolutional layers."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from tinygrad_edu.errors import ArgumentError, ShapeError
from tinygrad_edu.graph.axes import whole
from tinygrad_edu.graph.creation import zeros
from tinygrad_edu.graph.functions import as_tensor
from tinygrad_edu.graph.spatial import Numbers, per_axis, sides
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.nn import functional, init
from tinygrad_edu.nn.module import Module
from tinygrad_edu.nn.parameter import Parameter

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Convolution(Module):
    """What convolutions over one and two axes share."""

    rank: ClassVar[int]
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: Numbers | str = 0,
        dilation: Numbers = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        dtype: Any = None,
    ) -> None:
        name = type(self).__name__
        self.in_channels = whole(in_channels)
        self.out_channels = whole(out_channels)
        self.groups = whole(groups)
        if min(self.in_channels, self.out_channels, self.groups) < 1:
            raise ArgumentError(
                f"{name}: needs at least one input channel, one output channel and one group, got "
                f"{in_channels}, {out_channels} and {groups}."
            )
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ArgumentError(
                f"{name}: groups={groups} must divide {in_channels} input channels and "
                f"{out_channels} output channels."
            )
        if padding_mode not in PADDING_MODES:
            listed = ", ".join(map(repr, PADDING_MODES))
            raise ArgumentError(f"{name}: padding_mode is one of {listed}, not {padding_mode!r}.")
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, self.rank, 1)
        self.stride = per_axis(name, "stride", stride, self.rank, 1)
        self.dilation = per_axis(name, "dilation", dilation, self.rank, 1)
        self._sides = sides(name, padding, self.kernel_size, self.stride, self.dilation)
        self.padding = padding if isinstance(padding, str) else tuple(a for a, _ in self._sides)
        self.padding_mode = padding_mode
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.weight = Parameter(zeros(shape, dtype=dtype), groups=self.groups)
        self.register_parameter(
            "bias", Parameter(zeros(self.out_channels, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew from torch's default law."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # gain sqrt(1/3): bound 1/sqrt(fan_in)
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Operand) -> Tensor:
        """(n, in_channels, *size), or without n, to (n, out_channels, *size of the result)."""
        x = as_tensor(x)
        batch = x.ndim - self.rank - 1
        if batch not in (0, 1) or x.shape[batch] != self.in_channels:
            raise ShapeError(
                f"{self}: got an input of shape {x.shape}; it needs {self.in_channels} channels "
                f"before its {self.rank} spatial axes, and before those at most the batch."
            )
        padding: Any = self.padding
        if self.padding_mode != "zeros" and any(map(any, self._sides)):
            around = [n for pair in reversed(self._sides) for n in pair]
            x, padding = functional.pad(x, around, self.padding_mode), 0
        function = getattr(functional, f"conv{self.rank}d")
        options = (self.stride, padding, self.dilation, self.groups)
        return function(x, self.weight, self.bias, *options)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """The arguments it was made with, where they are not the defaults."""
        ones = (1,) * self.rank
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        if self.padding != (0,) * self.rank:
            text += f", padding={self.padding}"
        if self.dilation != ones:
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class Conv1d(_Convolution):
    """As `Conv2d`, over one spatial axis: input (n, in_channels, length)."""

    rank = 1


class Conv2d(_Convolution):
    """A convolution (`functional.conv2d`) whose filters and bias are parameters.

    As in torch, weight (out_channels, in_channels / groups, *kernel_size) starts uniform on
    ±1/sqrt(fan_in), fan_in being in_channels / groups times the kernel's elements, and so does bias
    (out_channels,): variance 1/(3 fan_in), a third of what keeps a signal of variance 1.

    Args:
        in_channels, out_channels: How many channels come in and go out.
        kernel_size, stride, padding, dilation: One number for both spatial axes, or one for each;
            padding also "same" or "valid".
        groups: Channels are split into so many groups, each with its own share of the filters.
        bias: Whether to add a bias.
        padding_mode: What the padding holds: "zeros", or the input continued by "reflect",
            "replicate" or "circular" (see `functional.pad`).
        dtype: A float dtype; None means float32.

    Raises:
        ArgumentError: Sizes below 1, negative padding, groups that do not divide the channels,
            "same" with a stride, an unknown padding mode.
        ShapeError: Called with an input of other channels, or smaller than the kernel.
    """

    rank = 2
