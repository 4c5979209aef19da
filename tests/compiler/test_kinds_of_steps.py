"""Training steps of every form give the numbers of the same step without compiling."""

from __future__ import annotations

from typing import Any

import pytest

import tinygrad_edu as tg
from tests.compiler.comparing import Step, compare, net
from tinygrad_edu import nn, optim
from tinygrad_edu.nn import functional as F


def test_gradients_that_add_up_over_two_calls_of_backward() -> None:
    def make() -> tuple[nn.Module, Step]:
        model = net()
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
            optimizer.zero_grad()
            for half in (slice(0, 2), slice(2, 4)):
                loss = F.mse_loss(model(x[half]), y[half]) / 2
                loss.backward()
            optimizer.step()
            return loss

        return model, step

    compare(make)


def test_gradients_that_add_up_over_calls() -> None:
    def make() -> tuple[nn.Module, Step]:
        model = net()

        def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
            loss = F.mse_loss(model(x), y)
            loss.backward()
            return loss

        return model, step

    compare(make)


def test_backward_twice_on_one_graph_and_steps_between() -> None:
    def make() -> tuple[nn.Module, Step]:
        model = net()
        optimizer = optim.Adam(model.parameters(), lr=0.1)

        def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            again = F.mse_loss(model(x), y)  # with the new parameters
            again.backward()
            optimizer.step()
            return loss + again.detach()

        return model, step

    compare(make)


def test_two_optimizers_with_groups() -> None:
    def make() -> tuple[nn.Module, Step]:
        model = net()
        first, _, last = model
        slow = optim.SGD([{"params": first.parameters(), "lr": 0.01}], lr=1.0)
        fast = optim.AdamW(
            [{"params": [last.weight], "lr": 0.1}, {"params": [last.bias], "betas": (0.5, 0.9)}]
        )

        def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
            slow.zero_grad()
            fast.zero_grad(set_to_none=False)
            loss = F.mse_loss(model(x), y)
            loss.backward()
            slow.step()
            fast.step()
            return loss

        return model, step

    compare(make)


def test_an_update_written_by_hand() -> None:
    def make() -> tuple[nn.Module, Step]:
        model = net()

        def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
            model.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            with tg.no_grad():
                for p in model.parameters():
                    p -= 0.1 * p.grad
            model[0].bias.data = model[0].bias.data * 0.5
            return loss

        return model, step

    compare(make)


def test_the_gradient_of_a_gradients_norm() -> None:
    def make() -> tuple[nn.Module, Step]:
        model = net()
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
            slope = tg.func.grad(lambda x: model(x).sum())(x)
            loss = F.mse_loss(model(x), y) + (slope**2).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return model, step

    compare(make)


def test_functional_calls() -> None:
    def make() -> tuple[nn.Module, Step]:
        model = net()

        def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
            def loss(params: Any) -> tg.Tensor:
                return F.mse_loss(tg.func.functional_call(model, params, (x,)), y)

            params = {name: p.detach() for name, p in model.named_parameters()}
            value, gradients = tg.func.value_and_grad(loss)(params)
            for name, p in model.named_parameters():
                p.data = p.data - 0.1 * gradients[name]
            return value

        return model, step

    compare(make)


def test_an_op_of_ones_own() -> None:
    class Cube(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tg.Tensor) -> tg.Tensor:
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx: Any, g: tg.Tensor) -> tg.Tensor:
            (x,) = ctx.saved_tensors
            return 3 * g * x * x

    def make() -> tuple[nn.Module, Step]:
        model = net()

        def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
            model.zero_grad()
            loss = Cube.apply(model(x) - y).sum()
            loss.backward()
            return loss

        return model, step

    compare(make)


def test_an_embedding() -> None:
    table = tg.randn(5, 3, requires_grad=True)
    start = table.detach()

    def step(words: tg.Tensor) -> tg.Tensor:
        table.grad = None
        loss = (table[words] ** 2).sum()
        loss.backward()
        table.data = table.data - 0.1 * table.grad
        return loss

    words = [[0, 2, 2], [4, 4, 4], [1, 0, 3]]
    expected = [step(tg.tensor(w)).item() for w in words]
    table.data = start
    compiled = tg.compile(step)
    assert [compiled(tg.tensor(w)).item() for w in words] == pytest.approx(expected, rel=1e-6)
