"""Pooling: the largest element, or the mean, of each window over the last axes.

`padding` is a pair (before, after) for every pooled axis; nothing stands there: it is never the
largest, and counts in a mean only if asked. An `after` larger than `before` lets a last window
begin that does not fit whole (torch's ceil_mode). Windows are boxes, so every function goes along
one axis after the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_edu.kernels.convolution.windows import Sides, Sizes, Windows, inside
from tinygrad_edu.ops.dtypes import Spec, int64
from tinygrad_edu.ops.kinds import Rule, Shape, Written, index, linear
from tinygrad_edu.ops.silence import silently
from tinygrad_edu.ops.structural import Key
from tinygrad_edu.ops.table import Reader

Part = tuple[slice, ...]

# ------------------------------------------------------------------------------ windows


class Line(NamedTuple):
    """One pooled axis: its size, the number of windows, and how they lie."""

    size: int
    windows: int
    kernel: int
    step: int
    before: int
    dilation: int

    def taps(self, axis: int) -> Iterator[tuple[int, Part, Part]]:
        """For each element of a window: its number, the windows in which it is not padding, and
        where it is in these, as keys for arrays with the line along this axis."""
        ahead = (slice(None),) * axis
        for tap in range(self.kernel):
            shift = self.dilation * tap - self.before
            low, high = inside(self.size, self.windows, self.step, shift)
            if low < high:
                start = self.step * low + shift
                end = start + self.step * (high - low - 1) + 1
                yield tap, (*ahead, slice(low, high)), (*ahead, slice(start, end, self.step))


def _lines(shape: Shape, windows: Windows) -> Iterator[tuple[int, Line]]:
    """The pooled axes, the last ones of a shape, and how windows lie along each."""
    rank = len(windows.kernel)
    size = shape[len(shape) - rank :]
    rows = zip(size, windows.fitting(size), *windows, strict=True)
    for i, (n, count, kernel, step, (before, _), dilation) in enumerate(rows):
        yield len(shape) - rank + i, Line(n, count, kernel, step, before, dilation)


def _shape(name: str, x: Spec, windows: Windows) -> Shape:
    """The shape of the result; raises on a misfit."""
    rank = len(windows.kernel)
    if x.dtype.kind not in "fc":  # complex: the complex step tests derivatives
        raise DTypeError(f"{name}: needs floats, got {x.dtype} {x.shape}; convert with .float().")
    if not 1 <= rank <= len(x.shape) or not all(len(part) == rank for part in windows):
        raise ShapeError(
            f"{name}: a window {windows.kernel} with stride {windows.stride}, padding "
            f"{windows.padding} and dilation {windows.dilation} does not belong to the last axes "
            f"of shape {x.shape}."
        )
    if min(*windows.kernel, *windows.stride, *windows.dilation) < 1:
        raise ArgumentError(
            f"{name}: kernel, stride and dilation are at least 1, got {windows.kernel}, "
            f"{windows.stride} and {windows.dilation}."
        )
    size = x.shape[len(x.shape) - rank :]
    counts = windows.fitting(size)
    if min(counts) < 1:
        raise ShapeError(
            f"{name}: a window {windows.kernel} covers {windows.extent}, and the input of {size} "
            f"is {windows.padded(size)} with its padding; use a smaller window."
        )
    if any(map(any, windows.padding)):
        _check_padding(name, x.shape, windows)
    return (*x.shape[: len(x.shape) - rank], *counts)


def _check_padding(name: str, shape: Shape, windows: Windows) -> None:
    """Every window must have an element."""
    for axis, line in _lines(shape, windows):
        starts = line.step * np.arange(line.windows) - line.before
        taps = np.maximum(-(starts // line.dilation), 0)  # the first that are not before the axis
        places = starts + line.dilation * taps
        if line.before < 0 or taps.max() >= line.kernel or places.max() >= line.size:
            raise ShapeError(
                f"{name}: with padding {windows.padding} a window {windows.kernel} of stride "
                f"{windows.stride} lies wholly in the padding of axis {axis} of {shape}; pad by at "
                "most half a window."
            )


def _resized(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])


# ------------------------------------------------------------------------------ the largest


def _flat(m: Reader, x: Any) -> Any:
    return m.reshape(x, shape=(math.prod(x.shape),))


_PLACES = Key((Key.ARRAY,))


class Pooled(Written):
    """Takes one element of each window. Where it is, the op `positions` finds once a derivative is
    asked for: that costs less than to remember it each time."""

    kind = "selection"

    def __init__(self, forward: Rule, shape: Rule, positions: str) -> None:
        super().__init__(forward, shape)
        self.positions = positions

    def vjp(
        self, m: Reader, g: Any, y: Any, xs: Sequence[Any], wanted: Sequence[bool], **params: Any
    ) -> list[Any]:
        (x,) = xs
        places = _flat(m, getattr(m, self.positions)(x, **params))
        spread = m.scatter(_flat(m, g), places, key=_PLACES, shape=(math.prod(x.shape),))
        return [m.reshape(spread, shape=x.shape)]

    def jvp(
        self, m: Reader, ts: Sequence[Any], y: Any, xs: Sequence[Any], **params: Any
    ) -> Any | None:
        places = _flat(m, getattr(m, self.positions)(xs[0], **params))
        return m.reshape(m.getitem(_flat(m, ts[0]), places, key=_PLACES), shape=y.shape)


def _pooled(positions: str) -> Any:
    """Register the decorated function as a selection whose positions that op gives."""
    return lambda forward: Pooled(
        forward, lambda x, **layout: _shape(forward.__name__, x, Windows(**layout)), positions
    )


@_pooled(positions="max_pool_positions")
def max_pool(x, kernel, stride, padding, dilation):
    """The largest element of each window; NaN if it holds one. Its derivative goes to the first of
    equal elements, and to the last NaN, as in torch."""
    windows = Windows(kernel, stride, padding, dilation)
    _shape("max_pool", x, windows)
    found = _compiled(x, windows, positions=False)
    return silently(_largest, x, windows) if found is None else found


_WORTH = 1 << 12
"""So many elements are worth a kernel: below, NumPy takes some microseconds, and loading LLVM takes
a tenth of a second, once in a process."""


def _compiled(x: np.ndarray, windows: Windows, positions: bool) -> np.ndarray | None:
    """The largest elements or their positions by a kernel; None if NumPy should find them."""
    if x.size < _WORTH:
        return None
    from tinygrad_edu.kernels.convolution import pooled

    return pooled.pool(x, windows, positions)


def _largest(x: np.ndarray, windows: Windows) -> np.ndarray:
    for axis, line in _lines(x.shape, windows):
        x = _largest_along(x, axis, line)
    return x


def _largest_along(x: np.ndarray, axis: int, line: Line) -> np.ndarray:
    y = np.full(_resized(x.shape, axis, line.windows), -math.inf, x.dtype)
    for _, to, at in line.taps(axis):
        np.maximum(y[to], x[at], out=y[to])
    return y


@index(shape=lambda x, **layout: _shape("max_pool_positions", x, Windows(**layout)), dtype=int64)
def max_pool_positions(x, kernel, stride, padding, dilation):
    """Where each element of `max_pool` stands, counted through all of x in row-major order."""
    windows = Windows(kernel, stride, padding, dilation)
    _shape("max_pool_positions", x, windows)
    found = _compiled(x, windows, positions=True)
    if found is not None:
        return found
    number = silently(_positions, x, windows)
    return _place(x.shape, windows).take(number) + _origins(x.shape, windows)


def _positions(x: np.ndarray, windows: Windows) -> np.ndarray:
    """The number of the winner among the elements of its window. Along the last axis first, so that
    of equal elements the first in row-major order wins."""
    unsigned = np.min_scalar_type(math.prod(windows.kernel))
    number: np.ndarray | None = None
    before = 1
    for axis, line in reversed(list(_lines(x.shape, windows))):
        y = _largest_along(x, axis, line)
        chosen = np.zeros(y.shape, unsigned)
        taps = list(line.taps(axis))
        tests: list[tuple[Any, Any]] = [(np.equal, reversed(taps))]
        if np.isnan(y).any():
            # Not by isnan, which with gaps in its result is wrong in NumPy 2.4.6.
            tests.append((lambda new, _, out: np.not_equal(new, new, out=out), taps))
        for test, order in tests:
            for tap, to, at in order:
                wins = np.zeros(y.shape, np.bool_)
                test(x[at], y[to], out=wins[to])
                _choose(wins, to, 0 if number is None else number[at], before * tap, chosen)
        x, number, before = y, chosen, before * line.kernel
    assert number is not None
    return number


def _choose(wins: np.ndarray, to: Part, new: Any, more: int, out: np.ndarray) -> None:
    """Where it `wins`, which is in the part `to` only, write new + more into `out`. By arithmetic
    modulo the range of the numbers: to copy where a condition holds takes ten times as long."""
    change = np.zeros_like(out)
    change[to] = new
    change += out.dtype.type(more)
    change -= out
    change *= wins.view(np.uint8)  # a bool would be converted in small portions
    out += change


def _place(shape: Shape, windows: Windows) -> np.ndarray:
    """How far each element of a window is from its first, in row-major order of the input."""
    total: np.ndarray = np.zeros((), np.int64)
    for axis, line in _lines(shape, windows):
        apart = line.dilation * math.prod(shape[axis + 1 :])
        total = total[..., None] + apart * np.arange(line.kernel)
    return total.reshape(-1)


def _origins(shape: Shape, windows: Windows) -> np.ndarray:
    """Where the first element of each window is, or would be."""
    lead = shape[: len(shape) - len(windows.kernel)]
    plane = math.prod(shape[len(lead) :])
    total = plane * np.arange(math.prod(lead)).reshape(lead)
    for axis, line in _lines(shape, windows):
        starts = line.step * np.arange(line.windows) - line.before
        total = total[..., None] + math.prod(shape[axis + 1 :]) * starts
    return np.asarray(total)


# ------------------------------------------------------------------------------ the mean


def mean_windows(kernel: Sizes, stride: Sizes, padding: Sides, **counting: Any) -> Windows:
    """The windows of a mean, which has no dilation."""
    return Windows(kernel, stride, padding, (1,) * len(kernel))


def divisors(size: Sizes, windows: Windows, count_padding: bool, divisor: int) -> Any:
    """What the sum of each window is divided by: a number, or an array over the pooled axes."""
    if divisor:
        return divisor
    total: Any = 1
    for axis, line in _lines(size, windows):
        starts = line.step * np.arange(line.windows) - line.before
        margin = line.before if count_padding else 0  # as much at either end
        ends = np.minimum(starts + line.kernel, line.size + margin)
        counts = ends - np.maximum(starts, -margin)
        total = total * counts.reshape(-1, *[1] * (len(size) - axis - 1))
    return int(total.flat[0]) if (total == total.flat[0]).all() else total


@linear(
    shape=lambda x, **layout: _shape("avg_pool", x, mean_windows(**layout)),
    transpose=lambda m, g, x, **layout: m.avg_pool_input(
        g, size=x.shape[len(x.shape) - len(layout["kernel"]) :], **layout
    ),
)
def avg_pool(x, kernel, stride, padding, count_padding, divisor):
    """The mean of each window, or with a `divisor` its sum divided by that; `count_padding` says
    whether the padding, as much as is before the first element, counts as zeros."""
    windows = mean_windows(kernel, stride, padding)
    _shape("avg_pool", x, windows)
    size = x.shape[x.ndim - len(kernel) :]
    return silently(_means, x, windows, divisors(size, windows, count_padding, divisor))


def _means(x: np.ndarray, windows: Windows, divisors: Any) -> np.ndarray:
    for axis, line in _lines(x.shape, windows):
        y = np.zeros(_resized(x.shape, axis, line.windows), x.dtype)
        for _, to, at in line.taps(axis):
            np.add(y[to], x[at], out=y[to])
        x = y
    x /= divisors
    return x


def _spread_shape(y: Spec, size: Sizes, **layout: Any) -> Shape:
    windows = mean_windows(**layout)
    lead = y.shape[: len(y.shape) - len(size)]
    x = np.broadcast_to(np.empty((), y.dtype), (*lead, *size))
    if _shape("avg_pool_input", x, windows) != y.shape:
        raise ShapeError(
            f"avg_pool_input: windows {windows.kernel} over {size} give {windows.fitting(size)} "
            f"means, not the last axes of {y.shape}."
        )
    return x.shape


@linear(
    shape=_spread_shape,
    transpose=lambda m, g, y, size, **layout: m.avg_pool(g, **layout),
)
def avg_pool_input(y, size, kernel, stride, padding, count_padding, divisor):
    """The transpose of `avg_pool`: each element of a window receives its share of the mean."""
    _spread_shape(y, size, kernel=kernel, stride=stride, padding=padding)
    windows = mean_windows(kernel, stride, padding)
    return silently(_shares, y, size, windows, divisors(size, windows, count_padding, divisor))


def _shares(y: np.ndarray, size: Sizes, windows: Windows, divisors: Any) -> np.ndarray:
    y = y / divisors if isinstance(divisors, int) else (y / divisors).astype(y.dtype, copy=False)
    lead = y.shape[: y.ndim - len(size)]
    for axis, line in reversed(list(_lines((*lead, *size), windows))):
        x = np.zeros(_resized(y.shape, axis, line.size), y.dtype)
        for _, to, at in line.taps(axis):
            np.add(x[at], y[to], out=x[at])
        y = x
    return y
