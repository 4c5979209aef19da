"""Schedules are closed formulas of the epoch; against torch in `tests/peers`."""

from __future__ import annotations

import math
from typing import Any

import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import ArgumentError, CheckpointError
from tinygrad_edu.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)


def optimizer(*rates: float) -> optim.Optimizer:
    """A group for each rate."""
    return optim.SGD([{"params": [nn.Parameter([1.0])], "lr": rate} for rate in rates])


def rates(scheduler: Any, epochs: int) -> list[float]:
    """The first group's rate in each epoch."""
    found = []
    for _ in range(epochs):
        found.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.step()
    return found


def test_cosine() -> None:
    expected = [2, 1 + math.cos(math.pi / 4), 1, 1 - math.cos(math.pi / 4), 0]
    assert rates(CosineAnnealingLR(optimizer(2.0), 4), 5) == pytest.approx(expected, abs=1e-15)
    assert rates(CosineAnnealingLR(optimizer(2.0), 4, eta_min=1), 5)[-1] == 1


def test_linear() -> None:
    assert rates(LinearLR(optimizer(3.0), total_iters=2), 4) == pytest.approx([1, 2, 3, 3])
    assert rates(LinearLR(optimizer(1.0), 1.0, 0.0, 2), 4) == [1, 0.5, 0, 0]


def test_stairs() -> None:
    assert rates(StepLR(optimizer(8.0), 2, gamma=0.5), 5) == [8, 8, 4, 4, 2]
    assert rates(MultiStepLR(optimizer(8.0), [3, 1, 1], gamma=0.5), 5) == [8, 2, 2, 1, 1]
    assert rates(ExponentialLR(optimizer(8.0), 0.5), 4) == [8, 4, 2, 1]
    with pytest.raises(ArgumentError, match="step_size"):
        StepLR(optimizer(1.0), 0)


def test_constant_and_polynomial() -> None:
    assert rates(ConstantLR(optimizer(8.0), 0.5, 2), 4) == [4, 4, 8, 8]
    assert rates(PolynomialLR(optimizer(8.0), 4, power=2), 6) == [8, 4.5, 2, 0.5, 0, 0]


def test_products() -> None:
    schedule = MultiplicativeLR(optimizer(8.0), lambda epoch: 1 / epoch)
    assert rates(schedule, 4) == pytest.approx([8, 8, 4, 4 / 3])
    resumed = MultiplicativeLR(optimizer(8.0), lambda epoch: 1 / epoch)
    resumed.load_state_dict(schedule.state_dict())
    assert resumed.get_last_lr() == schedule.get_last_lr()


def test_lambda() -> None:
    assert rates(LambdaLR(optimizer(2.0), lambda epoch: 0.5**epoch), 3) == [2, 1, 0.5]
    schedule = LambdaLR(optimizer(1.0, 10.0), [lambda epoch: epoch, lambda epoch: 1.0])
    schedule.step()
    schedule.step()
    assert schedule.get_last_lr() == [2, 10]


def test_each_group_has_its_own_rate() -> None:
    schedule = CosineAnnealingLR(optimizer(1.0, 10.0), 2)
    schedule.step()
    assert schedule.get_last_lr() == pytest.approx([0.5, 5])


def test_a_later_schedule_starts_from_the_initial_rate() -> None:
    trained = optimizer(1.0)
    rates(CosineAnnealingLR(trained, 4), 3)
    assert rates(LinearLR(trained, 0.5, total_iters=1), 2) == [0.5, 1]


def test_resuming() -> None:
    through = CosineAnnealingLR(optimizer(1.0), 7)
    expected = rates(through, 6)
    stopped = CosineAnnealingLR(optimizer(1.0), 7)
    rates(stopped, 3)
    resumed = CosineAnnealingLR(optimizer(1.0), 7)
    resumed.load_state_dict(stopped.state_dict())
    assert rates(resumed, 3) == expected[3:]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"last_epoch": 3, "base_lrs": [1.0, 2.0]}, "2 initial rates, this optimizer 1 groups"),
        ({"last_epoch": 3}, "not the state of a schedule"),
        ({}, "not the state of a schedule"),
        (None, "not the state of a schedule"),
        ({"last_epoch": "3", "base_lrs": [1.0]}, "last_epoch is an integer"),
        ({"last_epoch": 3, "base_lrs": ["a"]}, "base_lrs a list of numbers"),
        ({"last_epoch": 3, "base_lrs": 1.0}, "base_lrs a list of numbers"),
    ],
)
def test_a_state_of_something_else_changes_nothing(state: Any, message: str) -> None:
    schedule = CosineAnnealingLR(optimizer(1.0), 7)
    schedule.step()
    before = schedule.state_dict(), schedule.get_last_lr()
    with pytest.raises(CheckpointError, match=message):
        schedule.load_state_dict(state)
    assert (schedule.state_dict(), schedule.get_last_lr()) == before


@pytest.mark.parametrize(
    "make",
    [
        lambda o: CosineAnnealingLR(o, 0),
        lambda o: LinearLR(o, total_iters=0),
        lambda o: LinearLR(o, start_factor=0),
        lambda o: LinearLR(o, end_factor=-1),
        lambda o: LambdaLR(o, [lambda epoch: 1.0] * 2),
        lambda o: ConstantLR(o, 1.5),
        lambda o: ConstantLR(o, total_iters=-1),
        lambda o: PolynomialLR(o, 0),
        lambda o: LambdaLR(o, 3),
        lambda o: LambdaLR(o, lambda epoch: "a"),
        lambda o: StepLR(o, 1.5),
        lambda o: StepLR(o, 2, gamma="a"),
        lambda o: MultiStepLR(o, 3),
        lambda o: StepLR(o.param_groups, 2),
    ],
)
def test_refuses(make: Any) -> None:
    made = optimizer(1.0)
    with pytest.raises(ArgumentError):
        make(made)
    assert made.param_groups[0]["lr"] == 1.0


def test_a_group_added_later_is_named() -> None:
    made = optimizer(1.0)
    schedule = StepLR(made, 2)
    made.add_param_group({"params": [tg.zeros(2, requires_grad=True)]})
    with pytest.raises(ArgumentError, match="make the schedule after add_param_group"):
        schedule.step()
