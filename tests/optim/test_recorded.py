"""The steps of every optimizer are the same compiled, one at a time or an epoch in one call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.optim.test_optimizer import WITH_STATE
from tinygrad_edu import nn

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 2))


def trained(name: str, how: str) -> Any:
    """The weights after two passes of ten steps, and the state that is left."""
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    optimizer = WITH_STATE[name](model.parameters())

    def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    compiled = tg.compile(step)
    for _ in range(2):
        if how == "epoch":
            compiled.epoch(X, Y, batch_size=4)
            continue
        run = compiled if how == "compiled" else step
        for i in range(0, len(X), 4):
            run(tg.tensor(X[i : i + 4]), tg.tensor(Y[i : i + 4]))
    return [p.detach().numpy() for p in model.parameters()], optimizer.state_dict()["state"]


@pytest.mark.parametrize("name", WITH_STATE)
@pytest.mark.parametrize("how", ["compiled", "epoch"])
def test_compiled_steps(name: str, how: str) -> None:
    """20 steps of sums in another order: a few hundred roundings."""
    (weights, state), (wanted, kept) = trained(name, how), trained(name, "eager")
    for a, b in zip(weights, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    for number, values in kept.items():
        assert state[number].keys() == values.keys()
        for key, value in values.items():
            np.testing.assert_allclose(state[number][key], value, rtol=1e-11, atol=1e-13)
