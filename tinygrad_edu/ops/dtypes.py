"""Which dtype a result has: torch's promotion, where a Python number never widens a tensor.

Three ranks take part: tensors with dimensions, zero-dimensional tensors, Python numbers. A lower
rank only matters when its category (bool < integer < float) is higher than that of the ranks above.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence
from typing import Any, Protocol

import numpy as np

from tinygrad_edu.errors import DTypeError


class Spec(Protocol):
    """Anything with a shape and a dtype: an array, a node, a shape-only placeholder."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...


float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
boolean = np.dtype(np.bool_)
default_float = float32

_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}


def category(dtype: np.dtype[Any]) -> int:
    """0 bool, 1 integer, 2 float."""
    try:
        return _CATEGORY[dtype.kind]
    except KeyError:
        raise DTypeError(
            f"dtype {dtype}: a tensor holds bool, int or float; convert the data first."
        ) from None


def named(dtype: Any) -> np.dtype[Any]:
    """What a user names as a dtype (one of these, NumPy's, ``float``, ``"int32"``), if a tensor can
    hold it."""
    try:
        if dtype is None:  # to NumPy, float64
            raise TypeError
        found: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise DTypeError(
            f"dtype: {dtype!r} is none; give tg.float32, float64, int32, int64 or bool. (There is "
            "one device, the processor.)"
        ) from None
    category(found)
    return found


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether values of this dtype can carry a gradient."""
    return dtype.kind == "f"


@functools.cache
def promote_pair(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    """torch.promote_types: a float keeps its width whatever integer it meets."""
    if category(a) != category(b):
        return a if category(a) > category(b) else b
    return np.promote_types(a, b)


def promote(specs: Sequence[Spec]) -> np.dtype[Any]:
    """The common dtype of tensors: those with dimensions decide, unless a scalar is of a higher
    category (https://pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc)."""
    first = specs[0].dtype
    if all(spec.dtype == first for spec in specs):
        return first
    with_dims = [spec.dtype for spec in specs if spec.shape]
    scalars = [spec.dtype for spec in specs if not spec.shape]
    if not with_dims or not scalars:
        return functools.reduce(promote_pair, with_dims or scalars)
    high, low = functools.reduce(promote_pair, with_dims), functools.reduce(promote_pair, scalars)
    return high if category(high) >= category(low) else promote_pair(high, low)


def of_number(number: bool | int | float, near: np.dtype[Any] | None) -> np.dtype[Any]:
    """The dtype a Python number takes beside a tensor of dtype `near` (None: standing alone)."""
    kind: Any = type(number)
    return _of_type(kind, near)


@functools.cache
def _of_type(python: Hashable, near: np.dtype[Any] | None) -> np.dtype[Any]:
    own: np.dtype[Any] = default_float
    if python is bool:
        own = boolean
    elif python is int:
        own = int64
    if near is None:
        return own
    return near if category(near) >= category(own) else own
