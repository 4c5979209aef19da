"""Normalisation layers: `BatchNorm1d`, `BatchNorm2d`, `LayerNorm`, `GroupNorm`, `RMSNorm`."""

from __future__ import annotations

import numbers
import sys
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from tinygrad_edu.errors import ArgumentError, FrozenStatisticsWarning, ShapeError
from tinygrad_edu.graph.axes import whole
from tinygrad_edu.graph.creation import ones, tensor, zeros
from tinygrad_edu.graph.functions import as_tensor
from tinygrad_edu.graph.modes import is_grad_enabled
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.nn import init, normalization
from tinygrad_edu.nn.module import Module
from tinygrad_edu.nn.parameter import Parameter
from tinygrad_edu.nn.state import advance, current


class _Norm(Module):
    """A normalisation with a learned scale and shift, either of which may be missing."""

    weight: Parameter | None
    bias: Parameter | None

    def _add_parameters(self, shape: tuple[int, ...], weight: bool, bias: bool, dtype: Any) -> None:
        for name, wanted in (("weight", weight), ("bias", bias)):
            self.register_parameter(name, Parameter(zeros(shape, dtype=dtype)) if wanted else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Scale 1, shift 0: the output has mean 0 and variance 1."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


# ------------------------------------------------------------------------------ over the batch


class _BatchNorm(_Norm):
    """What the batch norms share; they differ in the shapes they accept."""

    _dimensions: ClassVar[tuple[int, ...]]
    _shapes: ClassVar[str]
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    _warned = False

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        self.num_features = whole(num_features)
        if self.num_features < 1:
            raise ArgumentError(f"{self._name}: needs at least one feature, got {num_features}.")
        if momentum is not None and not (isinstance(momentum, numbers.Real) and 0 <= momentum <= 1):
            raise ArgumentError(
                f"{self._name}: momentum is the weight of the newest batch, in [0, 1], or None for "
                f"a cumulative average; got {momentum!r}."
            )
        self.eps = normalization.checked_eps(self._name, eps)
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self._add_running_statistics(dtype)
        self._add_parameters((self.num_features,), affine, affine and bias, dtype)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _add_running_statistics(self, dtype: Any) -> None:
        start = {
            "running_mean": zeros(self.num_features, dtype=dtype),
            "running_var": ones(self.num_features, dtype=dtype),
            "num_batches_tracked": tensor(0),
        }
        for name, value in start.items():
            self.register_buffer(name, value if self.track_running_stats else None)

    def reset_parameters(self) -> None:
        """Scale 1, shift 0, and forget the running statistics."""
        super().reset_parameters()
        self.reset_running_stats()

    def reset_running_stats(self) -> None:
        """Forget the statistics: mean 0, variance 1, no batch seen."""
        start = {"running_mean": 0, "running_var": 1, "num_batches_tracked": 0}
        for name, value in start.items():
            buffer = getattr(self, name)
            if buffer is not None:
                advance(buffer, np.full(buffer.shape, value))

    def forward(self, x: Operand) -> Tensor:
        """The input normalised: in training by its own statistics, which then move the running
        ones; in evaluation, and while frozen, by the running ones."""
        x = as_tensor(x)
        self._check_shape(x)
        by_batch = self.training and not self.is_frozen()
        if by_batch and self.num_batches_tracked is not None:
            return self._tracked(x, self.num_batches_tracked)
        by_batch = by_batch or self.running_mean is None
        statistics = (None, None) if by_batch else self._running
        return normalization.batch_norm(
            x, *statistics, self.weight, self.bias, by_batch, eps=self.eps
        )

    @property
    def _running(self) -> tuple[Tensor | None, Tensor | None]:
        return self.running_mean, self.running_var

    def _tracked(self, x: Tensor, count: Tensor) -> Tensor:
        """A training batch, which moves the running statistics. A cumulative average weighs all
        batches alike, so of the newest it takes one in the number of batches."""
        self._warn_if_parameters_alone_are_frozen()
        seen = current(count) + 1
        momentum = self.momentum
        if momentum is None:  # a traced count divides to float32 unless told otherwise
            momentum = 1 / (seen.double() if isinstance(seen, Tensor) else seen)
        y = normalization.batch_norm(
            x, *self._running, self.weight, self.bias, True, momentum, self.eps
        )
        if not y.node.is_abstract or count.node.is_abstract:  # tracing shapes alone counts nothing
            advance(count, seen)
        return y

    def _check_shape(self, x: Tensor) -> None:
        if x.ndim not in self._dimensions or x.shape[1] != self.num_features:
            raise ShapeError(
                f"{self}: got an input of shape {x.shape}; it must be {self._shapes} with "
                f"{self.num_features} channels."
            )

    def _warn_if_parameters_alone_are_frozen(self) -> None:
        parameters = [p for p in (self.weight, self.bias) if p is not None]
        if self._warned or not parameters or not is_grad_enabled():
            return
        if any(p.requires_grad for p in parameters):
            return
        warnings.warn(
            f"{self}: its parameters do not require grad, but it is in training mode and not "
            "frozen, so it normalises by the batch and its running statistics move. If the layer "
            "is to stay as it is, call freeze() instead of requires_grad_(False).",
            FrozenStatisticsWarning,
            stacklevel=_depth_of_user(),
        )
        self._warned = True

    def extra_repr(self) -> str:
        """The arguments it was made with."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


def _depth_of_user() -> int:
    """How far up the stack of the caller the line is that is not of this package: Python shows a
    warning once for each line."""
    package = __name__.partition(".")[0]
    frame, depth = sys._getframe(1), 1
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, depth = frame.f_back, depth + 1
    return depth


class BatchNorm1d(_BatchNorm):
    """Each feature normalised over the batch: an input (n, features), or (n, features, positions).

    y = (x - mean) / sqrt(variance + eps) * weight + bias, with mean and variance of the batch in
    training and the running ones in evaluation and while frozen (`Module.freeze`). What
    `requires_grad_(False)` freezes are the parameters only. Ioffe and Szegedy 2015.

    Args:
        num_features: How many features (channels).
        eps: Added to the variance.
        momentum: The running statistics become (1 - momentum) * running + momentum * batch. None:
            the average over all batches seen.
        affine: Whether weight (1 at the start) and bias (0) exist, each (num_features,).
        bias: Whether there is a bias beside the weight.
        track_running_stats: Whether there are running statistics; without them evaluation, too,
            goes by the batch.
        dtype: A float dtype; None means float32.

    Attributes:
        running_mean, running_var: The running statistics, (num_features,); of the variance the
            unbiased one, divided by n - 1.
        num_batches_tracked: How many batches they have seen, int64.

    Raises:
        ArgumentError: An argument out of range; running statistics that are no numbers.
        ShapeError: Another number of features; in training, fewer than two values a feature.
    """

    _dimensions = (2, 3)
    _shapes = "(n, features) or (n, features, positions)"


class BatchNorm2d(_BatchNorm):
    """Each channel of images normalised over the batch and all positions: an input (n, channels,
    height, width). Otherwise as `BatchNorm1d`."""

    _dimensions = (4,)
    _shapes = "(n, channels, height, width)"


# ------------------------------------------------------------------------------ over an example


class LayerNorm(_Norm):
    """Each example normalised over its last axes. Ba et al. 2016.

    Args:
        normalized_shape: The sizes of the last axes.
        eps: Added to the variance.
        elementwise_affine: Whether weight (1 at the start) and bias (0) exist, each of
            `normalized_shape`.
        bias: Whether there is a bias beside the weight.
        dtype: A float dtype; None means float32.

    Raises:
        ArgumentError: An argument out of range.
        ShapeError: Called with an input that ends in other axes.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = None,
    ) -> None:
        self.normalized_shape = normalization.normalized("LayerNorm", normalized_shape)
        self.eps = normalization.checked_eps("LayerNorm", eps)
        self.elementwise_affine = elementwise_affine
        self._add_parameters(
            self.normalized_shape, elementwise_affine, elementwise_affine and bias, dtype
        )

    def forward(self, x: Operand) -> Tensor:
        """(..., *normalized_shape) to the same."""
        return normalization.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments it was made with."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(_Norm):
    """Each example divided by its root mean square over the last axes; no mean is subtracted. Zhang
    and Sennrich 2019.

    Args:
        normalized_shape: The sizes of the last axes.
        eps: Added to the mean square; None is the spacing of the dtype's numbers at 1.
        elementwise_affine: Whether a weight (1 at the start) of `normalized_shape` exists.
        dtype: A float dtype; None means float32.

    Raises:
        ArgumentError: An argument out of range.
        ShapeError: Called with an input that ends in other axes.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: Any = None,
    ) -> None:
        self.normalized_shape = normalization.normalized("RMSNorm", normalized_shape)
        self.eps = None if eps is None else normalization.checked_eps("RMSNorm", eps)
        self.elementwise_affine = elementwise_affine
        self._add_parameters(self.normalized_shape, elementwise_affine, False, dtype)

    def forward(self, x: Operand) -> Tensor:
        """(..., *normalized_shape) to the same."""
        return normalization.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The arguments it was made with."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(_Norm):
    """Each example of an input (n, channels, ...) normalised over groups of neighbouring channels
    and all positions. One group is a layer norm over channels and positions, as many groups as
    channels an instance norm. Wu and He 2018.

    Args:
        num_groups: How many groups; it divides num_channels.
        num_channels: How many channels.
        eps: Added to the variance.
        affine: Whether weight (1 at the start) and bias (0) exist, each (num_channels,).
        bias: Whether there is a bias beside the weight.
        dtype: A float dtype; None means float32.

    Raises:
        ArgumentError: Groups that do not divide the channels, or another argument out of range.
        ShapeError: Called with another number of channels.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        self.num_groups, self.num_channels = map(whole, (num_groups, num_channels))
        if self.num_channels < 1:
            raise ArgumentError(f"GroupNorm: needs at least one channel, got {num_channels}.")
        normalization.check_groups("GroupNorm", self.num_groups, self.num_channels)
        self.eps = normalization.checked_eps("GroupNorm", eps)
        self.affine = affine
        self._add_parameters((self.num_channels,), affine, affine and bias, dtype)

    def forward(self, x: Operand) -> Tensor:
        """(n, num_channels, ...) to the same."""
        x = as_tensor(x)
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ShapeError(
                f"{self}: got an input of shape {x.shape}; it must be (n, channels, ...) with "
                f"{self.num_channels} channels."
            )
        return normalization.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments it was made with."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )
