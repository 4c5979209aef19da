"""A step that somebody wants to see is run as Python, and nothing else is different."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.graph.hooks import Observer
from tinygrad_edu.graph.node import tracing

X = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 40)
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


class EveryThird:
    """Wants to see steps 0, 3, 6, ... of a model; `seen` are those that had values."""

    def __init__(self, model: nn.Module) -> None:
        self.steps = 0
        self.seen: list[int] = []
        self.handle = model.register_forward_hook(self._called)

    @property
    def until_next(self) -> int:
        """Steps before one that it wants to see."""
        return -self.steps % 3

    def passed(self, steps: int) -> None:
        """Count steps."""
        self.steps += steps

    def _called(self, model: nn.Module, inputs: Any, output: tg.Tensor) -> None:
        now = tracing()
        if now is not None:
            now.observed_by(self)
            return
        assert np.isfinite(output.detach().numpy()).all()
        self.seen.append(self.steps)
        self.steps += 1


def training(observed: bool, gradients: bool = True) -> tuple[Any, Any, Any]:
    """State of every kind: parameters, moments, running statistics, random draws."""
    tg.manual_seed(3)
    first = nn.Linear(6, 8, bias=False)  # behind batch norm it would move by rounding errors alone
    model = nn.Sequential(first, nn.BatchNorm1d(8), nn.Dropout(0.2), nn.ReLU(), nn.Linear(8, 3))
    optimizer = optim.Adam(model.parameters(), lr=0.01)

    def step(x: tg.Tensor, y: tg.Tensor) -> dict[str, Any]:
        scores = model(x)
        loss = nn.functional.cross_entropy(scores, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss, "scores": scores, "first": model[0].weight, "kind": "adam"}

    observer = EveryThird(model) if observed else None
    return model, tg.compile(step, gradients=gradients), observer


def agree(one: nn.Module, other: nn.Module) -> None:
    for name, tensor in one.state_dict().items():
        np.testing.assert_allclose(tensor.numpy(), other.state_dict()[name].numpy(), **CLOSE)


@pytest.mark.parametrize("gradients", [True, False])
def test_calls(gradients: bool) -> None:
    plain, unseen, _ = training(False)
    calls = [unseen(X, Y) for _ in range(8)]
    model, step, observer = training(True, gradients)
    assert isinstance(observer, Observer)
    for expected in calls:
        told = step(X, Y)
        assert told["kind"] == "adam"
        assert told["first"] is model[0].weight
        for name in ("loss", "scores"):
            assert not told[name].requires_grad
            np.testing.assert_allclose(told[name].numpy(), expected[name].numpy(), **CLOSE)
        assert (model[0].weight.grad is None) == (not gradients)
    assert (observer.steps, observer.seen) == (8, [0, 3, 6])
    assert len(step.programs) == 1  # nothing was traced anew
    agree(model, plain)


def test_epochs() -> None:
    plain, unseen, _ = training(False)
    epochs = [unseen.epoch(X, Y, batch_size=5) for _ in range(2)]
    model, step, observer = training(True)
    for expected in epochs:
        told = step.epoch(X, Y, batch_size=5)
        np.testing.assert_allclose(told["loss"].numpy(), expected["loss"].numpy(), **CLOSE)
        assert told["scores"].shape == (8, 5, 3)
    assert (observer.steps, observer.seen) == (16, [0, 3, 6, 9, 12, 15])
    agree(model, plain)


def test_a_program_is_made_once_for_each_that_looks_on() -> None:
    _, step, observer = training(True)
    step(X, Y)
    observer.handle.remove()
    step(X, Y)
    assert observer.steps == 1
    assert len(step.programs) == 2
    assert not step.programs[0].observers


def test_a_step_with_two_passes_of_the_model() -> None:
    model = nn.Linear(6, 3)
    observer = EveryThird(model)
    step = tg.compile(lambda x: (model(x) * model(-x)).sum())
    for _ in range(6):
        step(X)
    assert (observer.steps, observer.seen) == (12, [0, 1, 2, 3, 6, 7, 8, 9])
