"""Convolution of arrays and its two transposes.

Both transposes are like it: the one in x is a convolution of y with the filters reversed, one for
each phase of the strides, and the one in w a product with the same windows. So nothing is ever
added at shifted places, which is slower than reading from them.

Shapes: x (n, channels, *size), w (out, channels / groups, *kernel), y (n, out, *count), for any
number of spatial axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.kernels import direct, unfolding
from tinygrad_edu.kernels.windows import Sizes, Windows

_WORTH = 1 << 23
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


def convolve(
    x: np.ndarray, w: np.ndarray, windows: Windows, groups: int, bias: np.ndarray | None = None
) -> np.ndarray:
    """y[n, o, p] = sum over c, k of x[n, c, window p at k] w[o, c, k] (+ bias[o]); the channels c
    are those of o's group."""
    y = np.empty((len(x), len(w), *windows.fitting(x.shape[2:])), x.dtype)
    filters = w.reshape(groups, len(w) // groups, math.prod(w.shape[1:]))
    _multiply(y, x, filters, windows, bias)
    return y


class _Phase(NamedTuple):
    """Of every `step`-th element of an axis of x, starting at `first`: which elements of a kernel
    ever meet them, and how a convolution of y with those, reversed, gives all of them."""

    places: slice
    taps: slice
    length: int
    padding: tuple[int, int]
    dilation: int


def _phases(windows: Windows, axis: int, size: int, count: int) -> Iterator[_Phase]:
    """Window o, element k lie at x = stride o + dilation k - before. So where x is r modulo the
    stride, only those k count for which dilation k - before is too, and with x = stride q + r each
    of them reads y at o = q - shift, shift = (dilation k - before - r) / stride."""
    kernel, step, dilation = windows.kernel[axis], windows.stride[axis], windows.dilation[axis]
    before, _ = windows.padding[axis]
    every = step // math.gcd(step, dilation)
    for first in range(min(step, size)):
        taps = [k for k in range(kernel) if (dilation * k - before - first) % step == 0]
        places = slice(first, None, step)
        if not taps:
            yield _Phase(places, slice(0), 0, (0, 0), 1)
            continue
        apart = every * dilation // step
        start = (dilation * taps[-1] - before - first) // step
        end = len(range(first, size, step)) + apart * (len(taps) - 1) - count - start
        yield _Phase(places, slice(taps[0], None, every), len(taps), (start, end), apart)


def convolve_input(
    y: np.ndarray, w: np.ndarray, windows: Windows, groups: int, size: Sizes
) -> np.ndarray:
    """The transpose of `convolve` in x: every y[n, o, p], times o's filter, is added to the window
    p of a result of this size. For each phase of the strides it is a convolution with part of the
    filters, reversed."""
    inner, rank = w.shape[1], len(size)
    x = np.empty((len(y), inner * groups, *size), y.dtype)
    axes = [_phases(windows, i, size[i], y.shape[2 + i]) for i in range(rank)]
    for phases in product(*axes):
        places: Any = (..., *(phase.places for phase in phases))
        part = x[places]
        kernel = tuple(phase.length for phase in phases)
        if 0 in kernel:
            part[...] = 0
            continue
        taken: Any = (..., *(phase.taps for phase in phases))
        reversed_taps: Any = (..., *[slice(None, None, -1)] * rank)
        filters = w[taken][reversed_taps].reshape(groups, -1, inner, *kernel).swapaxes(1, 2)
        filters = np.ascontiguousarray(filters).reshape(groups, inner, -1)
        padding, dilation = (tuple(getattr(p, n) for p in phases) for n in ("padding", "dilation"))
        reverse = Windows(kernel, (1,) * rank, padding, dilation)
        _multiply(part, y, filters, reverse, None)
    return x


def convolve_weight(x: np.ndarray, y: np.ndarray, windows: Windows, groups: int) -> np.ndarray:
    """The transpose of `convolve` in w: for each filter the sum of all windows, each times the y it
    gave."""
    return unfolding.multiply_outer(x, y, windows, groups)
