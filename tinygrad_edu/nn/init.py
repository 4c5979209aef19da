"""Initial values of parameters: torch.nn.init's names, and the law of what was drawn.

Each function writes into the tensor it is given and returns it; a `Parameter` then knows the law
its values come from (`parameter.law`). Draws are keyed: `tg.manual_seed` repeats them, and float32
gets the same numbers as float64, rounded.

Where this differs from torch: gains are derived; fans know groups; the `std` of `trunc_normal_` is
the one that results, not that of the law before it was cut; a call that would do nothing or divide
by zero raises.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.nn.drawing import (
    T,
    constant_law,
    finite,
    normal_law,
    orthogonal_law,
    spread,
    truncated_law,
    uniform_law,
    uniform_law_of_std,
    write,
    write_values,
)
from tinygrad_edu.nn.gains import CLOSED_FORMS, GAINS
from tinygrad_edu.nn.lsuv import lsuv_
from tinygrad_edu.nn.parameter import Parameter, fans

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "fans",
    "kaiming_normal_",
    "kaiming_uniform_",
    "lecun_normal_",
    "lsuv_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

# ------------------------------------------------------------------------------ plain laws


def constant_(tensor: T, val: float) -> T:
    """Every element `val`."""
    return write(tensor, constant_law(finite("constant_", "val", val)))


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
    return write(tensor, normal_law(finite("normal_", "mean", mean), spread("normal_", std)))


def uniform_(tensor: T, a: float = 0.0, b: float = 1.0) -> T:
    """Independent numbers, uniform on [a, b): variance (b - a)^2 / 12.

    Raises:
        ArgumentError: b < a, anything infinite or NaN, or a tensor without elements.
    """
    a, b = finite("uniform_", "a", a), finite("uniform_", "b", b)
    if b < a:
        raise ArgumentError(f"uniform_: needs a <= b, got a={a} and b={b}.")
    return write(tensor, uniform_law(a, b))


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
    mean, std = finite("trunc_normal_", "mean", mean), spread("trunc_normal_", std)
    if not a < mean < b:
        raise ArgumentError(f"trunc_normal_: needs a < mean < b, got {a}, {mean}, {b}.")
    if std == 0:
        return constant_(tensor, mean)
    return write(tensor, truncated_law(mean, std, a, b))


# ------------------------------------------------------------------------------ scaled by fans


def xavier_uniform_(tensor: T, gain: float | str = 1.0, *, groups: int | None = None) -> T:
    """Uniform, variance gain^2 * 2 / (fan_in + fan_out): a compromise between keeping the signal
    (1 / fan_in) and its gradient (1 / fan_out). Glorot and Bengio 2010, eq. 16.

    A gain may be named by the nonlinearity it is for, see `calculate_gain`; `groups` as for `fans`.

    Raises:
        ArgumentError: A gain that is negative or an unknown name, or a shape without fans.
    """
    law = uniform_law_of_std(_xavier(tensor, gain, groups), "xavier_uniform")
    return write(tensor, law, groups)


def xavier_normal_(tensor: T, gain: float | str = 1.0, *, groups: int | None = None) -> T:
    """Normal, variance gain^2 * 2 / (fan_in + fan_out); see `xavier_uniform_`."""
    return write(tensor, normal_law(0.0, _xavier(tensor, gain, groups), "xavier_normal"), groups)


def kaiming_uniform_(
    tensor: T,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    gain: float | None = None,
    groups: int | None = None,
) -> T:
    """Uniform, variance gain^2 / fan: with mode="fan_in" the signal keeps its second moment through
    layer and activation, with "fan_out" the gradient does. He et al. 2015, eq. 10 and 14.

    The gain is `calculate_gain` of the `nonlinearity`, with `a` the slope of a leaky relu below 0
    (a=0 is relu); or give it as a number. It is the forward one: that of the gradient is
    1/sqrt(E[phi'^2]), the same for relu, leaky relu and linear only. `groups` as for `fans`.

    Raises:
        ArgumentError: Another mode or nonlinearity, a negative gain, or a shape without fans.
    """
    std = _kaiming(tensor, a, mode, nonlinearity, gain, groups)
    return write(tensor, uniform_law_of_std(std, "kaiming_uniform"), groups)


def kaiming_normal_(
    tensor: T,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    gain: float | None = None,
    groups: int | None = None,
) -> T:
    """Normal, variance gain^2 / fan; see `kaiming_uniform_`."""
    std = _kaiming(tensor, a, mode, nonlinearity, gain, groups)
    return write(tensor, normal_law(0.0, std, "kaiming_normal"), groups)


def lecun_normal_(tensor: T, gain: float | str = 1.0, *, groups: int | None = None) -> T:
    """Normal, variance gain^2 / fan_in: a sum of fan_in unit inputs has variance 1. LeCun et al.
    1998, "Efficient BackProp", eq. 16.

    Raises:
        ArgumentError: A gain that is negative or an unknown name, or a shape without fans.
    """
    fan_in, _ = fans(tensor, groups)
    return write(tensor, normal_law(0.0, _gain(gain) / math.sqrt(fan_in), "lecun_normal"), groups)


def orthogonal_(tensor: T, gain: float | str = 1.0, *, groups: int | None = None) -> T:
    """`gain` times a matrix with orthonormal rows or columns, whichever are fewer, uniform among
    all such matrices (Haar measure); axes after the first count as columns. Saxe et al. 2014. In a
    convolution with groups, each group has a matrix of its own.

    An entry is a coordinate of a uniform point on the unit sphere in n = max(rows, columns)
    dimensions, so its variance is gain^2 / n and its kurtosis 3n / (n + 2).

    Raises:
        ArgumentError: A gain that is negative or an unknown name, or a shape without fans.
    """
    fans(tensor, groups)  # refuses vectors, empty matrices and groups that do not divide the rows
    count = groups or (tensor.groups if isinstance(tensor, Parameter) else 1)
    return write(tensor, orthogonal_law(tensor.shape, _gain(gain), count), groups)


# ------------------------------------------------------------------------------ identities


def eye_(tensor: T) -> T:
    """The identity matrix, or as much of it as the shape has. No law: it is these numbers.

    Raises:
        ArgumentError: A tensor that is no matrix.
    """
    if tensor.ndim != 2:
        raise ArgumentError(f"eye_: needs a matrix, got shape {tensor.shape}.")
    rows, columns = tensor.shape
    return write_values(tensor, np.eye(rows, columns))


def dirac_(tensor: T, groups: int = 1) -> T:
    """A convolution that passes on its first channels as they are, with padding "same"; with
    groups, each group its own. (With an even kernel: moved by half a pixel.)

    Raises:
        ArgumentError: Not 3 to 5 axes, or groups that do not divide the channels.
    """
    if not 3 <= tensor.ndim <= 5:
        raise ArgumentError(f"dirac_: needs a convolution's weight, got shape {tensor.shape}.")
    rows, columns, *kernel = tensor.shape
    if groups < 1 or rows % groups:
        raise ArgumentError(f"dirac_: groups={groups} must divide the {rows} channels.")
    each = rows // groups
    values = np.zeros(tensor.shape)
    centre = tuple(size // 2 for size in kernel)
    for channel in range(min(each, columns)):
        for group in range(groups):
            values[(group * each + channel, channel, *centre)] = 1
    return write_values(tensor, values)


# ------------------------------------------------------------------------------ gains


def calculate_gain(nonlinearity: str, param: float | str | None = None) -> float:
    """1/sqrt(E[phi(z)^2]) with z ~ N(0, 1): what an activation's input must be scaled by so that
    with weights of variance gain^2 / fan_in the second moment 1 is kept from layer to layer.

    The numbers and formulas in `nn.gains` are those that the analyzer derives from the rules of the
    engine's ops. torch has other values for three: tanh (5/3, here 1.5925), selu (3/4, here 1) and
    sigmoid (1, here 1.8462), and none for most others.

    Args:
        nonlinearity: A name of `nn.functional`, or "linear", "identity", "conv1d",
            "conv_transpose2d" and so on, which have gain 1.
        param: The negative slope of leaky_relu (0.01 if None), the alpha of elu (1), or the
            `approximate` of gelu.

    Raises:
        ArgumentError: Another name, or a parameter for which no formula is known.
    """
    if nonlinearity in _LINEAR:
        return 1.0
    if nonlinearity == "gelu" and param == "tanh":
        return GAINS["gelu_tanh"]
    if nonlinearity not in GAINS:
        raise ArgumentError(
            f"calculate_gain: known names are {', '.join(['linear', *GAINS])}, not "
            f"{nonlinearity!r}. analysis.gain derives the gain of any other function."
        )
    if param is None or (nonlinearity == "gelu" and param == "none"):
        return GAINS[nonlinearity]
    if nonlinearity not in CLOSED_FORMS or isinstance(param, str):
        raise ArgumentError(
            f"calculate_gain: no formula in the parameter of {nonlinearity!r} is known, so its "
            f"default has a gain here and {param!r} has not. analysis.gain derives the gain of any "
            "module, such as nn.Softplus(2.0)."
        )
    return CLOSED_FORMS[nonlinearity](finite("calculate_gain", "param", param))


_LINEAR = {"linear", "identity"} | {
    f"conv{transposed}{axes}d" for transposed in ("", "_transpose") for axes in (1, 2, 3)
}


def _gain(gain: float | str) -> float:
    return calculate_gain(gain) if isinstance(gain, str) else spread("gain", gain, "gain")


def _xavier(tensor: Tensor, gain: float | str, groups: int | None) -> float:
    return _gain(gain) * math.sqrt(2 / sum(fans(tensor, groups)))


def _kaiming(
    tensor: Tensor,
    a: float,
    mode: str,
    nonlinearity: str,
    gain: float | None,
    groups: int | None,
) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"kaiming: mode is 'fan_in' or 'fan_out', not {mode!r}.")
    fan = fans(tensor, groups)[mode == "fan_out"]
    slope = finite("kaiming", "a", a) if nonlinearity == "leaky_relu" else None
    return (calculate_gain(nonlinearity, slope) if gain is None else _gain(gain)) / math.sqrt(fan)
