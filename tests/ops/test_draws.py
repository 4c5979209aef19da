"""Random numbers as an op: those that eager draws, for the same key."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import ops
from tinygrad_edu.graph.creation import random_state, set_random_state


@pytest.mark.parametrize(
    ("law", "dtype", "bounds", "eager"),
    [
        ("uniform", np.float32, None, lambda: tg.rand(3, 4)),
        ("uniform", np.float64, None, lambda: tg.rand(3, 4, dtype=tg.float64)),
        ("normal", np.float32, None, lambda: tg.randn(3, 4)),
        ("integers", np.int64, (2, 9), lambda: tg.randint(2, 9, (3, 4))),
        ("permutation", np.int64, None, lambda: tg.randperm(12)),
    ],
)
def test_the_op_draws_what_eager_draws(
    law: str, dtype: object, bounds: object, eager: object
) -> None:
    shape = (12,) if law == "permutation" else (3, 4)
    seed = 2**63 + 5  # beyond int64
    params = {"law": law, "shape": shape, "dtype": np.dtype(dtype), "bounds": bounds}  # type: ignore[call-overload]
    before = random_state()
    try:
        tg.manual_seed(seed)
        for count in range(3):
            drawn = eager().numpy()  # type: ignore[operator]
            for offset in range(count + 1):
                key = np.array([seed, count - offset], np.uint64)
                np.testing.assert_array_equal(
                    ops.random.forward(key, offset=offset, **params), drawn
                )
            assert ops.random.infer(key, offset=0, **params) == (drawn.shape, drawn.dtype)
    finally:
        set_random_state(before)
