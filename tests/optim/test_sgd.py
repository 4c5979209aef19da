"""SGD by hand; against torch in `tests/peers/test_optim_against_torch.py`."""

from __future__ import annotations

from typing import Any

import pytest

from tinygrad_edu import nn, optim
from tinygrad_edu.errors import ArgumentError


def after(gradients: list[float], **options: Any) -> list[float]:
    """Where 10 gets to, step by step."""
    p = nn.Parameter([10.0])
    optimizer, places = optim.SGD([p], **options), []
    for gradient in gradients:
        optimizer.zero_grad()
        (p * gradient).sum().backward()
        optimizer.step()
        places.append(p.item())
    return places


def test_plain() -> None:
    assert after([1, 2], lr=0.5) == [9.5, 8.5]


def test_momentum_adds_gradients_up() -> None:
    assert after([1, 2, 0], lr=1, momentum=0.5) == [9, 6.5, 5.25]


def test_dampening_spares_the_first_gradient() -> None:
    assert after([1, 2], lr=1, momentum=0.5, dampening=0.5) == [9, 7.5]


def test_nesterov_looks_ahead() -> None:
    assert after([1, 2], lr=1, momentum=0.5, nesterov=True) == [8.5, 5.25]


def test_weight_decay_pulls_to_zero() -> None:
    assert after([0, 0], lr=0.5, weight_decay=0.5) == [7.5, 5.625]


@pytest.mark.parametrize(
    "options",
    [{"momentum": -0.1}, {"nesterov": True}, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}],
)
def test_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="SGD"):
        after([], **options)
