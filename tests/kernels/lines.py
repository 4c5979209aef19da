"""Arrays with ties and special values, and how a kernel that goes along an axis is run."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_edu.kernels.native import Stream

NONE = np.zeros((0, 2), np.int64)
DTYPES = [np.dtype(t) for t in (np.float32, np.float64, np.int32, np.int64, np.bool_)]
SPECIAL = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1.0, -1.0, 1e-45, -5e-324, 3e38]


def run(address: int, x: np.ndarray, axis: int, result: np.ndarray, *more: int) -> np.ndarray:
    """The result of a kernel."""
    spans = [int(np.prod(part, dtype=int)) for part in (x.shape[:axis], x.shape[axis + 1 :])]
    args = [result.ctypes.data, x.ctypes.data, spans[0], x.shape[axis], spans[1], *more]
    Stream(np.array([address, len(args), *args], np.int64), NONE, NONE, NONE).run(0, 1)
    return result


@st.composite
def arrays(draw: Any, least: int = 0) -> tuple[np.ndarray, int]:
    """An array with ties and special values, and an axis of it."""
    shape = [draw(st.integers(least, 5)) for _ in range(draw(st.integers(1, 3)))]
    axis = draw(st.integers(0, len(shape) - 1))
    shape[axis] = draw(st.integers(least, 70))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    dtype = draw(st.sampled_from(DTYPES))
    x = rng.integers(-3, 4, shape) * draw(st.sampled_from([0.25, 1.0, 1e5]))
    if dtype.kind == "f":
        x = np.where(rng.random(shape) < draw(st.sampled_from([0.0, 0.3])),
                     rng.choice(SPECIAL, shape), x)  # fmt: skip
    with np.errstate(all="ignore"):
        return x.astype(dtype), axis


def bits(dtype: np.dtype[Any]) -> np.ndarray:
    """A long line of numbers each bit of which is random."""
    bits = np.random.default_rng(0).integers(0, 256, 3000 * dtype.itemsize, dtype=np.uint8)
    return bits.view(dtype) if dtype.kind != "b" else bits > 99
