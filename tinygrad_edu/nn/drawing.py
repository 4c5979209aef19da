"""The laws that `nn.init` draws from, and writing what was drawn into a tensor."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np

from tinygrad_edu.errors import ArgumentError, DTypeError, GradientError
from tinygrad_edu.graph.creation import generator
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.nn.parameter import Array, Draw, Law, Parameter, Shape, fans
from tinygrad_edu.nn.truncated import TruncatedNormal, standardized
from tinygrad_edu.ops.dtypes import is_float

T = TypeVar("T", bound=Tensor)

NORMAL_KURTOSIS = 3.0
UNIFORM_KURTOSIS = 9 / 5
CONSTANT_KURTOSIS = 1.0  # 0/0; see `Law`
LARGEST = 1e150
"""Standard deviations beyond it have squares that no double holds."""


def write(tensor: T, law: Law, groups: int | None = None) -> T:
    """Draw and assign the values; graphs recorded with the old ones become stale, not wrong. A
    parameter notes the law, with the fans that its shape and `groups` give."""
    _check(tensor)
    fan_in, fan_out = fans(tensor, groups) if tensor.ndim > 1 else (None, None)
    tensor.node.assign(law.draw(generator(), tensor.shape).astype(tensor.dtype))
    if isinstance(tensor, Parameter):
        tensor.law = replace(law, fan_in=fan_in, fan_out=fan_out)
    return tensor


def write_values(tensor: T, values: np.ndarray) -> T:
    """Assign values that no law has drawn; a parameter then has none."""
    _check(tensor)
    tensor.node.assign(values.astype(tensor.dtype))
    return tensor


def _check(tensor: Tensor) -> None:
    if not is_float(tensor.dtype):
        raise DTypeError(f"init: {tensor.dtype} cannot hold drawn values; use a float dtype.")
    if not tensor.is_leaf:
        raise GradientError("init: this tensor was computed by an op; only leaves are initialised.")
    if 0 in tensor.shape:
        raise ArgumentError(f"init: shape {tensor.shape} has no elements to initialise.")


# ------------------------------------------------------------------------------ laws

# Whoever draws from a law adds the fans.


def constant_law(value: float) -> Law:
    """One number everywhere."""
    draw = partial(_constant_numbers, value)
    return Law("constant", value, 0.0, CONSTANT_KURTOSIS, None, None, "constant", draw)


def normal_law(mean: float, std: float, scheme: str = "normal") -> Law:
    """Independent normal numbers."""
    draw = partial(_normal_numbers, mean, std)
    return Law("normal", mean, std**2, NORMAL_KURTOSIS, None, None, scheme, draw)


def uniform_law(a: float, b: float, scheme: str = "uniform") -> Law:
    """Independent numbers, uniform on [a, b)."""
    mean, variance = (a + b) / 2, (b - a) ** 2 / 12
    draw = partial(_uniform_numbers, a, b)
    return Law("uniform", mean, variance, UNIFORM_KURTOSIS, None, None, scheme, draw)


def uniform_law_of_std(std: float, scheme: str) -> Law:
    """The uniform law of mean 0 and this standard deviation."""
    bound = math.sqrt(3) * std
    return uniform_law(-bound, bound, scheme)


def truncated_law(mean: float, std: float, a: float, b: float) -> Law:
    """The normal law cut off outside [a, b] that has this mean and standard deviation."""
    law = standardized((a - mean) / std, (b - mean) / std)
    draw = partial(_truncated_numbers, law, mean, std)
    kurtosis = law.kurtosis
    return Law("truncated_normal", mean, std**2, kurtosis, None, None, "trunc_normal", draw)


def orthogonal_law(shape: Shape, gain: float, groups: int, scheme: str = "orthogonal") -> Law:
    """`gain` times a matrix (for each group) with orthonormal rows or columns, by Haar measure."""
    n = max(shape[0] // groups, math.prod(shape[1:]))
    draw = partial(_orthogonal_numbers, gain, groups)
    return Law("orthogonal", 0.0, gain**2 / n, 3 * n / (n + 2), None, None, scheme, draw)


def scaled_law(law: Law, factor: float) -> Law:
    """What `factor` times a value of the law is drawn from."""
    draw = partial(_scaled_numbers, factor, law.draw)
    mean, variance = factor * law.mean, factor**2 * law.variance
    return replace(law, mean=mean, variance=variance, draw=draw)


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


def _orthogonal_numbers(
    gain: float, groups: int, generator: np.random.Generator, shape: Shape
) -> Array:
    rows, columns = shape[0] // groups, math.prod(shape[1:])
    normal = generator.standard_normal((groups, max(rows, columns), min(rows, columns)))
    # QR fixes the signs in its own way; with those of R's diagonal divided out, Q is uniform
    # (Mezzadri 2007).
    q, r = np.linalg.qr(normal)
    q *= np.where(np.diagonal(r, axis1=1, axis2=2) < 0, -1.0, 1.0)[:, None]
    return np.asarray(gain * (q if rows >= columns else q.swapaxes(1, 2)).reshape(shape))


def _scaled_numbers(
    factor: float, draw: Draw, generator: np.random.Generator, shape: Shape
) -> Array:
    return factor * draw(generator, shape)


# ------------------------------------------------------------------------------ arguments


def finite(name: str, argument: str, value: float) -> float:
    """The value, or an `ArgumentError` that names function and argument."""
    if not math.isfinite(value):
        raise ArgumentError(f"{name}: {argument} must be finite, got {value}.")
    return float(value)


def spread(name: str, value: float, argument: str = "std") -> float:
    """A standard deviation or another finite number >= 0."""
    if not 0 <= value < math.inf:
        raise ArgumentError(f"{name}: {argument} must be finite and >= 0, got {value}.")
    if value > LARGEST:
        raise ArgumentError(f"{name}: {argument} has no finite variance, got {value}.")
    return float(value)
