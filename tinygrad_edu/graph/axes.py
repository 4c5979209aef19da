"""Axes and shapes as users spell them, made definite: torch's `dim`/`keepdim`, NumPy's
`axis`/`keepdims`, negative numbers, None for all."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tinygrad_edu.errors import ArgumentError, AxisError, DTypeError, ShapeError

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
    """A non-negative axis of `shape`; a scalar is let pass as a vector, whose axis is 0 or -1."""
    try:
        if isinstance(dim, bool):  # torch once had var(unbiased): not to be taken for an axis
            raise TypeError
        axis = operator.index(dim)
    except TypeError:
        raise DTypeError(f"{name}: an axis is an integer, not {dim!r}.") from None
    n = max(len(shape), 1)
    if not -n <= axis < n:
        raise AxisError(
            f"{name}: axis {dim} does not exist in shape {shape}; it goes from {-n} to {n - 1}."
        )
    return axis % n


def all_axes(name: str, shape: tuple[int, ...], dim: int | Sequence[int] | None) -> tuple[int, ...]:
    """A sorted tuple of distinct non-negative axes; None means every axis."""
    if dim is None:
        return tuple(range(len(shape)))
    if not isinstance(dim, Sequence) or isinstance(dim, str):
        dim = (dim,)
    axes = sorted(one_axis(name, shape, d) for d in dim)
    if len(set(axes)) != len(axes):
        raise AxisError(f"{name}: axes {tuple(dim)} name one axis of shape {shape} twice.")
    return tuple(axes) if shape else ()


def several(dims: int | Sequence[int]) -> tuple[int, ...]:
    """One number, or each of a sequence."""
    return unpack((dims,))


def unpack(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """`f(2, 3)` and `f((2, 3))` mean the same shape."""
    if len(sizes) == 1 and isinstance(sizes[0], Sequence) and not isinstance(sizes[0], str):
        sizes = tuple(sizes[0])
    return tuple(whole(size) for size in sizes)


def whole(number: Any) -> int:
    """An integer of any type (NumPy's, a tensor's) as Python's."""
    try:
        return operator.index(number)
    except TypeError:
        raise DTypeError(f"sizes, axes and counts are integers, not {number!r}.") from None


def resolve_reshape(shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """The target of a reshape, with at most one -1 worked out from the number of elements."""
    size = math.prod(shape)
    given = [n for n in wanted if n != -1]
    known = math.prod(given)
    if min(given, default=0) >= 0:
        if len(given) == len(wanted) and known == size:
            return wanted
        if len(given) == len(wanted) - 1 and known > 0 and size % known == 0:
            return tuple(size // known if n == -1 else n for n in wanted)
    raise ShapeError(
        f"reshape: {size} elements of shape {shape} do not fit into {wanted}; the product of the "
        "sizes must stay the same, and at most one size may be -1 (worked out for you)."
    )
