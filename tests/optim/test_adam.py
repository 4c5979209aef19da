"""Adam by hand; against torch in `tests/peers/test_optim_against_torch.py`."""

from __future__ import annotations

from typing import Any

import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import ArgumentError


def one_step(make: Any, gradient: float, **options: Any) -> float:
    """Where 10 gets to in one step."""
    p = nn.Parameter(tg.tensor([10.0], dtype=tg.float64))
    optimizer = make([p], lr=0.1, eps=0.0, **options)
    (p * gradient).sum().backward()
    optimizer.step()
    return float(p.item())


@pytest.mark.parametrize("gradient", [1e-6, -3.0, 1e6])
def test_the_first_step_has_length_lr_whatever_the_gradient(gradient: float) -> None:
    expected = 10 - 0.1 * (1 if gradient > 0 else -1)
    assert one_step(optim.Adam, gradient) == pytest.approx(expected, rel=1e-12)


def test_decay_of_adam_is_scaled_away_and_that_of_adamw_is_not() -> None:
    assert one_step(optim.Adam, 2.0, weight_decay=0.5) == pytest.approx(9.9, rel=1e-12)
    assert one_step(optim.AdamW, 2.0, weight_decay=0.5) == pytest.approx(9.5 - 0.1, rel=1e-12)
    assert optim.AdamW([nn.Parameter([1.0])]).defaults["weight_decay"] == 0.01


def test_two_steps() -> None:
    p = nn.Parameter(tg.tensor([0.0], dtype=tg.float64))
    optimizer = optim.Adam([p], lr=1.0, betas=(0.5, 0.75), eps=0.0)
    for gradient in (1.0, 3.0):
        optimizer.zero_grad()
        (p * gradient).sum().backward()
        optimizer.step()
    # m = (0.25 + 1.5) / (1 - 0.25) and v = (0.1875 + 2.25) / (1 - 0.5625)
    expected = -1 - (1.75 / 0.75) / (2.4375 / 0.4375) ** 0.5
    assert p.item() == pytest.approx(expected, rel=1e-14)


def test_eps_is_added_to_the_corrected_root() -> None:
    p = nn.Parameter(tg.tensor([0.0], dtype=tg.float64))
    optimizer = optim.Adam([p], lr=1.0, betas=(0.5, 0.75), eps=3.0)
    (p * 1.0).sum().backward()
    optimizer.step()
    assert p.item() == pytest.approx(-1 / (1 + 3), rel=1e-14)  # m = v = 1 after correction


@pytest.mark.parametrize("options", [{"betas": (1.0, 0.9)}, {"betas": (0.9, -0.1)}, {"eps": -1e-8}])
def test_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="Adam"):
        optim.Adam([nn.Parameter([1.0])], **options)
