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
from functools import lru_cache, partial
from typing import Any

import numpy as np

from tinygrad_edu.ops import composite, native
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
    definition = composite.standardized if centred else composite.of_unit_rms
    found = native.run(definition, (x,), axes=axes, eps=eps) if native.is_array(x) else None
    if found is not None:
        if moments is not None:
            _, moments.scale, moments.variance, *mean = found
            moments.x, moments.mean = x, mean[0] if mean else 0
        return found[0]
    count = composite.element_count(x, axes)
    y = np.empty(x.shape, x.dtype)
    centre: Array = 0
    deviation = x
    if centred:
        centre = total(x, axes) / count
        deviation = np.subtract(x, centre, out=y)
    variance = inner(deviation, deviation, axes) / count
    scale = variance + eps
    np.sqrt(scale, out=scale)
    np.reciprocal(scale, out=scale)
    np.multiply(deviation, scale, out=y)
    if moments is not None:
        moments.x, moments.mean, moments.variance, moments.scale = x, centre, variance, scale
    return y


def _along_arrays(t: Array, y: Array, scale: Array, axes: Axes, centred: bool) -> Array:
    """(t - <t> - y <t y>) r"""
    if native.is_array(t):
        found = native.run(_carried, (t, y, scale), axes=axes, centred=centred)
        if found is not None:
            return found[0]
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
    return _carried(m, t, y, _scale(m, x, axes, eps, moments, centred), axes, centred)


def _carried(m: Reader, t: Any, y: Any, scale: Any, axes: Axes, centred: bool) -> Any:
    """(t - <t> - y <t y>) r with r = scale."""
    rest = t - y * composite.mean(m, t * y, axes, keepdims=True)
    if centred:
        rest = rest - composite.mean(m, t, axes, keepdims=True)
    return rest * scale


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


@lru_cache(maxsize=1024)
def _repeated(whole: Axes, shape: Axes) -> Axes:
    """The axes along which an operand of this shape was repeated to become a whole one."""
    rank, extra = len(whole), len(whole) - len(shape)
    return tuple(i for i in range(rank) if i < extra or shape[i - extra] != whole[i])


def _pull_affine(m: Reader, g: Any, y: Any, xs: Any, wanted: Any) -> list[Any]:
    x, weight, *bias = xs
    return [
        g * weight if wanted[0] else None,
        sum_to(m, g * x, weight.shape) if wanted[1] else None,
        *(sum_to(m, g, b.shape) if wanted[2] else None for b in bias),
    ]


def _pull_affine_arrays(g: Array, y: Array, xs: Any, wanted: Any) -> list[Any]:
    x, weight, *bias = xs

    def over(shape: Axes) -> Axes:
        return _repeated(g.shape, shape)

    return [
        g * weight if wanted[0] else None,
        inner(g, x, over(weight.shape)).reshape(weight.shape) if wanted[1] else None,
        *(total(g, over(b.shape)).reshape(b.shape) if wanted[2] else None for b in bias),
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
    compiled=True,
)
def affine(x, weight, *bias):
    """x * weight, plus the bias if there is one; both are broadcast to the shape of x."""
    result = np.multiply(x, weight)
    for b in bias:
        result += b
    return result


# ------------------------------------------------------------------------------ both at once


def _define(
    m: Reader, x: Any, weight: Any, bias: Any, axes: Axes, eps: float, moments: Any = None
) -> Any:
    return composite.affine(m, m.standardize(x, axes=axes, eps=eps), weight, bias)


def _measured(m: Reader, x: Any, weight: Any, bias: Any, axes: Axes, eps: float) -> list[Any]:
    y, *moments = composite.standardized(m, x, axes, eps)
    return [composite.affine(m, y, weight, bias), *moments]


def _pull_both(
    m: Reader, g: Any, y: Any, xs: Any, wanted: Any,
    axes: Axes, eps: float, moments: Moments | None = None,
) -> list[Any]:  # fmt: skip
    x, weight, bias = xs
    unit = m.standardize(x, axes=axes, eps=eps)
    gx = _along(m, g * weight, unit, x, axes, eps, moments) if wanted[0] else None
    return [gx, *_pull_affine(m, g, None, (unit, weight, bias), (False, *wanted[1:]))[1:]]


def _push_both(
    m: Reader, ts: Any, y: Any, xs: Any, axes: Axes, eps: float, moments: Moments | None = None
) -> Any:
    x, weight, bias = xs
    unit = m.standardize(x, axes=axes, eps=eps)
    t = None if ts[0] is None else _along(m, ts[0], unit, x, axes, eps, moments)
    return _push_affine(m, (t, *ts[1:]), y, (unit, weight, bias))


def _pull_both_arrays(
    g: Array, y: Array, xs: Sequence[Array], wanted: Sequence[bool],
    axes: Axes, eps: float, moments: Moments | None = None,
) -> list[Any]:  # fmt: skip
    x, weight, bias = xs
    if moments is None or moments.x is not x:
        moments = Moments()
        _normalized(x, axes, eps, moments, centred=True)
    if native.is_array(g) and all(wanted) and weight.shape == bias.shape:
        found = _pull_compiled(g, x, weight, moments, axes)
        if found is not None:
            gx, *parameters = found
            return [gx, *[part.reshape(weight.shape) for part in parameters]]
    unit = (x - moments.mean) * moments.scale
    gx = _along_arrays(g * weight, unit, moments.scale, axes, True) if wanted[0] else None
    return [gx, *_pull_affine_arrays(g, y, (unit, weight, bias), (False, *wanted[1:]))[1:]]


def _pull_compiled(
    g: Array, x: Array, weight: Array, moments: Moments, axes: Axes
) -> list[Array] | None:
    """`_pull_both` from the moments that the forward pass has measured, or None."""
    measured = (g, x, moments.mean, moments.scale)
    repeated = _repeated(g.shape, weight.shape)
    if repeated == axes:
        return native.run(_pull_by_channel, (*measured, weight), axes=axes)
    return native.run(_pull_by_row, (*measured, weight), axes=axes, repeated=repeated)


def _pull_parameters(m: Reader, g: Any, x: Any, mean: Any, scale: Any, axes: Axes) -> list[Any]:
    """The cotangents of weight and bias, repeated over `axes`."""
    products = g * ((x - mean) * scale)
    return [m.sum(part, axes=axes, keepdims=True) for part in (products, g)]


def _pull_by_row(
    m: Reader, g: Any, x: Any, mean: Any, scale: Any, weight: Any, axes: Axes, repeated: Axes
) -> list[list[Any]]:
    """All three where the weight differs along `axes`, as layer norm's does. Apart: rows in float32
    and running totals in float64 have different widths in one kernel."""
    along = _carried(m, g * weight, (x - mean) * scale, scale, axes, True)
    return [[along], _pull_parameters(m, g, x, mean, scale, repeated)]


def _pull_by_channel(
    m: Reader, g: Any, x: Any, mean: Any, scale: Any, weight: Any, axes: Axes
) -> list[Any]:
    """All three where the weight is the same along `axes`, as batch norm's is: it comes out of the
    averages, and these are its own cotangent and the bias's, divided by n."""
    sums = _pull_parameters(m, g, x, mean, scale, axes)
    along, level = (part / float(composite.element_count(x, axes)) for part in sums)
    ones = (1,) * (len(x.shape) - len(weight.shape))
    factor = scale * m.reshape(weight, shape=(*ones, *weight.shape))
    return [(g - level - (x - mean) * scale * along) * factor, *sums]


@fused(
    definition=_define,
    shape=lambda x, weight, bias, axes, eps, moments=None: x.shape,
    pull=_pull_both,
    push=_push_both,
    pull_arrays=_pull_both_arrays,
)
def standardize_affine(x, weight, bias, axes, eps, moments=None):
    """`affine` of `standardize`: what layer norm and batch norm do, in one pass."""
    found = None
    if native.is_array(x):
        found = native.run(_measured, (x, weight, bias), axes=axes, eps=eps)
    if found is None:
        y = _normalized(x, axes, eps, moments, centred=True)
        y *= weight
        y += bias
        return y
    y, scale, variance, mean = found
    if moments is not None:
        moments.x, moments.mean, moments.variance, moments.scale = x, mean, variance, scale
    return y
