"""RAdam by hand; against torch in `tests/peers/test_optim_against_torch.py`."""

from __future__ import annotations

from typing import Any

import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import ArgumentError


def after(gradients: list[float], **options: Any) -> float:
    """Where 0 gets to by steps of rate 1 along these gradients."""
    p = nn.Parameter(tg.tensor([0.0], dtype=tg.float64))
    optimizer = optim.RAdam([p], **{"lr": 1.0, **options})
    for gradient in gradients:
        optimizer.zero_grad()
        (p * gradient).sum().backward()
        optimizer.step()
    return float(p.item())


def test_the_first_steps_are_not_divided() -> None:
    assert after([3.0, 3.0], betas=(0.5, 0.75), eps=0.0) == pytest.approx(-6, rel=1e-14)


def test_later_steps_are_rectified() -> None:
    """With one gradient throughout, m and v are it and its square: the step is the factor alone."""
    beta, steps = 0.9, 8
    longest = 2 / (1 - beta) - 1

    def factor(t: int) -> float:
        length = longest - 2 * t * beta**t / (1 - beta**t)
        if length <= 5:
            return 3.0
        share = (length - 4) * (length - 2) * longest
        return float((share / ((longest - 4) * (longest - 2) * length)) ** 0.5)

    factors = [factor(t) for t in range(1, steps + 1)]
    assert 3.0 in factors
    assert factors[-1] != 3.0
    found = after([3.0] * steps, betas=(0.5, beta), eps=0.0)
    assert found == pytest.approx(-sum(factors), rel=1e-12)


@pytest.mark.parametrize("options", [{"betas": (0.9, 1.0)}, {"eps": -1}])
def test_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="RAdam"):
        after([1.0], **options)
