"""Pooling layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from tinygrad_edu.graph.adaptive import OutputSize
from tinygrad_edu.graph.spatial import Numbers
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.nn import functional
from tinygrad_edu.nn.module import Module


@dataclass(eq=False, repr=False)
class _MaxPool(Module):
    """The largest element of each window; with `return_indices` also where it is."""

    function: ClassVar[Callable[..., Any]]
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
        return self.function(
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


class MaxPool1d(_MaxPool):
    """The largest element of each window, `functional.max_pool1d`; with `return_indices` also where
    it is."""

    function = staticmethod(functional.max_pool1d)


class MaxPool2d(_MaxPool):
    """The largest element of each window, `functional.max_pool2d`; with `return_indices` also where
    it is."""

    function = staticmethod(functional.max_pool2d)


@dataclass(eq=False, repr=False)
class AvgPool1d(Module):
    """The mean of each window, `functional.avg_pool1d`."""

    kernel_size: Numbers
    stride: Numbers | None = None
    padding: Numbers = 0
    ceil_mode: bool = False
    count_include_pad: bool = True

    def __post_init__(self) -> None:
        if self.stride is None:
            self.stride = self.kernel_size
        # torch keeps, and prints, a tuple of one
        for name in ("kernel_size", "stride", "padding"):
            value = getattr(self, name)
            setattr(self, name, (value,) if isinstance(value, int) else value)

    def forward(self, x: Operand) -> Tensor:
        """(n, channels, length), or without n, to (n, channels, windows)."""
        return functional.avg_pool1d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self) -> str:
        """How its windows lie."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


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


# ------------------------------------------------------------------------------ to a given size


@dataclass(eq=False, repr=False)
class _AdaptivePool(Module):
    """As many windows as the result has elements."""

    function: ClassVar[Callable[..., Any]]
    output_size: OutputSize

    def forward(self, x: Operand) -> Any:
        """(n, channels, *size), or without n, to (n, channels, *output_size)."""
        return self.function(x, self.output_size)

    def extra_repr(self) -> str:
        """The size of the result."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptivePool):
    """The mean of each window, `functional.adaptive_avg_pool1d`."""

    function = staticmethod(functional.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptivePool):
    """The mean of each window, `functional.adaptive_avg_pool2d`; with size 1, of each plane."""

    function = staticmethod(functional.adaptive_avg_pool2d)


@dataclass(eq=False, repr=False)
class _AdaptiveMaxPool(_AdaptivePool):
    return_indices: bool = False

    def forward(self, x: Operand) -> Any:
        """(n, channels, *size), or without n, to (n, channels, *output_size)."""
        return self.function(x, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest element of each window, `functional.adaptive_max_pool1d`."""

    function = staticmethod(functional.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest element of each window, `functional.adaptive_max_pool2d`."""

    function = staticmethod(functional.adaptive_max_pool2d)
