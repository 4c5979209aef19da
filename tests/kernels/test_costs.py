"""What counts as costly: anything that takes longer than reading a number from memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_edu.kernels import vector_math
from tinygrad_edu.kernels.costs import costs
from tinygrad_edu.kernels.lanes import NoVectorForm

FLOAT, INTEGER = np.dtype("f4"), np.dtype("i8")


@pytest.mark.parametrize(
    "rule",
    [
        lambda m, x: m.tanh(x),
        lambda m, x: 1 / x,
        lambda m, x: m.sqrt(x),
        lambda m, x: m.pow(x, 2.5),
    ],
    ids=["function", "division", "root", "power"],
)
def test_costly(rule: Any) -> None:
    assert costs(rule, {}, [FLOAT], FLOAT)


@pytest.mark.parametrize(
    "rule",
    [lambda m, x: 1 - x * x, lambda m, x: m.where(x <= 0, 0, x), lambda m, x: x / 2],
    ids=["products", "choice", "half"],
)
def test_cheap(rule: Any) -> None:
    assert not costs(rule, {}, [FLOAT], FLOAT)


def test_many_steps_are_costly() -> None:
    def chain(m: Any, x: Any, steps: int) -> Any:
        for _ in range(steps):
            x = x + 1
        return x

    assert not costs(chain, {"steps": 3}, [FLOAT], FLOAT)
    assert costs(chain, {"steps": 30}, [FLOAT], FLOAT)


def test_nothing_is_written_to_find_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(vector_math, "emit")
    assert costs(lambda m, x: m.erf(x), {}, [FLOAT], FLOAT)


def test_functions_of_integers_have_no_form() -> None:
    with pytest.raises(NoVectorForm, match="exp of int64"):
        costs(lambda m, x: m.exp(x), {}, [INTEGER], INTEGER)
