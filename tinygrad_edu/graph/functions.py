"""Functions of tensors, under torch's names and defaults.

Each is also a method of `Tensor`. Arguments may be tensors, NumPy arrays or numbers.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_edu.graph.axes import all_axes, numpy_names, one_axis, resolve_reshape, unpack
from tinygrad_edu.graph.reader import apply, graph_reader
from tinygrad_edu.ops import composite, dtypes

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor

__all__ = [
    "abs",
    "acos",
    "add",
    "amax",
    "amin",
    "argmax",
    "argmin",
    "asin",
    "atan",
    "cat",
    "clamp",
    "cos",
    "cosh",
    "div",
    "elu",
    "eq",
    "erf",
    "exp",
    "expand",
    "expm1",
    "flatten",
    "floor",
    "ge",
    "gelu",
    "gt",
    "hardswish",
    "hardtanh",
    "le",
    "leaky_relu",
    "log",
    "log1p",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "logsumexp",
    "lt",
    "matmul",
    "maximum",
    "mean",
    "minimum",
    "mish",
    "mul",
    "ne",
    "neg",
    "norm",
    "permute",
    "pow",
    "relu",
    "relu6",
    "reshape",
    "rsqrt",
    "selu",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "sinh",
    "softmax",
    "softplus",
    "softsign",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "sub",
    "sum",
    "tan",
    "tanh",
    "transpose",
    "unsqueeze",
    "var",
    "where",
]

Dim = int | Sequence[int] | None
F = TypeVar("F", bound=Callable[..., Any])

# ------------------------------------------------------------------------------ elementwise


def _unary(op: ops.Op) -> Callable[[Operand], Tensor]:
    def function(x: Operand) -> Tensor:
        return apply(op, x)

    return _named(function, op)


def _binary(op: ops.Op) -> Callable[[Operand, Operand], Tensor]:
    def function(a: Operand, b: Operand) -> Tensor:
        return apply(op, a, b)

    return _named(function, op)


def _named(function: F, op: ops.Op) -> F:
    function.__name__ = function.__qualname__ = op.name
    function.__doc__ = op.__doc__
    return function


exp = _unary(ops.exp)
expm1 = _unary(ops.expm1)
log = _unary(ops.log)
log1p = _unary(ops.log1p)
sqrt = _unary(ops.sqrt)
rsqrt = _unary(ops.rsqrt)
neg = _unary(ops.neg)
abs = _unary(ops.abs)
sin = _unary(ops.sin)
cos = _unary(ops.cos)
tan = _unary(ops.tan)
sinh = _unary(ops.sinh)
cosh = _unary(ops.cosh)
tanh = _unary(ops.tanh)
asin = _unary(ops.asin)
acos = _unary(ops.acos)
atan = _unary(ops.atan)
erf = _unary(ops.erf)
sigmoid = _unary(ops.sigmoid)
relu = _unary(ops.relu)
relu6 = _unary(ops.relu6)
selu = _unary(ops.selu)
silu = _unary(ops.silu)
mish = _unary(ops.mish)
softsign = _unary(ops.softsign)
hardswish = _unary(ops.hardswish)
sign = _unary(ops.sign)
floor = _unary(ops.floor)
logical_not = _unary(ops.logical_not)

add = _binary(ops.add)
sub = _binary(ops.sub)
mul = _binary(ops.mul)
div = _binary(ops.div)
pow = _binary(ops.pow)
maximum = _binary(ops.maximum)
minimum = _binary(ops.minimum)
lt = _binary(ops.lt)
le = _binary(ops.le)
gt = _binary(ops.gt)
ge = _binary(ops.ge)
eq = _binary(ops.eq)
ne = _binary(ops.ne)
logical_and = _binary(ops.logical_and)
logical_or = _binary(ops.logical_or)


def gelu(x: Operand, approximate: str = "none") -> Tensor:
    """x Phi(x); `approximate="tanh"` uses the tanh formula instead of the error function."""
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f"gelu: approximate is 'none' or 'tanh', not {approximate!r}.")
    return apply(ops.gelu_tanh if approximate == "tanh" else ops.gelu, x)


def softplus(x: Operand, beta: float = 1.0) -> Tensor:
    """log(1 + exp(beta x)) / beta, exact over the whole range (torch's becomes x above 20)."""
    if beta == 1:
        return apply(ops.softplus, x)
    return apply(ops.softplus, as_tensor(x) * beta) / beta


def elu(x: Operand, alpha: float = 1.0) -> Tensor:
    """x above 0, alpha (exp(x) - 1) below."""
    return apply(ops.elu, x, alpha=float(alpha))


def leaky_relu(x: Operand, negative_slope: float = 0.01) -> Tensor:
    """x above 0, negative_slope * x below."""
    return apply(ops.leaky_relu, x, negative_slope=float(negative_slope))


def hardtanh(x: Operand, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x between min_val and max_val, the bound outside."""
    return apply(ops.hardtanh, x, low=float(min_val), high=float(max_val))


def clamp(x: Operand, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """x limited to [min, max]; at a bound the gradient still passes."""
    if min is None and max is None:
        raise ArgumentError("clamp: give min, max or both.")
    x = as_tensor(x)
    limits = np.finfo(x.dtype) if dtypes.is_float(x.dtype) else np.iinfo(x.dtype)
    infinite = dtypes.is_float(x.dtype)
    low = (-np.inf if infinite else int(limits.min)) if min is None else min
    high = (np.inf if infinite else int(limits.max)) if max is None else max
    return apply(ops.clamp, x, low, high)


def where(condition: Operand, a: Operand, b: Operand) -> Tensor:
    """`a` where the condition holds, else `b`."""
    return apply(ops.where, condition, a, b)


# ------------------------------------------------------------------------------ reductions


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
def var(x: Operand, dim: Dim = None, keepdim: bool = False, *, correction: float = 1) -> Tensor:
    """The variance over `dim`, divided by n - correction (torch's default 1, NumPy's 0)."""
    x = _float("var", x)
    axes = all_axes("var", x.shape, dim)
    return composite.var(graph_reader(x.dtype), x, axes, correction, keepdim)  # type: ignore[no-any-return]


@numpy_names
def std(x: Operand, dim: Dim = None, keepdim: bool = False, *, correction: float = 1) -> Tensor:
    """The square root of `var`; gradient 0 where all elements are equal."""
    x = _float("std", x)
    axes = all_axes("std", x.shape, dim)
    return composite.std(graph_reader(x.dtype), x, axes, correction, keepdim)  # type: ignore[no-any-return]


@numpy_names
def norm(x: Operand, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The Euclidean norm over `dim`; gradient 0 at 0."""
    x = _float("norm", x)
    return composite.norm(graph_reader(x.dtype), x, all_axes("norm", x.shape, dim), keepdim)  # type: ignore[no-any-return]


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
    if dim is None:
        return apply(op, x.reshape(-1), axis=0, keepdims=False)
    return apply(op, x, axis=one_axis(op.name, x.shape, dim), keepdims=keepdim)


@numpy_names
def logsumexp(x: Operand, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """log of the sum of exponentials over `dim`, without overflow."""
    x = _float("logsumexp", _nonempty("logsumexp", x, dim))
    axes = all_axes("logsumexp", x.shape, dim)
    return composite.logsumexp(graph_reader(x.dtype), x, axes, keepdim)  # type: ignore[no-any-return]


@numpy_names
def softmax(x: Operand, dim: int) -> Tensor:
    """exp(x) divided by its sum along `dim`."""
    x = _float("softmax", x)
    return composite.softmax(graph_reader(x.dtype), x, one_axis("softmax", x.shape, dim))  # type: ignore[no-any-return]


@numpy_names
def log_softmax(x: Operand, dim: int) -> Tensor:
    """The logarithm of `softmax`, accurate where softmax underflows."""
    x = _float("log_softmax", x)
    return composite.log_softmax(graph_reader(x.dtype), x, one_axis("log_softmax", x.shape, dim))  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------ products


def matmul(a: Operand, b: Operand) -> Tensor:
    """The matrix product. Vectors become a row on the left, a column on the right; leading axes
    broadcast. Both operands need the same dtype."""
    a, b = as_tensor(a), as_tensor(b)
    if not a.shape or not b.shape:
        raise ShapeError(
            f"matmul: {a.shape} @ {b.shape}: a scalar has no rows or columns; multiply with *."
        )
    left = a if a.ndim > 1 else a.reshape(1, -1)
    right = b if b.ndim > 1 else b.reshape(-1, 1)
    product = apply(ops.matmul, left, right)
    if a.ndim > 1 and b.ndim > 1:
        return product
    rows = product.shape[-2:-1] if a.ndim > 1 else ()
    columns = product.shape[-1:] if b.ndim > 1 else ()
    return product.reshape(product.shape[:-2] + rows + columns)


# ------------------------------------------------------------------------------ layout


def reshape(x: Operand, *shape: int | Sequence[int]) -> Tensor:
    """The same elements under another shape; one size may be -1."""
    x = as_tensor(x)
    target = resolve_reshape(x.shape, unpack(shape))
    return x if target == x.shape else apply(ops.reshape, x, shape=target)


def flatten(x: Operand, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from start_dim to end_dim as one."""
    x = as_tensor(x)
    if not x.shape:
        return x.reshape(1)
    start = one_axis("flatten", x.shape, start_dim)
    end = one_axis("flatten", x.shape, end_dim)
    size = int(np.prod(x.shape[start : end + 1], dtype=int))
    return x.reshape(*x.shape[:start], size, *x.shape[end + 1 :])


def squeeze(x: Operand, dim: Dim = None) -> Tensor:
    """Drop axes of size 1: those in `dim`, or all of them."""
    x = as_tensor(x)
    axes = all_axes("squeeze", x.shape, dim)
    return x.reshape(tuple(n for i, n in enumerate(x.shape) if i not in axes or n != 1))


def unsqueeze(x: Operand, dim: int) -> Tensor:
    """A new axis of size 1 at position `dim`."""
    x = as_tensor(x)
    axis = one_axis("unsqueeze", (*x.shape, 1), dim)
    return x.reshape((*x.shape[:axis], 1, *x.shape[axis:]))


def permute(x: Operand, *dims: int | Sequence[int]) -> Tensor:
    """The axes in another order: axis i of the result is axis dims[i] of x."""
    x = as_tensor(x)
    axes = tuple(one_axis("permute", x.shape, d) for d in unpack(dims))
    if sorted(axes) != list(range(x.ndim)):
        raise ShapeError(f"permute: {unpack(dims)} does not name each axis of {x.shape} once.")
    return apply(ops.permute, x, axes=axes)


def transpose(x: Operand, dim0: int, dim1: int) -> Tensor:
    """Swap two axes."""
    x = as_tensor(x)
    order = list(range(x.ndim))
    a, b = one_axis("transpose", x.shape, dim0), one_axis("transpose", x.shape, dim1)
    if order:
        order[a], order[b] = b, a
    return permute(x, order)


def expand(x: Operand, *sizes: int | Sequence[int]) -> Tensor:
    """Repeat along axes of size 1; -1 keeps an axis as it is."""
    x = as_tensor(x)
    wanted = unpack(sizes)
    extra = len(wanted) - x.ndim
    shape = tuple(x.shape[i - extra] if n == -1 and i >= extra else n for i, n in enumerate(wanted))
    fits = extra >= 0 and all(m in (1, n) for m, n in zip(x.shape, shape[extra:], strict=True))
    if not fits or min(shape, default=0) < 0:
        raise ShapeError(f"expand: shape {x.shape} cannot be repeated to {wanted}.")
    return apply(ops.expand, x, shape=shape)


@numpy_names
def cat(tensors: Sequence[Operand], dim: int = 0) -> Tensor:
    """The tensors one after another along an existing axis."""
    if not tensors:
        raise ArgumentError("cat: needs at least one tensor.")
    parts = [as_tensor(t) for t in tensors]
    return apply(ops.concat, *parts, axis=one_axis("cat", parts[0].shape, dim))


@numpy_names
def stack(tensors: Sequence[Operand], dim: int = 0) -> Tensor:
    """The tensors side by side along a new axis."""
    return cat([unsqueeze(t, dim) for t in tensors], dim)


# ------------------------------------------------------------------------------ helpers


def as_tensor(x: Any) -> Tensor:
    """`x` itself if it is a tensor, else a constant tensor of the same values."""
    from tinygrad_edu.graph.creation import tensor
    from tinygrad_edu.graph.tensor import Tensor

    return x if isinstance(x, Tensor) else tensor(x)


def _float(name: str, x: Operand) -> Tensor:
    x = as_tensor(x)
    if not dtypes.is_float(x.dtype):
        raise DTypeError(f"{name}: needs floats, got {x.dtype} {x.shape}; convert with .float().")
    return x


def _nonempty(name: str, x: Operand, dim: Dim) -> Tensor:
    x = as_tensor(x)
    if builtins.any(x.shape[axis] == 0 for axis in all_axes(name, x.shape, dim)):
        raise ShapeError(f"{name}: shape {x.shape} has no elements to choose from along {dim}.")
    return x
