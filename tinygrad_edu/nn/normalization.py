"""Normalisation as functions: over the batch, over the features of an example, over groups of them.

All compute y = (x - mean) / sqrt(variance + eps) with the biased variance, and then scale and shift
by `weight` and `bias`, if there are any. They differ in what a mean is taken over.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError, describe
from tinygrad_edu.graph.axes import unpack
from tinygrad_edu.graph.functions import as_tensor, rsqrt
from tinygrad_edu.graph.modes import no_grad
from tinygrad_edu.graph.reader import compose
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.nn.state import Values, advance, current
from tinygrad_edu.ops.dtypes import is_float
from tinygrad_edu.ops.normalization import Moments
from tinygrad_edu.ops.silence import silently

Axes = tuple[int, ...]


def layer_norm(
    input: Operand,
    normalized_shape: int | Sequence[int],
    weight: Operand | None = None,
    bias: Operand | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Each example normalised over its last axes, of shape `normalized_shape`, which is the shape
    of weight and bias, too. Ba et al. 2016, equation 4.

    Raises:
        ShapeError: The input does not end in these axes, or weight or bias has another shape.
        DTypeError: Not one float dtype throughout. ArgumentError: eps < 0.
    """
    x, parameters, axes = _last_axes("layer_norm", input, normalized_shape, weight, bias)
    return _standardized(x, axes, checked_eps("layer_norm", eps), parameters)


def rms_norm(
    input: Operand,
    normalized_shape: int | Sequence[int],
    weight: Operand | None = None,
    eps: float | None = None,
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) over the last axes, times weight: no mean is subtracted. eps None
    is the spacing of the dtype's numbers at 1. Zhang and Sennrich 2019, equation 4.

    Raises:
        As `layer_norm`.
    """
    x, parameters, axes = _last_axes("rms_norm", input, normalized_shape, weight, None)
    eps = float(np.finfo(x.dtype).eps) if eps is None else checked_eps("rms_norm", eps)
    return _scaled(_divided(ops.unit_rms, (x,), axes, eps), *parameters)


def group_norm(
    input: Operand,
    num_groups: int,
    weight: Operand | None = None,
    bias: Operand | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Each example (of an input (n, channels, ...)) normalised over groups of neighbouring
    channels and all positions; weight and bias are one number a channel. Wu and He 2018,
    equation 7.

    Raises:
        ArgumentError: The number of groups does not divide the channels, or eps < 0.
        ShapeError: No channel axis, or weight or bias is not one number a channel.
        DTypeError: Not one float dtype throughout.
    """
    x, weight, bias = _floats("group_norm", input, weight, bias)
    channels = _channels("group_norm", x)
    check_groups("group_norm", num_groups, channels)
    parameters = _a_channel("group_norm", x, weight=weight, bias=bias)
    grouped = x.reshape(x.shape[0], num_groups, math.prod(x.shape[1:]) // num_groups)
    y = _divided(ops.standardize, (grouped,), (2,), checked_eps("group_norm", eps))
    return _scaled(y.reshape(x.shape), *parameters)


def batch_norm(
    input: Operand,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Operand | None = None,
    bias: Operand | None = None,
    training: bool = False,
    momentum: float | Values = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel of an input (n, channels, ...) normalised over examples and positions.

    In training by the statistics of the batch, which also move the running ones, if given: they
    become (1 - momentum) * running + momentum * batch, of the variance the unbiased one. Otherwise
    by the running ones. Ioffe and Szegedy 2015, algorithms 1 and 2.

    Raises:
        ShapeError: No channel axis, a parameter or statistic that is not one number a channel, or
            (training) not more than one value a channel: its variance is 0, so all become 0.
        ArgumentError: No running statistics where they are needed, or some that are no numbers or
            negative variances; eps < 0.
        DTypeError: Not one float dtype throughout.
    """
    x, weight, bias, *_ = _floats("batch_norm", input, weight, bias, running_mean, running_var)
    _channels("batch_norm", x)
    eps = checked_eps("batch_norm", eps)
    parameters = _a_channel("batch_norm", x, weight=weight, bias=bias)
    if running_mean is not None or running_var is not None:
        _a_channel("batch_norm", x, running_mean=running_mean, running_var=running_var)
    if not training:
        return _by_population(x, running_mean, running_var, parameters, eps)
    axes = (0, *range(2, x.ndim))
    count = math.prod(x.shape[axis] for axis in axes)
    if count < 2:
        raise ShapeError(
            f"batch_norm: an input of shape {x.shape} has {count} value(s) a channel, and training "
            "needs more than one: use larger batches (drop_last=True drops a last one of size 1), "
            "evaluation mode, or layer_norm."
        )
    moments = Moments()
    y = _standardized(x, axes, eps, parameters, moments)
    if running_mean is not None and running_var is not None:
        with no_grad():
            mean, variance = _statistics(x, axes, moments)
            unbiased = variance * (count / (count - 1))
            new_mean = silently(_moved, current(running_mean), mean, momentum)
            new_var = silently(_moved, current(running_var), unbiased, momentum)
        advance(running_mean, new_mean)
        advance(running_var, new_var)
    return y


def _moved(old: Values, new: Values, share: Values) -> Values:
    return (1 - share) * old + share * new


def _statistics(x: Tensor, axes: Axes, moments: Moments) -> tuple[Values, Values]:
    """Mean and biased variance of each channel: as measured on the way, or, while x is only
    traced, in the same ops as in the definition of the normalisation, so that a compiler that
    computes equal expressions once shares them."""
    mean, variance = (
        (x.mean(axes, keepdim=True), x.var(axes, correction=0, keepdim=True))
        if x.node.is_abstract
        else (moments.mean, moments.variance)
    )
    shape = (x.shape[1],)
    return mean.reshape(shape), variance.reshape(shape)


def _by_population(
    x: Tensor,
    mean: Tensor | None,
    variance: Tensor | None,
    parameters: Sequence[Tensor | None],
    eps: float,
) -> Tensor:
    if mean is None or variance is None:
        raise ArgumentError(
            "batch_norm: evaluation needs running_mean and running_var; pass both, or "
            "training=True to normalise by the batch."
        )
    if not (mean.node.is_abstract or variance.node.is_abstract):
        _check_population(mean.node.data, variance.node.data)
    shape = (x.shape[1], *[1] * (x.ndim - 2))
    scale = rsqrt(variance.reshape(shape) + eps)
    weight, bias = parameters
    # The mean comes off first: in x * scale - mean * scale a large one would cost digits.
    return _scaled(x - mean.reshape(shape), scale if weight is None else weight * scale, bias)


def _check_population(mean: np.ndarray, variance: np.ndarray) -> None:
    if np.isfinite(mean).all() and np.isfinite(variance).all() and (variance >= 0).all():
        return
    wrong = ~(np.isfinite(mean) & np.isfinite(variance) & (variance >= 0))
    raise ArgumentError(
        f"batch_norm: the running statistics of {wrong.sum()} of {wrong.size} channels are NaN, "
        "infinite, or negative variances. A training batch that held NaN or infinity leaves them "
        "so: clean the data, then reset_running_stats() and train again, or load a checkpoint."
    )


# ------------------------------------------------------------------------------ shared


def _standardized(
    x: Tensor,
    axes: Axes,
    eps: float,
    parameters: Sequence[Tensor | None],
    moments: Moments | None = None,
) -> Tensor:
    """The input minus its mean, divided by its standard deviation, scaled and shifted."""
    weight, bias = parameters
    if weight is None or bias is None:
        return _scaled(_divided(ops.standardize, (x,), axes, eps, moments), weight, bias)
    return _divided(ops.standardize_affine, (x, weight, bias), axes, eps, moments)


def _divided(
    op: ops.Fused, xs: Sequence[Tensor], axes: Axes, eps: float, moments: Moments | None = None
) -> Tensor:
    """The normalised input. What the run measures is kept for the derivative."""
    if xs[0].node.is_abstract:
        return compose(op, *xs, axes=axes, eps=eps)
    return compose(op, *xs, axes=axes, eps=eps, moments=moments or Moments())


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is not None:
        return compose(ops.affine, x, weight, *(() if bias is None else (bias,)))
    return x if bias is None else x + bias


def _floats(name: str, *operands: Operand | None) -> list[Any]:
    """The operands as tensors, which have one float dtype, with the `None`s among them."""
    tensors = [None if x is None else as_tensor(x) for x in operands]
    present = [x for x in tensors if x is not None]
    dtype = present[0].dtype
    for x in present:
        if x.dtype != dtype or not is_float(dtype):
            raise DTypeError(
                f"{name}: needs one float dtype throughout, got {describe(present)}; convert the "
                "input or the layer with .float(), .double() or .to(dtype)."
            )
    return tensors


def _last_axes(
    name: str,
    input: Operand,
    normalized_shape: int | Sequence[int],
    weight: Operand | None,
    bias: Operand | None,
) -> tuple[Tensor, list[Tensor | None], Axes]:
    """The input, weight and bias, and the axes to normalise over, which end the input."""
    x, *parameters = _floats(name, input, weight, bias)
    shape = normalized(name, normalized_shape)
    rank = x.ndim
    if x.shape[-len(shape) :] != shape:
        raise ShapeError(
            f"{name}: an input of shape {x.shape} does not end in the axes {shape} to normalise "
            "over; normalized_shape is the shape of the last axes."
        )
    for role, p in zip(("weight", "bias"), parameters, strict=True):
        if p is not None and p.shape != shape:
            raise ShapeError(f"{name}: {role} has shape {p.shape}, the last axes {shape}.")
    return x, parameters, tuple(range(rank - len(shape), rank))


def normalized(name: str, shape: int | Sequence[int]) -> tuple[int, ...]:
    """`normalized_shape` as a tuple; `ArgumentError` if it is empty or has an empty axis."""
    if shape.__class__ is tuple and all(n.__class__ is int and n > 0 for n in shape) and shape:
        return shape  # as nearly always, and fast
    sizes = unpack((shape,))
    if not sizes or min(sizes) < 1:
        raise ArgumentError(
            f"{name}: normalized_shape is the sizes of the last axes, at least one of them and "
            f"each at least 1; got {shape}."
        )
    return sizes


def check_groups(name: str, num_groups: int, channels: int) -> None:
    """Raise `ArgumentError` unless so many channels fall into so many equal groups."""
    if num_groups < 1 or channels % num_groups:
        raise ArgumentError(
            f"{name}: {channels} channels do not fall into {num_groups} equal groups; "
            "num_groups must divide the number of channels."
        )


def _channels(name: str, x: Tensor) -> int:
    if x.ndim < 2:
        raise ShapeError(
            f"{name}: needs an input (n, channels, ...), got shape {x.shape}; x[None] makes a "
            "batch of one example."
        )
    return x.shape[1]


def _a_channel(name: str, x: Tensor, **given: Operand | None) -> list[Tensor | None]:
    """What has one number a channel, shaped to broadcast against x."""
    size = x.shape
    channels, rank = size[1], len(size)
    found: list[Tensor | None] = []
    for role, values in given.items():
        if values is None:
            found.append(None)
            continue
        tensor = as_tensor(values)
        if tensor.shape != (channels,):
            raise ShapeError(
                f"{name}: {role} has shape {tensor.shape}, but an input of shape {size} has "
                f"{channels} channels."
            )
        found.append(tensor.reshape(channels, *[1] * (rank - 2)) if rank > 2 else tensor)
    return found


def checked_eps(name: str, eps: float) -> float:
    """eps as a float; `ArgumentError` if it is negative or not finite."""
    if eps.__class__ is float and 0 <= eps < math.inf:  # as nearly always, and fast
        return eps
    if not isinstance(eps, numbers.Real) or not 0 <= eps < math.inf:
        raise ArgumentError(f"{name}: eps must be finite and at least 0, got {eps!r}.")
    return float(eps)
