"""Small networks and numbers for compiled steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import nn, optim


def numbers(*shape: int) -> tg.Tensor:
    return tg.tensor(np.random.default_rng(0).normal(size=shape).astype(np.float32))


def descending(net: nn.Module) -> Callable[[tg.Tensor], None]:
    """A compiled step that makes the sum of the outputs smaller."""
    optimizer = optim.SGD(net.parameters(), lr=0.1)

    @tg.compile
    def step(x: tg.Tensor) -> None:
        optimizer.zero_grad()
        net(x).sum().backward()
        optimizer.step()

    return step


class Net(nn.Module):
    def __init__(self) -> None:
        self.first = nn.Linear(3, 4)
        self.slope = 0.5
        self.register_buffer("mean", tg.zeros(4))

    def forward(self, x: Any) -> Any:
        h = self.first(x) * self.slope
        if self.training:
            self.mean.copy_(0.9 * self.mean + 0.1 * h.detach().mean(0))
            return h
        return h - self.mean
