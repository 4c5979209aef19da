"""What a compiled step takes and returns, and whose the results and the random numbers are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.compiler.comparing import net
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import AnomalyError
from tinygrad_edu.graph.creation import random_state


def test_trees_of_arguments_and_results() -> None:
    @tg.compile
    def f(batch: dict[str, Any], *rest: Any, flag: bool = False) -> Any:
        x, (y, z) = batch["x"], batch["pair"]
        return {"sum": x + y, "more": [z * 2, None, "text"], "flag": flag, "rest": len(rest)}

    x = tg.ones(2)
    told = f({"x": x, "pair": (np.ones(2, np.float32), [[1.0]][0][0] * x)}, 1, 2, flag=True)
    assert told["sum"].tolist() == [2, 2]
    assert told["more"][0].tolist() == [2, 2]
    assert told["more"][1:] == [None, "text"]
    assert told["flag"] is True
    assert told["rest"] == 2


def test_results_that_are_there_already() -> None:
    w = tg.ones(2, requires_grad=True)

    @tg.compile
    def f(x: tg.Tensor) -> Any:
        w.data = w.data + x
        return w, x, tg.ones(1), x

    told = f(tg.full((2,), 2.0))
    assert told[0] is w
    assert w.tolist() == [3, 3]
    assert told[1].tolist() == [2, 2]
    assert told[3].tolist() == [2, 2]
    told = f(tg.full((2,), 4.0))
    assert w.tolist() == [7, 7]


def test_results_do_not_change_later() -> None:
    w = tg.ones(2)

    @tg.compile
    def f() -> tg.Tensor:
        w.data = w.data * 2
        return w * 1

    first = f()
    f()
    assert first.tolist() == [2, 2]


def test_methods_and_modules_as_arguments() -> None:
    class Trainer:
        def __init__(self) -> None:
            self.model = nn.Linear(3, 1)
            self.optimizer = optim.SGD(self.model.parameters(), lr=0.1)
            self.factor = 1.0

        @tg.compile
        def step(self, x: tg.Tensor) -> tg.Tensor:
            loss = (self.model(x) ** 2).mean() * self.factor
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            return loss

    trainer = Trainer()
    x = tg.ones(2, 3)
    losses = [trainer.step(x).item() for _ in range(3)]
    assert losses[0] > losses[1] > losses[2]
    trainer.factor = 0.0
    assert trainer.step(x).item() == 0

    forward = tg.compile(lambda model, x: model(x))
    for model in (nn.Linear(3, 2), nn.Linear(3, 2)):
        np.testing.assert_allclose(forward(model, x).numpy(), model(x).detach().numpy(), rtol=1e-6)


def test_one_compiled_function_inside_another() -> None:
    inner = tg.compile(lambda x: x * 2)
    outer = tg.compile(lambda x: inner(x) + 1)
    assert outer(tg.ones(2)).tolist() == [3, 3]
    assert inner(tg.ones(2)).tolist() == [2, 2]


def test_random_numbers_are_those_of_eager() -> None:
    def step(x: tg.Tensor) -> Any:
        drawn = tg.rand(2, 3), tg.randn(3), tg.randint(5, (4,)), tg.randperm(6), tg.rand_like(x)
        return drawn, x * tg.rand(2, dtype=tg.float64)

    x = tg.ones(2)
    told = []
    for run in (step, tg.compile(step)):
        tg.manual_seed(11)
        told.append([run(x) for _ in range(3)])
        told[-1].append(random_state())
    assert told[0][3] == told[1][3]
    for eager, compiled in zip(told[0][:3], told[1][:3], strict=True):
        for a, b in zip([*eager[0], eager[1]], [*compiled[0], compiled[1]], strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_without_gradients_kept() -> None:
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def step(x: tg.Tensor) -> None:
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()

    tg.compile(step, gradients=False)(tg.ones(2, 3))
    assert all(p.grad is None for p in model.parameters())
    tg.compile(step)(tg.ones(2, 3))
    assert all(p.grad is not None for p in model.parameters())


def test_anomalies_are_still_found() -> None:
    f = tg.compile(lambda x: x.log())
    assert np.isnan(f(tg.tensor([-1.0])).item())
    with tg.detect_anomaly(), pytest.raises(AnomalyError, match="log"):
        f(tg.tensor([-1.0]))


def test_parameters_are_the_plans_storage() -> None:
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    @tg.compile
    def step(x: tg.Tensor) -> None:
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()

    step(tg.ones(2, 3))
    entry = step.programs[0]
    for p in model.parameters():
        assert np.shares_memory(p.node.data, entry.plan.state(p.node))
