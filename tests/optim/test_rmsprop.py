"""RMSprop by hand; against torch in `tests/peers/test_optim_against_torch.py`."""

from __future__ import annotations

from typing import Any

import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import ArgumentError


def one_step(gradient: float, **options: Any) -> float:
    """Where 0 gets to in one step of rate 1."""
    p = nn.Parameter(tg.tensor([0.0], dtype=tg.float64))
    optimizer = optim.RMSprop([p], lr=1.0, alpha=0.75, eps=0.0, **options)
    (p * gradient).sum().backward()
    optimizer.step()
    return float(p.item())


def test_divides_by_the_root_mean_square() -> None:
    assert one_step(3.0) == pytest.approx(-3 / 1.5)  # v = 9 / 4


def test_centered_divides_by_the_standard_deviation() -> None:
    assert one_step(4.0, centered=True) == pytest.approx(-4 / (4 - 1) ** 0.5)  # v = 4, m = 1


@pytest.mark.parametrize("options", [{"alpha": 1.0}, {"momentum": -1}, {"eps": -1}])
def test_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="RMSprop"):
        optim.RMSprop([nn.Parameter([1.0])], **options)
