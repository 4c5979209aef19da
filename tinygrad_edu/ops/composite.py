"""Composites: functions written over the table's ops, differentiable because their parts are.

Each takes a reader `m` first, so the recording graph and plain arrays run the same text.
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_edu.ops.table import Reader

Axes = tuple[int, ...]


def _count(x: Any, axes: Axes) -> int:
    return math.prod(x.shape[axis] for axis in axes)


def mean(m: Reader, x: Any, axes: Axes, keepdims: bool = False) -> Any:
    """The mean over `axes`; nan over nothing, as in NumPy and torch."""
    total = m.sum(x, axes=axes, keepdims=keepdims)
    return total / float(_count(x, axes))


def var(m: Reader, x: Any, axes: Axes, correction: float = 1, keepdims: bool = False) -> Any:
    """The mean squared deviation, over ``n - correction`` instead of n."""
    deviation = x - mean(m, x, axes, keepdims=True)
    total = m.sum(deviation * deviation, axes=axes, keepdims=keepdims)
    return total / float(max(_count(x, axes) - correction, 0))


def root(m: Reader, squared: Any) -> Any:
    """sqrt with derivative 0 at 0 instead of inf: what std and norm need at a constant input.

    The inner `where` keeps the infinite partial of sqrt out of the graph; the outer one restores
    the value (a "double where")."""
    flat = m.eq(squared, 0)
    return m.where(flat, 0, m.sqrt(m.where(flat, 1, squared)))


def std(m: Reader, x: Any, axes: Axes, correction: float = 1, keepdims: bool = False) -> Any:
    """The square root of `var`, with gradient 0 where all elements are equal."""
    return root(m, var(m, x, axes, correction, keepdims))


def norm(m: Reader, x: Any, axes: Axes, keepdims: bool = False) -> Any:
    """The Euclidean norm over `axes`, with gradient 0 at 0."""
    return root(m, m.sum(x * x, axes=axes, keepdims=keepdims))


def _top(m: Reader, x: Any, axes: Axes) -> Any:
    """The largest element, as a constant: where it is subtracted it cancels in value and
    derivative. Any constant does where there is no element."""
    return m.detach(m.amax(x, axes=axes, keepdims=True)) if _count(x, axes) else 0


def logsumexp(m: Reader, x: Any, axes: Axes, keepdims: bool = False) -> Any:
    """log of the sum of exponentials over `axes`, without overflow; -inf over nothing."""
    shift = _top(m, x, axes)
    if _count(x, axes):  # infinities are not subtracted, since inf - inf is nan
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
