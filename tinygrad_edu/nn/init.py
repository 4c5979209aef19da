"""Initial values of parameters: torch.nn.init's names, and the law of what was drawn.

Each function writes into the tensor it is given and returns it; a `Parameter` then knows the law
its values come from (`parameter.law`). Draws are keyed: `tg.manual_seed` repeats them, and float32
gets the same numbers as float64, rounded.

Where this differs from torch: the `std` of `trunc_normal_` is the one that results, not that of the
law before it was cut; a call that would do nothing or divide by zero raises.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TypeVar

import numpy as np

from tinygrad_edu.errors import ArgumentError, DTypeError, GradientError
from tinygrad_edu.graph.creation import generator
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.nn.parameter import Array, Draw, Family, Law, Parameter, Shape
from tinygrad_edu.nn.truncated import TruncatedNormal, standardized
from tinygrad_edu.ops.dtypes import is_float

__all__ = [
    "constant_",
    "fans",
    "kaiming_normal_",
    "kaiming_uniform_",
    "lecun_normal_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

T = TypeVar("T", bound=Tensor)

NORMAL_KURTOSIS = 3.0
UNIFORM_KURTOSIS = 9 / 5
CONSTANT_KURTOSIS = 1.0  # 0/0; see `Law`


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight of shape (out, in, *kernel): how many inputs one unit adds up,
    and how many units one input reaches; each counts every position of the kernel.

    Raises:
        ArgumentError: Fewer than two axes, or a fan of 0.
    """
    if len(shape) < 2:
        raise ArgumentError(
            f"fans: shape {shape} has no fan_in and fan_out; a weight has shape (out, in) or "
            "(out, in, *kernel). Use normal_ or uniform_ for vectors."
        )
    out, inputs, *kernel = shape
    field = math.prod(kernel)
    if min(shape) == 0:
        raise ArgumentError(f"fans: shape {shape} has a fan of 0; every size must be at least 1.")
    return inputs * field, out * field


# ------------------------------------------------------------------------------ plain laws


def constant_(tensor: T, val: float) -> T:
    """Every element `val`."""
    val = _finite("constant_", "val", val)
    draw = partial(_constant_numbers, val)
    return _write(tensor, draw, "constant", val, 0.0, CONSTANT_KURTOSIS)


def zeros_(tensor: T) -> T:
    """Every element 0."""
    return constant_(tensor, 0.0)


def ones_(tensor: T) -> T:
    """Every element 1."""
    return constant_(tensor, 1.0)


def normal_(tensor: T, mean: float = 0.0, std: float = 1.0) -> T:
    """Independent normal numbers.

    Raises:
        ArgumentError: A negative `std`, anything infinite or NaN, or a tensor without elements.
    """
    return _normal(tensor, _finite("normal_", "mean", mean), _spread("normal_", std), "normal")


def uniform_(tensor: T, a: float = 0.0, b: float = 1.0) -> T:
    """Independent numbers, uniform on [a, b): variance (b - a)^2 / 12.

    Raises:
        ArgumentError: b < a, anything infinite or NaN, or a tensor without elements.
    """
    a, b = _finite("uniform_", "a", a), _finite("uniform_", "b", b)
    if b < a:
        raise ArgumentError(f"uniform_: needs a <= b, got a={a} and b={b}.")
    return _uniform(tensor, a, b, "uniform")


def trunc_normal_(
    tensor: T, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> T:
    """Independent numbers from a normal law cut off outside [a, b].

    `mean` and `std` are those of the numbers drawn. (In torch they belong to the law before it is
    cut, so that std=1 with the default bounds gives 0.88.) `a` and `b` are values, as in torch, not
    multiples of std.

    Raises:
        ArgumentError: No normal law cut to [a, b] has this mean and std (see `nn.truncated`), a
            negative `std`, or a tensor without elements.
    """
    mean, std = _finite("trunc_normal_", "mean", mean), _spread("trunc_normal_", std)
    if not a < mean < b:
        raise ArgumentError(f"trunc_normal_: needs a < mean < b, got {a}, {mean}, {b}.")
    if std == 0:
        return constant_(tensor, mean)
    law = standardized((a - mean) / std, (b - mean) / std)
    draw = partial(_truncated_numbers, law, mean, std)
    return _write(tensor, draw, "truncated_normal", mean, std**2, law.kurtosis, "trunc_normal")


# ------------------------------------------------------------------------------ scaled by fans


def xavier_uniform_(tensor: T, gain: float | str = 1.0) -> T:
    """Uniform, variance gain^2 * 2 / (fan_in + fan_out): a compromise between keeping the signal
    (1 / fan_in) and its gradient (1 / fan_out). Glorot and Bengio 2010, eq. 16.

    Raises:
        ArgumentError: A gain that is negative or an unknown name, or a shape without fans.
    """
    return _uniform_of_std(tensor, _xavier(tensor, gain), "xavier_uniform")


def xavier_normal_(tensor: T, gain: float | str = 1.0) -> T:
    """Normal, variance gain^2 * 2 / (fan_in + fan_out); see `xavier_uniform_`."""
    return _normal(tensor, 0.0, _xavier(tensor, gain), "xavier_normal")


def kaiming_uniform_(
    tensor: T,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    gain: float | None = None,
) -> T:
    """Uniform, variance gain^2 / fan: with mode="fan_in" the signal keeps its second moment through
    layer and activation, with "fan_out" the gradient does. He et al. 2015, eq. 10 and 14.

    The gain follows from `nonlinearity`, and from `a`, the slope of a leaky relu below 0 (with
    a=0 that is relu); or give it as a number.

    Raises:
        ArgumentError: Another mode or nonlinearity, a negative gain, or a shape without fans.
    """
    return _uniform_of_std(tensor, _kaiming(tensor, a, mode, nonlinearity, gain), "kaiming_uniform")


def kaiming_normal_(
    tensor: T,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    gain: float | None = None,
) -> T:
    """Normal, variance gain^2 / fan; see `kaiming_uniform_`."""
    return _normal(tensor, 0.0, _kaiming(tensor, a, mode, nonlinearity, gain), "kaiming_normal")


def lecun_normal_(tensor: T, gain: float | str = 1.0) -> T:
    """Normal, variance gain^2 / fan_in: a sum of fan_in unit inputs has variance 1. LeCun et al.
    1998, "Efficient BackProp", eq. 16.

    Raises:
        ArgumentError: A gain that is negative or an unknown name, or a shape without fans.
    """
    fan_in, _ = fans(tensor.shape)
    return _normal(tensor, 0.0, _gain(gain) / math.sqrt(fan_in), "lecun_normal")


def orthogonal_(tensor: T, gain: float | str = 1.0) -> T:
    """`gain` times a matrix with orthonormal rows or columns, whichever are fewer, uniform among
    all such matrices (Haar measure); axes after the first count as columns. Saxe et al. 2014.

    An entry is a coordinate of a uniform point on the unit sphere in n = max(rows, columns)
    dimensions, so its variance is gain^2 / n and its kurtosis 3n / (n + 2).

    Raises:
        ArgumentError: A gain that is negative or an unknown name, or a shape without fans.
    """
    fans(tensor.shape)  # refuses vectors and empty matrices
    scale = _gain(gain)
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    n = max(rows, columns)
    draw = partial(_orthogonal_numbers, scale)
    return _write(tensor, draw, "orthogonal", 0.0, scale**2 / n, 3 * n / (n + 2))


# ------------------------------------------------------------------------------ gains


def _gain(gain: float | str, negative_slope: float = 0.01) -> float:
    """What an activation's input must be scaled by so that its output has second moment 1.

    Leaky relu with slope a keeps z^2 above 0 and a^2 z^2 below, (1 + a^2) / 2 of E[z^2] together;
    relu is a = 0, the identity a = 1.
    """
    slopes = {"linear": 1.0, "relu": 0.0, "leaky_relu": negative_slope}
    if not isinstance(gain, str):
        return _spread("gain", gain, "gain")
    if gain not in slopes:
        raise ArgumentError(f"gain: known names are {', '.join(slopes)}, not {gain!r}.")
    return math.sqrt(2 / (1 + slopes[gain] ** 2))


def _xavier(tensor: Tensor, gain: float | str) -> float:
    return _gain(gain) * math.sqrt(2 / sum(fans(tensor.shape)))


def _kaiming(tensor: Tensor, a: float, mode: str, nonlinearity: str, gain: float | None) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"kaiming: mode is 'fan_in' or 'fan_out', not {mode!r}.")
    fan = fans(tensor.shape)[mode == "fan_out"]
    negative_slope = _finite("kaiming", "a", a)
    return _gain(nonlinearity if gain is None else gain, negative_slope) / math.sqrt(fan)


# ------------------------------------------------------------------------------ drawing


# A law keeps its way to draw as a `partial` of one of these, which can be copied and pickled.


def _constant_numbers(value: float, generator: np.random.Generator, shape: Shape) -> Array:
    return np.full(shape, value)


def _normal_numbers(mean: float, std: float, generator: np.random.Generator, shape: Shape) -> Array:
    return mean + std * generator.standard_normal(shape)


def _uniform_numbers(a: float, b: float, generator: np.random.Generator, shape: Shape) -> Array:
    return generator.uniform(a, b, shape)


def _truncated_numbers(
    law: TruncatedNormal, mean: float, std: float, generator: np.random.Generator, shape: Shape
) -> Array:
    return mean + std * law.draw(generator, shape)


def _orthogonal_numbers(scale: float, generator: np.random.Generator, shape: Shape) -> Array:
    rows, columns = shape[0], math.prod(shape[1:])
    normal = generator.standard_normal((max(rows, columns), min(rows, columns)))
    # QR fixes the signs in its own way; with those of R's diagonal divided out, Q is uniform
    # (Mezzadri 2007).
    q, r = np.linalg.qr(normal)
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return np.asarray(scale * (q if rows >= columns else q.T).reshape(shape))


def _normal(tensor: T, mean: float, std: float, scheme: str) -> T:
    draw = partial(_normal_numbers, mean, std)
    return _write(tensor, draw, "normal", mean, std**2, NORMAL_KURTOSIS, scheme)


def _uniform_of_std(tensor: T, std: float, scheme: str) -> T:
    bound = math.sqrt(3) * std
    return _uniform(tensor, -bound, bound, scheme)


def _uniform(tensor: T, a: float, b: float, scheme: str) -> T:
    draw = partial(_uniform_numbers, a, b)
    mean, variance = (a + b) / 2, (b - a) ** 2 / 12
    return _write(tensor, draw, "uniform", mean, variance, UNIFORM_KURTOSIS, scheme)


def _write(
    tensor: T,
    draw: Draw,
    family: Family,
    mean: float,
    variance: float,
    kurtosis: float,
    scheme: str | None = None,
) -> T:
    """Draw and assign the values; graphs recorded with the old ones become stale, not wrong."""
    if not is_float(tensor.dtype):
        raise DTypeError(f"init: {tensor.dtype} cannot hold drawn values; use a float dtype.")
    if not tensor.is_leaf:
        raise GradientError("init: this tensor was computed by an op; only leaves are initialised.")
    if 0 in tensor.shape:
        raise ArgumentError(f"init: shape {tensor.shape} has no elements to initialise.")
    tensor.node.assign(draw(generator(), tensor.shape).astype(tensor.dtype))
    if isinstance(tensor, Parameter):
        fan_in, fan_out = fans(tensor.shape) if tensor.ndim > 1 else (None, None)
        tensor.law = Law(family, mean, variance, kurtosis, fan_in, fan_out, scheme or family, draw)
    return tensor


def _finite(name: str, argument: str, value: float) -> float:
    if not math.isfinite(value):
        raise ArgumentError(f"{name}: {argument} must be finite, got {value}.")
    return float(value)


def _spread(name: str, value: float, argument: str = "std") -> float:
    if not 0 <= value < math.inf:
        raise ArgumentError(f"{name}: {argument} must be finite and >= 0, got {value}.")
    return float(value)
