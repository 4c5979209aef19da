"""The composites of normalisation layers, as one op each: `standardize`, `unit_rms`, `affine`.

Let y = (x - mean) r with r = 1 / sqrt(variance + eps), all over n elements, and let <.> be their
average. Then the derivative of y along t is

    (t - <t> - y <t y>) r,

eps included: r moves by -r^2 <t y>. This map is its own transpose, so it also carries cotangents
back. Without subtracting the mean, y = x r with r = 1 / sqrt(<x^2> + eps), it is (t - y <t y>) r.
`centred` tells the two apart below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinygrad_edu.ops import composite
from tinygrad_edu.ops.fused import fused
from tinygrad_edu.ops.kinds import added, sum_to
from tinygrad_edu.ops.sums import inner, total
from tinygrad_edu.ops.table import Reader, array_reader

Array = Any
Axes = tuple[int, ...]


class Moments:
    """What one run of `standardize` or `unit_rms` measured on its way, for whoever needs it again:
    its derivative, and batch norm's running statistics. Reduced axes stay as axes of size 1.

    Attributes:
        x: The array that was measured; the moments of any other must be computed.
        mean: Its mean (0 where none was subtracted).
        variance: Its mean squared deviation from that: divided by n.
        scale: 1 / sqrt(variance + eps).
    """

    __slots__ = ("mean", "scale", "variance", "x")
    mean: Array
    variance: Array
    scale: Array

    def __init__(self) -> None:
        self.x: Array = None


# ------------------------------------------------------------------------------ on arrays


def _normalized(x: Array, axes: Axes, eps: float, moments: Moments | None, centred: bool) -> Array:
    """(x - mean) r, and what was measured for it into `moments`."""
    count = composite.element_count(x, axes)
    y = np.empty(x.shape, x.dtype)
    mean: Array = 0
    deviation = x
    if centred:
        mean = total(x, axes) / count
        deviation = np.subtract(x, mean, out=y)
    variance = inner(deviation, deviation, axes) / count
    scale = variance + eps
    np.sqrt(scale, out=scale)
    np.reciprocal(scale, out=scale)
    np.multiply(deviation, scale, out=y)
    if moments is not None:
        moments.x, moments.mean, moments.variance, moments.scale = x, mean, variance, scale
    return y


def _along_arrays(t: Array, y: Array, scale: Array, axes: Axes, centred: bool) -> Array:
    """(t - <t> - y <t y>) r"""
    count = composite.element_count(y, axes)
    result: Array = np.multiply(y, inner(t, y, axes) / -count)
    result += t
    if centred:
        result -= total(t, axes) / count
    result *= scale
    return result


def _pull_arrays(
    g: Array, y: Array, xs: Sequence[Array], wanted: Sequence[bool],
    axes: Axes, eps: float, moments: Moments | None = None, centred: bool = True,
) -> list[Array]:  # fmt: skip
    scale = _scale(array_reader(y.dtype), xs[0], axes, eps, moments, centred)
    return [_along_arrays(g, y, scale, axes, centred)]


# ------------------------------------------------------------------------------ in ops


def _scale(
    m: Reader, x: Any, axes: Axes, eps: float, moments: Moments | None, centred: bool
) -> Any:
    """r, as it was measured, or computed again: for another x, or to be differentiated."""
    if moments is not None and moments.x is x:
        return moments.scale
    if centred:
        return m.rsqrt(composite.var(m, x, axes, correction=0, keepdims=True) + eps)
    return m.rsqrt(composite.mean(m, x * x, axes, keepdims=True) + eps)


def _along(
    m: Reader, t: Any, y: Any, x: Any,
    axes: Axes, eps: float, moments: Moments | None = None, centred: bool = True,
) -> Any:  # fmt: skip
    """(t - <t> - y <t y>) r"""
    rest = t - y * composite.mean(m, t * y, axes, keepdims=True)
    if centred:
        rest = rest - composite.mean(m, t, axes, keepdims=True)
    return rest * _scale(m, x, axes, eps, moments, centred)


def _normalisation(definition: Callable[..., Any], centred: bool) -> Any:
    """Register the decorated kernel with what both ops share. They stay whole in a trace: what
    they do to the law of a signal is simpler than what their parts do."""
    return fused(
        definition=lambda m, x, axes, eps, moments=None: definition(m, x, axes, eps),
        shape=lambda x, axes, eps, moments=None: x.shape,
        pull=lambda m, g, y, xs, wanted, **params: [
            _along(m, g, y, xs[0], **params, centred=centred)
        ],
        push=lambda m, ts, y, xs, **params: _along(m, ts[0], y, xs[0], **params, centred=centred),
        pull_arrays=partial(_pull_arrays, centred=centred),
        whole=True,
    )


@_normalisation(composite.standardize, centred=True)
def standardize(x, axes, eps, moments=None):
    """(x - mean) / sqrt(variance + eps) over `axes`, the variance divided by n.

    Two passes: deviations are squared, so a large mean costs the variance no digits. What is
    measured is kept in `moments`, if given."""
    return _normalized(x, axes, eps, moments, centred=True)


@_normalisation(composite.unit_rms, centred=False)
def unit_rms(x, axes, eps, moments=None):
    """x / sqrt(mean of x^2 + eps) over `axes`."""
    return _normalized(x, axes, eps, moments, centred=False)


# ------------------------------------------------------------------------------ scale and shift


def _repeated(g: Array, shape: tuple[int, ...]) -> Axes:
    """The axes of g along which an operand of this shape was repeated."""
    extra = g.ndim - len(shape)
    return tuple(i for i in range(g.ndim) if i < extra or shape[i - extra] != g.shape[i])


def _pull_affine(m: Reader, g: Any, y: Any, xs: Any, wanted: Any) -> list[Any]:
    x, weight, *bias = xs
    return [
        g * weight if wanted[0] else None,
        sum_to(m, g * x, weight.shape) if wanted[1] else None,
        *(sum_to(m, g, b.shape) if wanted[2] else None for b in bias),
    ]


def _pull_affine_arrays(g: Array, y: Array, xs: Any, wanted: Any) -> list[Any]:
    x, weight, *bias = xs
    return [
        g * weight if wanted[0] else None,
        inner(g, x, _repeated(g, weight.shape)).reshape(weight.shape) if wanted[1] else None,
        *(total(g, _repeated(g, b.shape)).reshape(b.shape) if wanted[2] else None for b in bias),
    ]


def _push_affine(m: Reader, ts: Any, y: Any, xs: Any) -> Any:
    return added(
        (
            None if ts[0] is None else ts[0] * xs[1],
            None if ts[1] is None else xs[0] * ts[1],
            *(None if t is None else m.expand(t, shape=y.shape) for t in ts[2:]),
        )
    )


@fused(
    definition=composite.affine,
    shape=lambda x, weight, *bias: x.shape,
    pull=_pull_affine,
    push=_push_affine,
    pull_arrays=_pull_affine_arrays,
)
def affine(x, weight, *bias):
    """x * weight, plus the bias if there is one; both are broadcast to the shape of x."""
    result = np.multiply(x, weight)
    for b in bias:
        result += b
    return result
