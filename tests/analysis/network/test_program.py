"""Functions of one variable: what is run beside them is their derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.network.program import Program
from tinygrad_edu import ops

Build = Callable[[Program], int]


def _gate(p: Program) -> int:
    return p.append(ops.mul, {}, (0, p.append(ops.sigmoid, {}, (0,))))


def _difference(p: Program) -> int:
    half = p.append(ops.mul, {}, (0, np.array(0.5)))
    return p.append(ops.sub, {}, (p.append(ops.tanh, {}, (0,)), half))


def _quotient(p: Program) -> int:
    below = p.append(ops.add, {}, (p.append(ops.mul, {}, (0, 0)), np.array(1.0)))
    return p.append(ops.div, {}, (0, below))


CASES: dict[str, Build] = {"gate": _gate, "difference": _difference, "quotient": _quotient}


@pytest.mark.parametrize("name", CASES)
@given(at=st.floats(-4, 4))
def test_slopes_are_those_of_the_values(name: str, at: float) -> None:
    """Central differences: their error is h^2/6 of a third derivative below 10, and rounding
    1e-16 / h."""
    program: Any = Program()
    last = CASES[name](program)
    h = 1e-5
    x = np.array([[at - h, at, at + h]])
    value, slope = program.run(x, last)[last]
    assert slope[0, 1] == pytest.approx((value[0, 2] - value[0, 0]) / (2 * h), abs=1e-9)
