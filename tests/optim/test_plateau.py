"""A rate that falls when nothing improves; against torch in `tests/peers`."""

from __future__ import annotations

from typing import Any

import pytest

import tinygrad_edu as tg
from tests.optim.test_lr_scheduler import optimizer
from tinygrad_edu.errors import ArgumentError, CheckpointError, TraceError
from tinygrad_edu.optim.lr_scheduler import ReduceLROnPlateau


def followed(schedule: ReduceLROnPlateau, metrics: list[float]) -> list[float]:
    found = []
    for metric in metrics:
        schedule.step(metric)
        found += schedule.get_last_lr()
    return found


def test_patience_and_cooldown() -> None:
    schedule = ReduceLROnPlateau(optimizer(8.0), factor=0.5, patience=1, cooldown=1)
    assert followed(schedule, [3, 3, 3, 3, 3, 3]) == [8, 8, 4, 4, 4, 2]


def test_the_least_rate() -> None:
    schedule = ReduceLROnPlateau(optimizer(8.0), patience=0, min_lr=1.0)
    assert followed(schedule, [1, 1, 1]) == [8, 1, 1]


def test_resuming() -> None:
    metrics = [5, 4, 4, 4, 3, 3, 3]
    through = ReduceLROnPlateau(optimizer(8.0), factor=0.5, patience=1)
    wanted = followed(through, metrics)
    stopped = ReduceLROnPlateau(optimizer(8.0), factor=0.5, patience=1)
    followed(stopped, metrics[:3])
    resumed = ReduceLROnPlateau(optimizer(8.0), factor=0.5, patience=1)
    resumed.load_state_dict(stopped.state_dict())
    assert followed(resumed, metrics[3:]) == wanted[3:]
    with pytest.raises(CheckpointError, match="has no num_bad_epochs"):
        resumed.load_state_dict({"best": 1.0})
    assert resumed.best == 3


def test_it_stands_outside_of_a_compiled_step() -> None:
    schedule = ReduceLROnPlateau(optimizer(8.0))
    with pytest.raises(TraceError):
        tg.compile(lambda x: schedule.step(x.sum()))(tg.ones(2))
    assert schedule.last_epoch == 0


@pytest.mark.parametrize(
    "options", [{"factor": 1.0}, {"mode": "low"}, {"threshold_mode": "x"}, {"min_lr": [0.0, 0.0]}]
)
def test_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        ReduceLROnPlateau(optimizer(1.0), **options)
