"""Adamax by hand; against torch in `tests/peers/test_optim_against_torch.py`."""

from __future__ import annotations

from typing import Any

import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import ArgumentError


def after(gradients: list[float], **options: Any) -> float:
    """Where 0 gets to by steps of rate 1 along these gradients."""
    p = nn.Parameter(tg.tensor([0.0], dtype=tg.float64))
    optimizer = optim.Adamax([p], **{"lr": 1.0, **options})
    for gradient in gradients:
        optimizer.zero_grad()
        (p * gradient).sum().backward()
        optimizer.step()
    return float(p.item())


def test_divides_by_the_largest_gradient_of_late() -> None:
    # m = 2, u = 4; then m = 1.5 over 1 - 0.25, u = max(0.75 * 4, 1)
    found = after([4.0, 1.0], betas=(0.5, 0.75), eps=0.0)
    assert found == pytest.approx(-1 - (1.5 / 0.75) / 3, rel=1e-14)


@pytest.mark.parametrize("options", [{"betas": (1.0, 0.9)}, {"eps": -1}])
def test_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="Adamax"):
        after([1.0], **options)
