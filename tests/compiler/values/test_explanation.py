"""What a compiled function of Values runs, as a table."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.compiler.values.explanation import Row, ValuesExplanation
from tinygrad_edu.errors import ArgumentError


def test_parts_and_ops() -> None:
    w, b = tg.Value(1.0), tg.Value(0.5)

    @tg.compile
    def step(x: tg.Value, rate: float) -> tg.Value:
        loss = tg.scalar.batch_mean((w * x + b).tanh()) + w * w
        w.grad = b.grad = 0.0
        loss.backward()
        for p in (w, b):
            p.data -= rate * p.grad
        return loss.data

    with pytest.raises(ArgumentError, match="call the compiled step first"):
        tg.explain(step)
    step(np.ones(3, np.float32), 0.1)
    told = tg.explain(step)
    assert isinstance(told, ValuesExplanation)
    assert Row("in lanes", "tanh", 1) in told.rows
    assert Row("in lanes", "sum of products", 1) in told.rows
    assert Row("once", "mean", 1) in told.rows
    assert Row("update", "mul", 2) in told.rows
    assert Row("update", "sub", 2) in told.rows
    assert (told.products, told.lanes, told.dtype) == (1, 16, "float32")
    assert str(told).startswith("step: ")
    step(2.0, 0.1)
    assert tg.explain(step).lanes == 1  # type: ignore[union-attr]
    assert tg.explain(step, 1).lanes == 16  # type: ignore[union-attr]
    with pytest.raises(ArgumentError, match="2 programs"):
        tg.explain(step, 2)
