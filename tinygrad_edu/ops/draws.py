"""Random numbers as an op: what is drawn follows from a key alone.

The generator is Philox (Salmon et al. 2011), keyed by the seed and the number of the draw under it.
So a step that is compiled draws the numbers that it would draw eagerly, and new ones at every call.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.ops.dtypes import Spec
from tinygrad_edu.ops.table import Op


def generator(seed: int, count: int) -> np.random.Generator:
    """The generator of draw number `count` under this seed."""
    key = np.array([seed, count], np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def numbers(
    source: Any, law: str, shape: tuple[int, ...], dtype: Any, bounds: Any = None
) -> np.ndarray:
    """Independent numbers from a NumPy generator: "uniform" on [0, 1), "normal" with variance 1,
    "integers" from bounds[0] to bounds[1] - 1, or a "permutation" of range(n), for (n,)."""
    drawn: np.ndarray
    if law == "uniform":
        drawn = source.random(shape, dtype)
    elif law == "normal":
        drawn = source.standard_normal(shape, dtype)
    elif law == "integers":
        drawn = source.integers(*bounds, shape)
    else:
        drawn = source.permutation(shape[0])
    return drawn


class Draw(Op):
    """Random numbers from a key: uint64 of shape (2,), the seed and the number of a draw. `offset`
    counts the draws of one step."""

    kind = "source"
    differentiable = False
    reads = False

    def forward(self, *xs: Any, **params: Any) -> Any:
        (key,) = xs
        source = generator(int(key[0]), int(key[1]) + params["offset"])
        return numbers(source, params["law"], params["shape"], params["dtype"], params["bounds"])

    def infer(self, *xs: Spec, **params: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
        return params["shape"], params["dtype"]


random = Draw("random", "Random numbers from a key.")
