"""Adadelta by hand; against torch in `tests/peers/test_optim_against_torch.py`."""

from __future__ import annotations

from typing import Any

import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import ArgumentError


def after(gradients: list[float], **options: Any) -> float:
    """Where 0 gets to by steps of rate 1 along these gradients."""
    p = nn.Parameter(tg.tensor([0.0], dtype=tg.float64))
    optimizer = optim.Adadelta([p], **{"lr": 1.0, **options})
    for gradient in gradients:
        optimizer.zero_grad()
        (p * gradient).sum().backward()
        optimizer.step()
    return float(p.item())


def test_steps_are_as_large_as_those_before() -> None:
    # v = 0.5 * 9 and u = 0: the first step is sqrt(1 / (4.5 + 1)) * 3
    first = 3 * (1 / 5.5) ** 0.5
    assert after([3.0], rho=0.5, eps=1.0) == pytest.approx(-first, rel=1e-14)
    second = 3 * ((0.5 * first**2 + 1) / (2.25 + 4.5 + 1)) ** 0.5
    assert after([3.0, 3.0], rho=0.5, eps=1.0) == pytest.approx(-first - second, rel=1e-14)


def test_a_rho_of_1_never_moves_its_means() -> None:
    assert after([3.0], rho=1.0, eps=1.0) == -3


@pytest.mark.parametrize("options", [{"rho": 1.5}, {"rho": -0.1}, {"eps": -1}])
def test_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="Adadelta"):
        after([1.0], **options)
