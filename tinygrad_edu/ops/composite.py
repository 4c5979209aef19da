"""Composites: functions written over the table's ops, differentiable because their parts are.

Each takes a reader `m` first, so the recording graph and plain arrays run the same text.
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_edu.ops.structural import Key
from tinygrad_edu.ops.table import Reader

Axes = tuple[int, ...]


def element_count(x: Any, axes: Axes) -> int:
    return math.prod(x.shape[axis] for axis in axes)


def mean(m: Reader, x: Any, axes: Axes, keepdims: bool = False) -> Any:
    """The mean over `axes`; nan over nothing, as in NumPy and torch."""
    total = m.sum(x, axes=axes, keepdims=keepdims)
    return total / float(element_count(x, axes))


def var(m: Reader, x: Any, axes: Axes, correction: float = 1, keepdims: bool = False) -> Any:
    """The mean squared deviation, over ``n - correction`` instead of n."""
    deviation = x - mean(m, x, axes, keepdims=True)
    total = m.sum(deviation * deviation, axes=axes, keepdims=keepdims)
    return total / float(max(element_count(x, axes) - correction, 0))


def root(m: Reader, total: Any, order: float = 2) -> Any:
    """The root of this order with derivative 0 at 0 instead of inf: what std and norm need at a
    constant input.

    The inner `where` keeps the infinite partial of the root out of the graph; the outer one
    restores the value (a "double where")."""
    flat = m.eq(total, 0)
    safe = m.where(flat, 1, total)
    return m.where(flat, 0, m.sqrt(safe) if order == 2 else m.pow(safe, 1 / order))


def std(m: Reader, x: Any, axes: Axes, correction: float = 1, keepdims: bool = False) -> Any:
    """The square root of `var`, with gradient 0 where all elements are equal."""
    return root(m, var(m, x, axes, correction, keepdims))


def norm(m: Reader, x: Any, axes: Axes, keepdims: bool = False, p: float = 2) -> Any:
    """(sum |x|^p)^(1/p) over `axes`, and its limits: the number of elements other than 0 for p = 0,
    the largest magnitude for p = inf, the smallest for -inf. What is 0 receives gradient 0."""
    if p == 2:
        return root(m, m.sum(x * x, axes=axes, keepdims=keepdims))
    if p == 1:
        return m.sum(m.abs(x), axes=axes, keepdims=keepdims)
    if p == math.inf:
        return m.amax(m.abs(x), axes=axes, keepdims=keepdims)
    if p == -math.inf:
        return m.amin(m.abs(x), axes=axes, keepdims=keepdims)
    if p == 0:
        return m.sum(m.cast(m.ne(x, 0), dtype=x.dtype), axes=axes, keepdims=keepdims)
    zero = m.eq(x, 0)
    powers = m.pow(m.abs(m.where(zero, 1, x)), p)
    powers = m.where(zero, 0 if p > 0 else math.inf, powers)
    return root(m, m.sum(powers, axes=axes, keepdims=keepdims), p)


def prod(m: Reader, x: Any, axes: Axes, keepdims: bool = False) -> Any:
    """The product over `axes`: of pairs, of pairs of pairs, and so on. Nothing is divided, so its
    derivatives of every order are right where factors are 0, too."""
    count = element_count(x, axes)
    if not count:
        return m.sum(x, axes=axes, keepdims=keepdims) + 1
    kept = tuple(axis for axis in range(len(x.shape)) if axis not in axes)
    y = m.permute(x, axes=(*kept, *axes))
    y = m.reshape(y, shape=(*(x.shape[axis] for axis in kept), count))
    while count > 1:
        half = count // 2
        pairs = _part(m, y, 0, half) * _part(m, y, half, 2 * half)
        y = m.concat(pairs, _part(m, y, 2 * half, count), axis=len(kept)) if count % 2 else pairs
        count -= half
    return m.reshape(
        y,
        shape=tuple(
            1 if axis in axes else size
            for axis, size in enumerate(x.shape)
            if keepdims or axis not in axes
        ),
    )


def cumprod(m: Reader, x: Any, axis: int) -> Any:
    """The product along `axis` of each element and all before it.

    Each step multiplies every product by the one that ends where it starts, so that it covers twice
    as many elements (Hillis and Steele 1986); without division, as in `prod`."""
    covered, count = 1, x.shape[axis]
    while covered < count:
        longer = _part(m, x, covered, count, axis) * _part(m, x, 0, count - covered, axis)
        x = m.concat(_part(m, x, 0, covered, axis), longer, axis=axis)
        covered *= 2
    return x


def _part(m: Reader, x: Any, start: int, end: int, axis: int = -1) -> Any:
    """The elements from start to end along an axis."""
    parts = (slice(None),) * (axis % len(x.shape))
    return m.getitem(x, key=Key((*parts, slice(start, end))))


def _top(m: Reader, x: Any, axes: Axes) -> Any:
    """The largest element, as a constant: where it is subtracted it cancels in value and
    derivative. Any constant does where there is no element."""
    return m.detach(m.amax(x, axes=axes, keepdims=True)) if element_count(x, axes) else 0


def logsumexp(m: Reader, x: Any, axes: Axes, keepdims: bool = False) -> Any:
    """log of the sum of exponentials over `axes`, without overflow; -inf over nothing."""
    shift = _top(m, x, axes)
    if element_count(x, axes):  # infinities are not subtracted, since inf - inf is nan
        shift = m.where(m.lt(m.abs(shift), math.inf), shift, 0)
    total = m.log(m.sum(m.exp(x - shift), axes=axes, keepdims=True)) + shift
    if keepdims:
        return total
    return m.reshape(total, shape=tuple(s for i, s in enumerate(x.shape) if i not in axes))


def softmax(m: Reader, x: Any, axis: int) -> Any:
    """exp(x) divided by its sum along `axis`."""
    e = m.exp(x - _top(m, x, (axis,)))
    return e / m.sum(e, axes=(axis,), keepdims=True)


def log_softmax(m: Reader, x: Any, axis: int) -> Any:
    """The logarithm of `softmax`, accurate where softmax underflows or rounds to 1: `x` meets the
    small logarithm only after its large common part is gone."""
    shifted = x - _top(m, x, (axis,))
    return shifted - m.log(m.sum(m.exp(shifted), axes=(axis,), keepdims=True))


def dropout(m: Reader, x: Any, keep: Any, p: float) -> Any:
    """x / (1 - p) where it is kept, else 0: kept with probability 1 - p, its mean stays."""
    return m.where(keep, x / (1 - p), 0)


# ------------------------------------------------------------------------------ normalisation


def standardize(m: Reader, x: Any, axes: Axes, eps: float) -> Any:
    """(x - mean) / sqrt(variance + eps), both over `axes`; the variance is divided by n."""
    return standardized(m, x, axes, eps)[0]


def standardized(m: Reader, x: Any, axes: Axes, eps: float) -> list[Any]:
    """`standardize`, and what it measures: 1 / sqrt(variance + eps), variance, mean."""
    centre = mean(m, x, axes, keepdims=True)
    deviation = x - centre
    variance = mean(m, deviation * deviation, axes, keepdims=True)
    scale = m.rsqrt(variance + eps)
    return [deviation * scale, scale, variance, centre]


def unit_rms(m: Reader, x: Any, axes: Axes, eps: float) -> Any:
    """x / sqrt(mean(x^2) + eps) over `axes`: its root mean square becomes 1."""
    return of_unit_rms(m, x, axes, eps)[0]


def of_unit_rms(m: Reader, x: Any, axes: Axes, eps: float) -> list[Any]:
    """`unit_rms`, and what it measures: 1 / sqrt(mean(x^2) + eps), mean(x^2)."""
    square = mean(m, x * x, axes, keepdims=True)
    scale = m.rsqrt(square + eps)
    return [x * scale, scale, square]


def affine(m: Reader, x: Any, weight: Any, *bias: Any) -> Any:
    """x * weight + bias, both broadcast to the shape of x; the bias may be left out."""
    scaled = x * weight
    return scaled + bias[0] if bias else scaled
