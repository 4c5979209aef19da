"""What describes a sample: mean and spread in one call, order statistics, covariances, counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_edu.graph.axes import numpy_names, one_axis
from tinygrad_edu.graph.composed import lerp
from tinygrad_edu.graph.layout import movedim, part
from tinygrad_edu.graph.ordering import Picked, sort
from tinygrad_edu.graph.picking import along, diagonal, index_select
from tinygrad_edu.graph.pointwise import clamp, isnan, sqrt, where
from tinygrad_edu.graph.reader import as_tensor
from tinygrad_edu.graph.reduction import amax, amin, any, mean, std, sum, var
from tinygrad_edu.ops import dtypes

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor

Dim = int | Sequence[int] | None


# ------------------------------------------------------------------------------ two at once


@numpy_names
def var_mean(
    x: Operand, dim: Dim = None, *, correction: float | None = 1, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    """`var` and `mean` over `dim`."""
    return var(x, dim, correction=correction, keepdim=keepdim), mean(x, dim, keepdim)


@numpy_names
def std_mean(
    x: Operand, dim: Dim = None, *, correction: float | None = 1, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    """`std` and `mean` over `dim`."""
    return std(x, dim, correction=correction, keepdim=keepdim), mean(x, dim, keepdim)


class Extremes(NamedTuple):
    """The smallest and the largest elements."""

    min: Tensor
    max: Tensor


@numpy_names
def aminmax(x: Operand, *, dim: int | None = None, keepdim: bool = False) -> Extremes:
    """`amin` and `amax` over `dim`."""
    return Extremes(amin(x, dim, keepdim), amax(x, dim, keepdim))


# ------------------------------------------------------------------------------ missing values


@numpy_names
def nansum(x: Operand, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The sum of what is not NaN."""
    x = as_tensor(x)
    return sum(where(isnan(x), 0, x), dim, keepdim)


@numpy_names
def nanmean(x: Operand, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The mean of what is not NaN; NaN where there is nothing else."""
    x = as_tensor(x)
    return nansum(x, dim, keepdim) / sum(~isnan(x), dim, keepdim)


# ------------------------------------------------------------------------------ order statistics


@overload
def median(x: Operand, dim: None = None, keepdim: bool = False) -> Tensor: ...
@overload
def median(x: Operand, dim: int, keepdim: bool = False) -> Picked: ...
@numpy_names
def median(x: Operand, dim: int | None = None, keepdim: bool = False) -> Tensor | Picked:
    """The middle element, of an even number the lower of the two, as in torch (NumPy takes their
    mean: `quantile` of 0.5). Along `dim`, with the positions, as a pair (values, indices). NaN if
    there is one.

    Of all elements, those equal to the median share its gradient evenly; along an axis it goes to
    the position returned.

    Raises:
        ShapeError: There is no element.
    """
    x = as_tensor(x)
    if dim is None:
        middle = median(x.detach().reshape(-1), 0).values
        chosen = where(isnan(middle), isnan(x), x == middle)
        return amax(where(chosen, x, _lowest(x)))
    axis = one_axis("median", x.shape, dim)
    size = x.shape[axis] if x.shape else 1
    if not size:
        raise ShapeError(f"median: shape {x.shape} has no element along axis {dim}.")
    ordered = sort(x, axis)
    if not x.shape:
        return ordered
    place = (size - 1) // 2
    values, indices = (part(t, axis, slice(place, place + 1)) for t in ordered)
    if dtypes.is_float(x.dtype):  # what is not a number stands at the end
        last = [part(t, axis, slice(size - 1, size)) for t in ordered]
        indices = where(isnan(last[0]), last[1], indices)
        values = along(x, axis, indices)
    picked = Picked(values, indices)
    return picked if keepdim else Picked(*(t.squeeze(axis) for t in picked))


def _lowest(x: Tensor) -> float | int | bool:
    if dtypes.is_float(x.dtype):
        return -math.inf
    return False if x.dtype == dtypes.boolean else int(np.iinfo(x.dtype).min)


@numpy_names
def quantile(
    x: Operand,
    q: float | Operand,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The value below which a share q of the elements along `dim` lies (of all elements, without
    `dim`); of several q, one each, along a new first axis. NaN if there is one.

    Between two elements it is, by `interpolation`, a point on the line between them ("linear"),
    the "lower", the "higher" or the "nearest" one, or their mean ("midpoint").

    Raises:
        ArgumentError: A share outside [0, 1], or another interpolation.
        DTypeError: Elements that are no floats. ShapeError: No elements, or q with several axes.
    """
    x = as_tensor(x)
    given = q if isinstance(q, float | int) else as_tensor(q)._values("quantile")
    shares = np.asarray(given, np.float64)
    if dim is None:
        axis, shape = 0, (1,) * x.ndim
        x = x.reshape(-1)
    else:
        axis = one_axis("quantile", x.shape, dim)
        x = x if x.shape else x.reshape(1)
        shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    _check_quantile(x, axis, shares, interpolation)
    places = shares.reshape(-1) * (x.shape[axis] - 1)
    ordered = movedim(sort(x, axis).values, axis, 0)
    y = _between(ordered, places, interpolation)
    y = where(any(isnan(ordered), 0, True), math.nan, y)
    kept = (
        shape if keepdim else tuple(n for i, n in enumerate(shape) if dim is not None and i != axis)
    )
    return y.reshape((*shares.shape, *kept))


def _check_quantile(x: Tensor, axis: int, shares: np.ndarray, interpolation: str) -> None:
    if interpolation not in _INTERPOLATIONS:
        raise ArgumentError(
            f"quantile: interpolation is {', '.join(_INTERPOLATIONS)}, not {interpolation!r}."
        )
    if not dtypes.is_float(x.dtype):
        raise DTypeError(f"quantile: needs floats, got {x.dtype} {x.shape}; use .float().")
    if shares.ndim > 1 or not x.shape[axis]:
        raise ShapeError(
            f"quantile: q of shape {shares.shape} of {x.shape[axis]} elements; q is one number or "
            "a row of them, and there must be an element."
        )
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ArgumentError(f"quantile: a share lies in [0, 1], got {shares}.")


_INTERPOLATIONS = ("linear", "lower", "higher", "nearest", "midpoint")


def _between(ordered: Tensor, places: np.ndarray, interpolation: str) -> Tensor:
    """Rows of a tensor at places between whole numbers."""
    if interpolation == "nearest":
        return index_select(ordered, 0, np.rint(places).astype(np.int64))
    below, above = np.floor(places).astype(np.int64), np.ceil(places).astype(np.int64)
    if interpolation in ("lower", "higher"):
        return index_select(ordered, 0, below if interpolation == "lower" else above)
    weight = places - below if interpolation == "linear" else np.full(places.shape, 0.5)
    weight = weight.reshape(-1, *[1] * (ordered.ndim - 1)).astype(ordered.dtype)
    return lerp(index_select(ordered, 0, below), index_select(ordered, 0, above), weight)


# ------------------------------------------------------------------------------ covariances


def cov(
    x: Operand,
    *,
    correction: float = 1,
    fweights: Operand | None = None,
    aweights: Operand | None = None,
) -> Tensor:
    """The covariances of the rows of x, each a variable, its columns the observations; of one row,
    its variance.

    Args:
        x: (variables, observations), or (observations,).
        correction: What is subtracted from the number of observations.
        fweights: How often each was observed, whole numbers.
        aweights: The importance of each.

    Raises:
        ShapeError: More than two axes, or weights in another number than the observations.
    """
    x = as_tensor(x)
    x = x if dtypes.is_float(x.dtype) else x.float()
    if x.ndim > 2:
        raise ShapeError(f"cov: x is (variables, observations) or one row, not {x.shape}.")
    rows = x.reshape(1, -1) if x.ndim < 2 else x
    count = rows.shape[1]
    repeats, importance = (_weights(rows, w) for w in (fweights, aweights))
    both = repeats * importance
    total = both.sum()
    deviation = rows - (rows * both).sum(1, True) / total
    if aweights is not None:
        divisor = total - correction * (both * importance).sum() / total
    else:
        divisor = total - correction
    found = (deviation * both) @ deviation.mT / clamp(divisor, min=0)
    return found if x.ndim == 2 and count >= 0 else found.reshape(())


def _weights(rows: Tensor, weights: Operand | None) -> Tensor:
    if weights is None:
        return as_tensor(np.ones(rows.shape[1], rows.dtype))
    given = as_tensor(weights)
    if given.shape != rows.shape[1:]:
        raise ShapeError(f"cov: weights {given.shape} for {rows.shape[1]} observations.")
    return given.to(rows.dtype)


def corrcoef(x: Operand) -> Tensor:
    """The correlations of the rows of x: covariances over the standard deviations of both."""
    found = cov(x)
    if not found.shape:
        return found / found
    scale = sqrt(diagonal(found))
    return clamp(found / scale.unsqueeze(1) / scale.unsqueeze(0), -1, 1)


# ------------------------------------------------------------------------------ counts


def bincount(x: Operand, weights: Operand | None = None, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, ... occurs among whole numbers, up to the largest or to
    `minlength` - 1; with `weights`, the sum of the weights of each (a constant, as in torch).

    Raises:
        DTypeError: Numbers that are no integers. ArgumentError: A negative one.
        ShapeError: More than one axis, or weights of another shape.
    """
    numbers = as_tensor(x)
    if numbers.ndim != 1:
        raise ShapeError(f"bincount: needs one row of whole numbers, got shape {numbers.shape}.")
    if numbers.dtype.kind not in "iu":
        raise DTypeError(f"bincount: counts integers, not {numbers.dtype}; use .long().")
    values = numbers._values("bincount")
    if values.min(initial=0) < 0 or minlength < 0:
        raise ArgumentError("bincount: neither a number nor minlength may be negative.")
    if weights is None:
        return as_tensor(np.bincount(values, minlength=minlength))
    weights = as_tensor(weights)
    if weights.shape != numbers.shape:
        raise ShapeError(f"bincount: weights {weights.shape} for numbers {numbers.shape}.")
    counts = np.bincount(values, weights._values("bincount"), minlength)
    return as_tensor(counts.astype(weights.dtype if dtypes.is_float(weights.dtype) else np.float64))
