"""Every op of the table on vectors: value and derivatives, against the float reader."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Value
from tinygrad_edu.compiler.values import lane_plan
from tinygrad_edu.compiler.values.vector_reader import arity
from tinygrad_edu.graph.recording import record
from tinygrad_edu.graph.tape import OPS

CODES = frozenset(code for code, op in enumerate(OPS) if op is not None)
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 3.0, 6.0, -3.0, 700.0, -800.0, np.inf, -np.inf, np.nan]

ROUNDING = 1e-12
"""Relative: vector functions within two units of 2^-53, in rules of some ten steps that cancel no
more than three digits at these arguments."""


@pytest.fixture
def one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine for all ops, compiled once, instead of one for each."""
    kernels = lane_plan._kernels
    monkeypatch.setattr(lane_plan, "_kernels", lambda codes, *of: kernels(CODES, *of))


@pytest.mark.usefixtures("one_machine")
@pytest.mark.parametrize("code", sorted(CODES), ids=lambda code: OPS[code].name)  # type: ignore[union-attr]
def test_value_and_derivatives(code: int) -> None:
    op = OPS[code]
    assert op is not None
    draw = np.random.default_rng(code)
    count = arity(op)
    ordinary = draw.uniform(-2, 2, (60, count))
    special = draw.choice(SPECIAL, (60, count))
    for xs in (ordinary, special):
        weight = Value(1.0)
        compiled = tg.compile(lambda x, w=weight: record(op, x[0] * w, *x[1:]))
        result = compiled(xs)
        expected, grads = [], []
        for row in xs.tolist():
            w = Value(1.0)
            value = record(op, Value(row[0]) * w, *map(Value, row[1:]))
            expected.append(value.data)
            value.backward()
            grads.append(w.grad)
        np.testing.assert_allclose(result.data, expected, ROUNDING, 1e-300)
        if xs is ordinary:
            result.backward()
            scale = np.max(np.abs(grads), initial=1.0)
            np.testing.assert_allclose(weight.grad, np.sum(grads), ROUNDING, ROUNDING * scale * 60)
