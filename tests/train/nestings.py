"""What a checkpoint may hold, at random, and what it means that it came back as it was."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu.train.nesting import memory_order

DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]

arrays = hnp.arrays(
    st.sampled_from(DTYPES).map(np.dtype),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)


@st.composite
def views(draw: Any) -> np.ndarray:
    """Arrays that lie in memory in other ways: transposed, reversed, every second element."""
    array = draw(arrays)
    array = array.transpose(draw(st.permutations(range(array.ndim))))
    steps = draw(st.lists(st.sampled_from([1, -1, 2]), min_size=array.ndim, max_size=array.ndim))
    return array[tuple(slice(None, None, step) for step in steps)]  # type: ignore[no-any-return]


def scalar_of(array: np.ndarray) -> Any:
    """The first element as a NumPy scalar."""
    return array.flat[0] if array.size else np.float32(0.5)


_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(),
    arrays,
    views(),
    arrays.map(tg.tensor),
    arrays.map(scalar_of),
)
_keys = st.one_of(st.text(), st.integers(), st.sampled_from(["$tensor", "$", "a.b", "a"]))
nestings = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner), st.lists(inner).map(tuple), st.dictionaries(_keys, inner)
    ),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    """Equal in type and to the bit, in the order of keys, and in memory layout."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, tg.Tensor):
        return same(a.numpy(), b.numpy())
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and memory_order(a) == memory_order(b) and same_bits(a, b)
    if isinstance(a, np.generic):
        return same_bits(a, b)
    if isinstance(a, float):
        return same_bits(np.float64(a), np.float64(b)) or (math.isnan(a) and math.isnan(b))
    return bool(a == b)


def same_bits(a: Any, b: Any) -> bool:
    """Equal as bytes: NaN equals NaN, 0 differs from -0."""
    return bool(a.dtype == b.dtype and a.tobytes() == b.tobytes())
