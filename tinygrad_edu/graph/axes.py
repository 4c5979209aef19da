"""Axes and shapes as users spell them, made definite: torch's `dim`/`keepdim`, NumPy's
`axis`/`keepdims`, negative numbers, None for all."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tinygrad_edu.errors import ArgumentError, ShapeError

F = TypeVar("F", bound=Callable[..., Any])
_TORCH_NAME = {"axis": "dim", "keepdims": "keepdim"}


def numpy_names(function: F) -> F:
    """Let a function with torch's `dim` and `keepdim` be called with `axis` and `keepdims`."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        for name, torch_name in _TORCH_NAME.items():
            if name in kwargs:
                if torch_name in kwargs:
                    raise ArgumentError(
                        f"{function.__name__}: got both {torch_name!r} and {name!r}; they mean the "
                        "same, give one."
                    )
                kwargs[torch_name] = kwargs.pop(name)
        return function(*args, **kwargs)

    return wrapper  # type: ignore[return-value]


def one_axis(name: str, shape: tuple[int, ...], dim: int) -> int:
    """A non-negative axis of `shape`."""
    axis = operator.index(dim)
    if not -len(shape) <= axis < max(len(shape), 1) and not (not shape and axis in (0, -1)):
        raise ShapeError(f"{name}: axis {dim} does not exist in shape {shape}.")
    return axis % len(shape) if shape else 0


def all_axes(name: str, shape: tuple[int, ...], dim: int | Sequence[int] | None) -> tuple[int, ...]:
    """A sorted tuple of distinct non-negative axes; None means every axis."""
    if dim is None:
        return tuple(range(len(shape)))
    if not isinstance(dim, Sequence):
        return (one_axis(name, shape, dim),) if shape else ()
    axes = sorted(one_axis(name, shape, d) for d in dim)
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: axes {tuple(dim)} name one axis of shape {shape} twice.")
    return tuple(axes)


def unpack(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """`f(2, 3)` and `f((2, 3))` mean the same shape."""
    if len(sizes) == 1 and isinstance(sizes[0], Sequence):
        sizes = tuple(sizes[0])
    return tuple(operator.index(size) for size in sizes)


def resolve_reshape(shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """The target of a reshape, with at most one -1 worked out from the number of elements."""
    size = math.prod(shape)
    if wanted.count(-1) == 1:
        known = -math.prod(wanted)
        if known > 0 and size % known == 0:
            return tuple(size // known if n == -1 else n for n in wanted)
    elif min(wanted, default=0) >= 0 and math.prod(wanted) == size:
        return wanted
    raise ShapeError(
        f"reshape: {size} elements of shape {shape} do not fit into {wanted}; the product of the "
        "sizes must stay the same, and at most one size may be -1 (worked out for you)."
    )
