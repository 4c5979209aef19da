"""Pooling layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinygrad_edu.graph.spatial import Numbers
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.nn import functional
from tinygrad_edu.nn.module import Module


@dataclass(eq=False, repr=False)
class MaxPool2d(Module):
    """The largest element of each window, `functional.max_pool2d`; with `return_indices` also where
    it is."""

    kernel_size: Numbers
    stride: Numbers | None = None
    padding: Numbers = 0
    dilation: Numbers = 1
    return_indices: bool = False
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        if self.stride is None:
            self.stride = self.kernel_size

    def forward(self, x: Operand) -> Any:
        """(n, channels, *size), or without n, to (n, channels, *windows)."""
        return functional.max_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        """How its windows lie."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


@dataclass(eq=False, repr=False)
class AvgPool2d(Module):
    """The mean of each window, `functional.avg_pool2d`."""

    kernel_size: Numbers
    stride: Numbers | None = None
    padding: Numbers = 0
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None

    def __post_init__(self) -> None:
        if self.stride is None:
            self.stride = self.kernel_size

    def forward(self, x: Operand) -> Tensor:
        """(n, channels, *size), or without n, to (n, channels, *windows)."""
        return functional.avg_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        """How its windows lie."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
