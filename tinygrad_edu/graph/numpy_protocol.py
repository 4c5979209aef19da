"""What NumPy and other array libraries find on a tensor: `__array_function__` and DLPack.

NumPy's functions keep NumPy's meaning and arguments (``np.var(t)`` divides by n, ``np.max(t)``
takes several axes); they are computed by ours, so they stay in the graph. `__array_ufunc__`, for
functions of single elements, is in `operators.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tinygrad_edu.errors import ArgumentError, DTypeError, TinygradError
from tinygrad_edu.graph import functions as f
from tinygrad_edu.graph.axes import one_axis

_HANDLERS: dict[Any, Callable[..., Any]] = {}
"""By NumPy's function, ours with the same arguments."""

_CPU = (1, 0)
"""DLPack's number for the processor's memory, and of the device."""


class NumPyProtocol:
    """The base of `Tensor` that lets NumPy, and libraries that speak DLPack, take it."""

    __slots__ = ()

    def __array_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any],
        kwargs: dict[str, Any],
    ) -> Any:
        """Called by NumPy's functions of a tensor."""
        if not all(issubclass(kind, (NumPyProtocol, np.ndarray)) for kind in types):
            return NotImplemented
        name = f"{function.__module__.replace('numpy', 'np', 1)}.{function.__name__}"
        handler = _HANDLERS.get(function)
        if handler is None:
            raise DTypeError(
                f"{name}: has no differentiable counterpart here; use a tg function, or "
                "t.detach().numpy() to leave the graph."
            )
        try:
            return handler(*args, **kwargs)
        except TinygradError:
            raise
        except TypeError as error:  # an argument of NumPy's that the handler does not take
            raise DTypeError(
                f"{name}: {error}; use a tg function, or t.detach().numpy() to leave the graph."
            ) from None

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A copy of the values for another library. It is never the memory itself: that library
        could write to it, and change the values of a graph unseen."""
        if copy is False or dl_device not in (None, _CPU):
            raise ArgumentError(
                "__dlpack__: a tensor gives away copies in the processor's memory only, so that "
                "nobody else writes to what a graph needs; ask without copy=False and dl_device."
            )
        return np.array(self).__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        """The processor."""
        return _CPU


def _implements(*numpys: Callable[..., Any]) -> Callable[..., Any]:
    """Register the decorated function for NumPy's functions."""

    def register(handler: Callable[..., Any]) -> Callable[..., Any]:
        for function in numpys:
            _HANDLERS[function] = handler
        return handler

    return register


def _floats(x: Any) -> Any:
    """As NumPy's mean does: integers as float64."""
    x = f.as_tensor(x)
    return x if x.dtype.kind == "f" else x.double()


def _values(x: Any) -> Any:
    """The values of a tensor, without its graph."""
    return x.detach().numpy() if hasattr(x, "node") else x


def _flat(x: Any) -> Any:
    return f.reshape(x, -1)


# ------------------------------------------------------------------------------ the same arguments

_HANDLERS.update(
    {
        np.shape: lambda a: a.shape,
        np.ndim: lambda a: a.ndim,
        np.size: lambda a, axis=None: a.numel() if axis is None else a.shape[axis],
        np.where: f.where,
        np.stack: f.stack,
        np.broadcast_to: f.expand,
        np.swapaxes: f.swapaxes,
        np.moveaxis: f.movedim,
        np.expand_dims: f.unsqueeze,
        np.diagonal: f.diagonal,
        np.ravel: _flat,
        np.tile: f.tile,
        np.repeat: f.repeat_interleave,
        np.take_along_axis: lambda arr, indices, axis=-1: f.take_along_dim(arr, indices, axis),
        np.round: f.round,
        np.around: f.round,
        np.outer: lambda a, b: f.outer(_flat(a), _flat(b)),
        np.einsum: lambda *operands, optimize=None: f.einsum(*operands),
        np.tensordot: lambda a, b, axes=2: f.tensordot(a, b, axes),
        np.tril: lambda m, k=0: f.tril(m, k),
        np.triu: lambda m, k=0: f.triu(m, k),
        np.diag: lambda v, k=0: f.diag(v, k),
        np.roll: lambda a, shift, axis=None: f.roll(a, shift, axis),
        np.reshape: lambda a, shape: f.reshape(a, shape),
        np.squeeze: lambda a, axis=None: f.squeeze(a, axis),
        np.array_equal: lambda a, b: np.array_equal(_values(a), _values(b)),
        np.allclose: lambda a, b, **k: np.allclose(_values(a), _values(b), **k),
        np.isclose: lambda a, b, **k: f.as_tensor(np.isclose(_values(a), _values(b), **k)),
    }
)


def _reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, axis=None, *, keepdims=False, **dtype: function(a, axis, keepdims, **dtype)


for _numpys, _ours in [
    (np.sum, f.sum),
    (np.prod, f.prod),
    (np.max, f.amax),
    (np.amax, f.amax),
    (np.min, f.amin),
    (np.amin, f.amin),
    (np.argmax, f.argmax),
    (np.argmin, f.argmin),
    (np.any, f.any),
    (np.all, f.all),
    (np.count_nonzero, f.count_nonzero),
    (np.mean, lambda a, *args, **dtype: f.mean(_floats(a), *args, **dtype)),
]:
    _HANDLERS[_numpys] = _reduction(_ours)

# ------------------------------------------------------------------------------ others


@_implements(np.var)
def _var(a: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    return f.var(_floats(a), axis, correction=ddof, keepdim=keepdims)


@_implements(np.std)
def _std(a: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    return f.std(_floats(a), axis, correction=ddof, keepdim=keepdims)


@_implements(np.linalg.norm)
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Vector norms; of the matrix norms only the Frobenius norm is one of them."""
    x = _floats(x)
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if ord is not None and ord != "fro" and len(axes) != 1:
        raise ArgumentError(
            f"np.linalg.norm: ord={ord!r} of shape {x.shape} is a matrix norm, which is not "
            "provided; name one axis for norms of vectors."
        )
    return f.norm(x, 2 if ord is None else ord, axis, keepdims)


@_implements(np.cumsum)
def _cumsum(a: Any, axis: int | None = None) -> Any:
    return f.cumsum(_flat(a), 0) if axis is None else f.cumsum(a, axis)


@_implements(np.cumprod)
def _cumprod(a: Any, axis: int | None = None) -> Any:
    return f.cumprod(_flat(a), 0) if axis is None else f.cumprod(a, axis)


@_implements(np.sort)
def _sort(a: Any, axis: int | None = -1, *, kind: Any = None, stable: Any = None) -> Any:
    return f.sort(_flat(a) if axis is None else a, 0 if axis is None else axis).values


@_implements(np.argsort)
def _argsort(a: Any, axis: int | None = -1, *, kind: Any = None, stable: Any = None) -> Any:
    return f.argsort(_flat(a) if axis is None else a, 0 if axis is None else axis)


@_implements(np.concatenate)
def _concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Any:
    return f.cat([_flat(a) for a in arrays]) if axis is None else f.cat(arrays, axis)


@_implements(np.split)
def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    size = ary.shape[axis]
    if isinstance(indices_or_sections, int):
        if size % indices_or_sections:
            raise ArgumentError(
                f"np.split: {size} elements along axis {axis} do not divide into "
                f"{indices_or_sections} equal parts; chunk takes what is left over."
            )
        return list(f.chunk(ary, indices_or_sections, axis))
    axis = one_axis("np.split", ary.shape, axis)
    cuts = pairwise([0, *indices_or_sections, size])
    return [ary[(*(slice(None),) * axis, slice(start, end))] for start, end in cuts]


@_implements(np.transpose)
def _transpose(a: Any, axes: Any = None) -> Any:
    return a.T if axes is None else f.permute(a, axes)


@_implements(np.flip)
def _flip(m: Any, axis: Any = None) -> Any:
    return f.flip(m, tuple(range(m.ndim)) if axis is None else axis)


@_implements(np.clip)
def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    return f.clamp(a, a_min if min is None else min, a_max if max is None else max)


@_implements(np.dot)
def _dot(a: Any, b: Any) -> Any:
    a, b = f.as_tensor(a), f.as_tensor(b)
    if not a.shape or not b.shape:
        return a * b
    return f.tensordot(a, b, ([-1], [-2])) if b.ndim > 1 else f.matmul(a, b)


@_implements(np.take)
def _take(a: Any, indices: Any, axis: int | None = None) -> Any:
    if axis is None:
        return _flat(a)[indices]
    a = f.as_tensor(a)
    return a[(*(slice(None),) * one_axis("np.take", a.shape, axis), indices)]


@_implements(np.pad)
def _pad(array: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Any:
    widths = np.broadcast_to(pad_width, (array.ndim, 2))
    ours = {"edge": "replicate", "wrap": "circular"}.get(mode, mode)
    value = constant_values if ours == "constant" else None
    return f.pad(array, [int(n) for pair in widths[::-1] for n in pair], ours, value)


@_implements(np.zeros_like, np.empty_like)
def _zeros_like(a: Any, dtype: Any = None) -> Any:
    return _full_like(a, 0, dtype)


@_implements(np.ones_like)
def _ones_like(a: Any, dtype: Any = None) -> Any:
    return _full_like(a, 1, dtype)


@_implements(np.full_like)
def _full_like(a: Any, fill_value: Any, dtype: Any = None) -> Any:
    return f.as_tensor(np.full(a.shape, fill_value, dtype or a.dtype))
