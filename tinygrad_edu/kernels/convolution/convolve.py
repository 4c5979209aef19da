"""Convolution of arrays and its two transposes.

Both transposes are like it: the one in x is a convolution of y with the filters reversed, one for
each phase of the strides, and the one in w a product with the same windows. So nothing is ever
added at shifted places, which is slower than reading from them.

Shapes: x (n, channels, *size), w (out, channels / groups, *kernel), y (n, out, *count), for any
number of spatial axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_edu.kernels.convolution import direct, unfolding
from tinygrad_edu.kernels.convolution.sweep import Line, transposed_sweep
from tinygrad_edu.kernels.convolution.windows import Sides, Sizes, Windows

_WORTH = 1 << 20
"""So many multiplications are worth kernels of their own: below, BLAS takes a fraction of a
millisecond, and loading LLVM takes a tenth of a second, once in a process."""


def _multiply(
    y: np.ndarray, x: np.ndarray, filters: np.ndarray, windows: Windows, bias: np.ndarray | None
) -> None:
    """Write into y the products of filters (groups, out / groups, channels of a group * kernel) and
    the windows of x, plus the bias (out,)."""
    large = y.size * filters.shape[2] >= _WORTH
    scheme = direct if large and direct.suits(windows, x) else unfolding
    scheme.multiply(y, x, filters, windows, bias)


def _by_channels(products: int, outer: int, inner: int, groups: int, result: np.ndarray) -> Any:
    """The scheme with channels as lanes, if it suits this result of so many products, or None."""
    if products < _WORTH:
        return None
    from tinygrad_edu.kernels.convolution import channels

    width = result.shape[-1]
    return channels if channels.suits(outer, inner, groups, width, result.dtype) else None


def convolve(
    x: np.ndarray, w: np.ndarray, windows: Windows, groups: int, bias: np.ndarray | None = None
) -> np.ndarray:
    """y[n, o, p] = sum over c, k of x[n, c, window p at k] w[o, c, k] (+ bias[o]); the channels c
    are those of o's group."""
    y = np.empty((len(x), len(w), *windows.fitting(x.shape[2:])), x.dtype)
    scheme = _by_channels(y.size * w[0].size, len(w) // groups, w.shape[1], groups, y)
    if scheme is not None:
        scheme.convolve(y, x, w, windows, groups, bias)
        return y
    filters = w.reshape(groups, len(w) // groups, math.prod(w.shape[1:]))
    _multiply(y, x, filters, windows, bias)
    return y


def convolve_input(
    y: np.ndarray, w: np.ndarray, windows: Windows, groups: int, size: Sizes
) -> np.ndarray:
    """The transpose of `convolve` in x: every y[n, o, p], times o's filter, is added to the window
    p of a result of this size. For each phase of the strides it is a convolution with part of the
    filters, reversed."""
    inner, counts = w.shape[1], y.shape[2:]
    x = np.empty((len(y), inner * groups, *size), y.dtype)
    scheme = _by_channels(y.size * w[0].size, inner, len(w) // groups, groups, x)
    if scheme is not None:
        scheme.convolve_input(x, y, w, windows, groups)
        return x
    for lines in transposed_sweep(windows, size, counts).phases():
        places: Any = (..., *(slice(line.first, None, line.step) for line in lines))
        part = x[places]
        kernel = tuple(len(line.taps) for line in lines)
        if 0 in kernel:
            part[...] = 0
            continue
        taps: Any = (slice(None), slice(None), *np.ix_(*(line.taps[::-1] for line in lines)))
        filters = w[taps].reshape(groups, -1, inner, *kernel).swapaxes(1, 2)
        filters = np.ascontiguousarray(filters).reshape(groups, inner, -1)
        reverse = Windows(kernel, (1,) * len(size), *_reversed(lines, counts))
        _multiply(part, y, filters, reverse, None)
    return x


def _reversed(lines: Sequence[Line], counts: Sizes) -> tuple[Sides, Sizes]:
    """The padding and dilation of windows that read what these lines do, with their elements in
    reverse order."""
    padding, dilation = [], []
    for line, count in zip(lines, counts, strict=True):
        first, last = line.reach
        padding.append((-first, last - count + 1))
        dilation.append(line.shifts[0] - line.shifts[1] if len(line.shifts) > 1 else 1)
    return tuple(padding), tuple(dilation)


def convolve_weight(x: np.ndarray, y: np.ndarray, windows: Windows, groups: int) -> np.ndarray:
    """The transpose of `convolve` in w: for each filter the sum of all windows, each times the y it
    gave."""
    inner = x.shape[1] // groups
    w = np.empty((y.shape[1], inner, *windows.kernel), x.dtype)
    scheme = _by_channels(y.size * w[0].size, len(w) // groups, inner, groups, y)
    if scheme is not None:
        scheme.convolve_weight(w, x, y, windows, groups)
        return w
    return unfolding.multiply_outer(x, y, windows, groups)
