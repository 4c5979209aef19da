"""NAdam by hand; against torch in `tests/peers/test_optim_against_torch.py`."""

from __future__ import annotations

from typing import Any

import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import ArgumentError


def after(gradients: list[float], **options: Any) -> float:
    """Where 0 gets to by steps of rate 1 along these gradients."""
    p = nn.Parameter(tg.tensor([0.0], dtype=tg.float64))
    optimizer = optim.NAdam([p], **{"lr": 1.0, **options})
    for gradient in gradients:
        optimizer.zero_grad()
        (p * gradient).sum().backward()
        optimizer.step()
    return float(p.item())


def test_looks_ahead() -> None:
    # without a decay of the momentum mu is 0.5 * 0.5 at every step: M_1 = 0.25, M_2 = 0.0625
    found = after([3.0], betas=(0.5, 0.75), eps=0.0, momentum_decay=0.0)
    gradient, mean = (1 - 0.25) / (1 - 0.25), 0.25 / (1 - 0.0625) * 0.5
    assert found == pytest.approx(-(gradient + mean), rel=1e-14)


def test_decoupled_decay_is_not_scaled_away() -> None:
    p = nn.Parameter(tg.tensor([10.0], dtype=tg.float64))
    optimizer = optim.NAdam([p], lr=0.1, weight_decay=0.5, decoupled_weight_decay=True)
    (p * 0.0).sum().backward()
    optimizer.step()
    assert p.item() == pytest.approx(9.5, rel=1e-14)


@pytest.mark.parametrize("options", [{"betas": (0.9, 1.0)}, {"momentum_decay": -1}])
def test_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="NAdam"):
        after([1.0], **options)
