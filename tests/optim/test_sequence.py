"""Schedules one after another."""

from __future__ import annotations

from typing import Any

import pytest

from tests.optim.test_lr_scheduler import optimizer, rates
from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.optim.lr_scheduler import ConstantLR, ExponentialLR, SequentialLR


def made() -> SequentialLR:
    trained = optimizer(8.0)
    parts = [ConstantLR(trained, 0.25, 9), ExponentialLR(trained, 0.5)]
    return SequentialLR(trained, parts, [2])


def test_each_counts_from_its_milestone() -> None:
    assert rates(made(), 5) == [2, 2, 8, 4, 2]


def test_resuming() -> None:
    stopped, resumed = made(), made()
    rates(stopped, 3)
    resumed.load_state_dict(stopped.state_dict())
    assert rates(resumed, 2) == [4, 2]


@pytest.mark.parametrize(
    "make",
    [
        lambda o: SequentialLR(o, [ConstantLR(o)], [1]),
        lambda o: SequentialLR(o, [ConstantLR(o)] * 3, [2, 2]),
        lambda o: SequentialLR(o, [ConstantLR(optimizer(1.0))], []),
    ],
)
def test_refuses(make: Any) -> None:
    with pytest.raises(ArgumentError):
        make(optimizer(1.0))
