"""Adagrad by hand; against torch in `tests/peers/test_optim_against_torch.py`."""

from __future__ import annotations

from typing import Any

import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import ArgumentError


def after(gradients: list[float], **options: Any) -> float:
    """Where 0 gets to by steps of rate 1 along these gradients."""
    p = nn.Parameter(tg.tensor([0.0], dtype=tg.float64))
    optimizer = optim.Adagrad([p], **{"lr": 1.0, **options})
    for gradient in gradients:
        optimizer.zero_grad()
        (p * gradient).sum().backward()
        optimizer.step()
    return float(p.item())


def test_divides_by_the_root_of_the_sum_of_squares() -> None:
    assert after([3.0, 4.0], eps=0.0) == pytest.approx(-1 - 4 / 5, rel=1e-14)


def test_eps_is_added_to_the_root() -> None:
    assert after([3.0], eps=1.0) == pytest.approx(-3 / 4, rel=1e-14)


def test_starts_from_a_sum_and_decays() -> None:
    found = after([3.0, 0.5], eps=0.0, initial_accumulator_value=16.0, lr_decay=1.0)
    assert found == pytest.approx(-3 / 5 - 0.5 * 0.5 / 25.25**0.5, rel=1e-14)


@pytest.mark.parametrize(
    "options", [{"lr_decay": -1}, {"eps": -1}, {"initial_accumulator_value": -1}]
)
def test_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="Adagrad"):
        after([1.0], **options)
