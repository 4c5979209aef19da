"""One piece of memory for everything: smaller than what eager execution takes."""

from __future__ import annotations

import tracemalloc

import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.kernels import threads


def deep_step() -> tuple[nn.Module, object]:
    """Thirty layers of 100 units, SGD with momentum, a batch of 128."""
    model = nn.Sequential(*(m for _ in range(30) for m in (nn.Linear(100, 100), nn.Tanh())))
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step(x: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return model, step


@pytest.mark.parametrize(("count", "share"), [(1, 0.6), (2, 0.8)])
def test_a_deep_step_takes_less_memory_than_eager(
    count: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parameters, gradients and moments included on both sides, at the peak of a step. Threads keep
    what the gradients by weights are made of until the whole backward pass is done."""
    monkeypatch.setattr(threads, "chosen", count)
    x = tg.randn(128, 100)
    tracemalloc.start()
    try:
        model, step = deep_step()
        for _ in range(3):  # the first steps make the moments and what is kept
            tracemalloc.reset_peak()
            step(x)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    compiled = tg.compile(deep_step()[1], gradients=False)
    compiled(x)
    (program,) = compiled.programs
    assert program.plan.arena_bytes <= share * peak
    assert program.plan.arena_bytes >= 2 * sum(4 * p.numel() for p in model.parameters())
