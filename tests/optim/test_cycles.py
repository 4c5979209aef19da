"""Cycles by hand, and what they do to the momentum; against torch in `tests/peers`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.optim.test_lr_scheduler import optimizer, rates
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.optim.lr_scheduler import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR


def test_restarts() -> None:
    schedule = CosineAnnealingWarmRestarts(optimizer(2.0), T_0=2, T_mult=2)
    found = rates(schedule, 7)
    assert found[0] == found[2] == found[6] == 2
    assert found[1] == found[4] == pytest.approx(1)


def test_triangles() -> None:
    up = [0, 1, 2]
    schedule = CyclicLR(optimizer(9.0), 0, 2, step_size_up=2)
    assert rates(schedule, 6) == pytest.approx([*up, 1, 0, 1])
    lower = CyclicLR(optimizer(9.0), 0, 2, step_size_up=2, mode="triangular2")
    assert rates(lower, 7)[6] == pytest.approx(1)


def test_one_cycle_and_its_momentum() -> None:
    trained = optimizer(9.0)
    schedule = OneCycleLR(
        trained, 1.0, total_steps=5, pct_start=0.6, anneal_strategy="linear", div_factor=4
    )
    (group,) = trained.param_groups
    found, momenta = [], []
    for _ in range(5):
        found.append(group["lr"])
        momenta.append(group["momentum"])
        schedule.step()
    assert found == pytest.approx([0.25, 0.625, 1, 0.5, 0], abs=1e-4)
    assert momenta == pytest.approx([0.95, 0.9, 0.85, 0.9, 0.95])
    with pytest.raises(ArgumentError, match="no more steps"):
        schedule.step()


def test_without_momentum() -> None:
    plain = optim.Adagrad([nn.Parameter([1.0])])
    with pytest.raises(ArgumentError, match="cycle_momentum=False"):
        OneCycleLR(plain, 1.0, total_steps=5)
    rates(OneCycleLR(plain, 1.0, total_steps=5, cycle_momentum=False), 5)


@pytest.mark.parametrize(
    "make",
    [
        lambda o: CosineAnnealingWarmRestarts(o, 0),
        lambda o: CyclicLR(o, 0, 1, mode="square"),
        lambda o: CyclicLR(o, 0, 1, scale_fn=lambda n: 1.0, scale_mode="days"),
        lambda o: CyclicLR(o, 0, 1, step_size_up=0),
        lambda o: CyclicLR(o, [0, 0], 1),
        lambda o: OneCycleLR(o, 1.0),
        lambda o: OneCycleLR(o, 1.0, total_steps=5, pct_start=2),
        lambda o: OneCycleLR(o, 1.0, total_steps=5, anneal_strategy="square"),
        lambda o: OneCycleLR(o, [1.0, 2.0], total_steps=5),
    ],
)
def test_refuses(make: Any) -> None:
    with pytest.raises(ArgumentError):
        make(optimizer(1.0))
