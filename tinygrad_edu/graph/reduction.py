"""Functions that reduce axes, or normalise along one. `dim` may also be called `axis`, `keepdim`
`keepdims`; an empty tuple of axes reduces nothing, as in NumPy."""

from __future__ import annotations

import builtins
import math
import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_edu.graph.axes import all_axes, numpy_names, one_axis
from tinygrad_edu.graph.reader import apply, as_tensor, compose, graph_reader
from tinygrad_edu.ops import composite, dtypes

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor

Dim = int | Sequence[int] | None


@numpy_names
def sum(x: Operand, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over `dim` (an axis, several, or None for all), in `dtype`: by default its own, but
    bool and int32 add up as int64."""
    x = accumulated(x, dtype)
    return apply(ops.sum, x, axes=all_axes("sum", x.shape, dim), keepdims=keepdim)


@numpy_names
def prod(x: Operand, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The product over `dim`; bool and int32 multiply as int64. Its derivatives of every order are
    exact where factors are 0."""
    x = accumulated(x, dtype)
    return composite.prod(graph_reader(x.dtype), x, all_axes("prod", x.shape, dim), keepdim)  # type: ignore[no-any-return]


def accumulated(x: Operand, dtype: Any = None) -> Tensor:
    """x in the dtype its elements add up or multiply in: int64 for bool and small integers, as in
    torch and NumPy."""
    x = as_tensor(x)
    if dtype is None:
        return x if dtypes.is_float(x.dtype) else x.to(dtypes.int64)
    return x.to(dtype)


@numpy_names
def mean(x: Operand, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean over `dim`; defined for floats, as in torch."""
    x = _float("mean", x, dtype)
    return compose(ops.mean, x, axes=all_axes("mean", x.shape, dim), keepdims=keepdim)


@numpy_names
def var(
    x: Operand,
    dim: Dim = None,
    *,
    correction: float | None = 1,
    unbiased: bool | None = None,
    keepdim: bool = False,
) -> Tensor:
    """The variance over `dim`, divided by n - correction (torch's default 1, NumPy's 0); `unbiased`
    is an older name for a correction of 1 (True) or 0."""
    x = _float("var", x)
    correction = _correction(correction, unbiased)
    axes = all_axes("var", x.shape, dim)
    return composite.var(graph_reader(x.dtype), x, axes, correction, keepdim)  # type: ignore[no-any-return]


@numpy_names
def std(
    x: Operand,
    dim: Dim = None,
    *,
    correction: float | None = 1,
    unbiased: bool | None = None,
    keepdim: bool = False,
) -> Tensor:
    """The square root of `var`; gradient 0 where all elements are equal."""
    x = _float("std", x)
    correction = _correction(correction, unbiased)
    axes = all_axes("std", x.shape, dim)
    return composite.std(graph_reader(x.dtype), x, axes, correction, keepdim)  # type: ignore[no-any-return]


def _correction(correction: float | None, unbiased: bool | None) -> float:
    if unbiased is not None:
        return int(unbiased)
    return 1 if correction is None else correction


@numpy_names
def norm(x: Operand, p: float | str = 2, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The p-norm (sum |x|^p)^(1/p) of the elements over `dim`.

    p is any number, 0 (how many elements are not 0), infinity, -infinity (the largest and smallest
    magnitude), or "fro", which means 2. Over two axes this is the norm of their elements, not the
    operator norm of a matrix. Its gradient at 0 is 0; at infinity, elements of equal size share the
    gradient evenly."""
    x = _float("norm", x)
    order: Any = 2 if p == "fro" else p
    if not isinstance(order, numbers.Real) or math.isnan(order):
        raise ArgumentError(
            f"norm: p is a number, infinity or 'fro', not {p!r}; for an axis write norm(dim=...)."
        )
    if math.isinf(order):
        _nonempty("norm", x, dim)
    axes = all_axes("norm", x.shape, dim)
    return composite.norm(graph_reader(x.dtype), x, axes, keepdim, float(order))  # type: ignore[no-any-return]


@numpy_names
def count_nonzero(x: Operand, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """How many elements over `dim` are not 0."""
    return sum(as_tensor(x) != 0, dim, keepdim)


@numpy_names
def any(x: Operand, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether at least one element over `dim` is not 0."""
    return count_nonzero(x, dim, keepdim) > 0


@numpy_names
def all(x: Operand, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether no element over `dim` is 0."""
    return sum(as_tensor(x) == 0, dim, keepdim) == 0


@numpy_names
def amax(x: Operand, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The largest element over `dim`; ties share the gradient evenly."""
    x = _nonempty("amax", x, dim)
    return apply(ops.amax, x, axes=all_axes("amax", x.shape, dim), keepdims=keepdim)


@numpy_names
def amin(x: Operand, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The smallest element over `dim`; ties share the gradient evenly."""
    x = _nonempty("amin", x, dim)
    return apply(ops.amin, x, axes=all_axes("amin", x.shape, dim), keepdims=keepdim)


@numpy_names
def argmax(x: Operand, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The position of the first largest element along `dim` (None: in the flattened tensor)."""
    return _position(ops.argmax, x, dim, keepdim)


@numpy_names
def argmin(x: Operand, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The position of the first smallest element along `dim` (None: in the flattened tensor)."""
    return _position(ops.argmin, x, dim, keepdim)


def _position(op: ops.Op, x: Operand, dim: int | None, keepdim: bool) -> Tensor:
    x = _nonempty(op.name, x, dim)
    if dim is None or not x.shape:
        found = apply(op, x.reshape(-1), axis=0, keepdims=False)
        return found.reshape((1,) * x.ndim) if keepdim else found
    return apply(op, x, axis=one_axis(op.name, x.shape, dim), keepdims=keepdim)


@numpy_names
def logsumexp(x: Operand, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """log of the sum of exponentials over `dim`, without overflow; -inf over nothing."""
    x = _float("logsumexp", x)
    axes = all_axes("logsumexp", x.shape, dim)
    return composite.logsumexp(graph_reader(x.dtype), x, axes, keepdim)  # type: ignore[no-any-return]


@numpy_names
def softmax(x: Operand, dim: int, *, dtype: Any = None) -> Tensor:
    """exp(x) divided by its sum along `dim`."""
    return _along(ops.softmax, x, dim, dtype)


@numpy_names
def log_softmax(x: Operand, dim: int, *, dtype: Any = None) -> Tensor:
    """The logarithm of `softmax`, accurate where softmax underflows."""
    return _along(ops.log_softmax, x, dim, dtype)


def _along(op: ops.Fused, x: Operand, dim: int, dtype: Any = None) -> Tensor:
    """A composite of one axis; a scalar counts as a vector of one element."""
    x = _float(op.name, x, dtype)
    axis = one_axis(op.name, x.shape, dim)
    if not x.shape:
        return _along(op, x.reshape(1), 0).reshape(())
    return compose(op, x, axis=axis)


def _float(name: str, x: Operand, dtype: Any = None) -> Tensor:
    x = as_tensor(x) if dtype is None else as_tensor(x).to(dtype)
    if not dtypes.is_float(x.dtype):
        raise DTypeError(f"{name}: needs floats, got {x.dtype} {x.shape}; convert with .float().")
    return x


def _nonempty(name: str, x: Operand, dim: Dim) -> Tensor:
    x = as_tensor(x)
    if builtins.any(x.shape[axis] == 0 for axis in all_axes(name, x.shape, dim)):
        raise ShapeError(
            f"{name}: shape {x.shape} has no elements to choose from along {dim}; give it at least "
            "one, or skip empty batches."
        )
    return x
