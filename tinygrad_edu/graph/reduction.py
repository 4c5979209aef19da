"""Functions that reduce axes, or normalise along one. `dim` may also be called `axis`, `keepdim`
`keepdims`; an empty tuple of axes reduces nothing, as in NumPy."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_edu.graph.axes import all_axes, numpy_names, one_axis
from tinygrad_edu.graph.reader import apply, as_tensor, graph_reader
from tinygrad_edu.ops import composite, dtypes

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor

Dim = int | Sequence[int] | None


@numpy_names
def sum(x: Operand, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The sum over `dim` (an axis, several, or None for all); bool and int32 add up as int64."""
    x = as_tensor(x)
    if x.dtype.kind in "bui" and x.dtype != dtypes.int64:
        x = x.to(dtypes.int64)
    return apply(ops.sum, x, axes=all_axes("sum", x.shape, dim), keepdims=keepdim)


@numpy_names
def mean(x: Operand, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The mean over `dim`; defined for floats, as in torch."""
    x = _float("mean", x)
    return composite.mean(graph_reader(x.dtype), x, all_axes("mean", x.shape, dim), keepdim)  # type: ignore[no-any-return]


@numpy_names
def var(x: Operand, dim: Dim = None, *, correction: float = 1, keepdim: bool = False) -> Tensor:
    """The variance over `dim`, divided by n - correction (torch's default 1, NumPy's 0)."""
    x = _float("var", x)
    axes = all_axes("var", x.shape, dim)
    return composite.var(graph_reader(x.dtype), x, axes, correction, keepdim)  # type: ignore[no-any-return]


@numpy_names
def std(x: Operand, dim: Dim = None, *, correction: float = 1, keepdim: bool = False) -> Tensor:
    """The square root of `var`; gradient 0 where all elements are equal."""
    x = _float("std", x)
    axes = all_axes("std", x.shape, dim)
    return composite.std(graph_reader(x.dtype), x, axes, correction, keepdim)  # type: ignore[no-any-return]


@numpy_names
def norm(x: Operand, p: float = 2, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The p-norm of the elements over `dim`, p being 1, 2 (Euclidean) or infinity.

    Its gradient at 0 is 0. At infinity, elements of equal size share the gradient evenly."""
    x = _float("norm", x)
    axes = all_axes("norm", x.shape, dim)
    if p == 2:
        return composite.norm(graph_reader(x.dtype), x, axes, keepdim)  # type: ignore[no-any-return]
    if p == 1:
        return apply(ops.sum, x.abs(), axes=axes, keepdims=keepdim)
    if p == math.inf:
        return apply(ops.amax, _nonempty("norm", x, dim).abs(), axes=axes, keepdims=keepdim)
    raise ArgumentError(
        f"norm: p is 1, 2 or infinity, not {p!r}; for an axis write norm(dim=...), for another p "
        "(x.abs() ** p).sum(dim) ** (1 / p)."
    )


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
def softmax(x: Operand, dim: int) -> Tensor:
    """exp(x) divided by its sum along `dim`."""
    return _along(composite.softmax, x, dim)


@numpy_names
def log_softmax(x: Operand, dim: int) -> Tensor:
    """The logarithm of `softmax`, accurate where softmax underflows."""
    return _along(composite.log_softmax, x, dim)


def _along(function: Any, x: Operand, dim: int) -> Tensor:
    """A composite of one axis; a scalar counts as a vector of one element."""
    x = _float(function.__name__, x)
    axis = one_axis(function.__name__, x.shape, dim)
    if not x.shape:
        return _along(function, x.reshape(1), 0).reshape(())
    return function(graph_reader(x.dtype), x, axis)  # type: ignore[no-any-return]


def _float(name: str, x: Operand) -> Tensor:
    x = as_tensor(x)
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
