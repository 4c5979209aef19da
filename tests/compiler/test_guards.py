"""Nothing that a compiled step depends on is frozen: it is read anew or guarded."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.compiler.networks import Net, descending, numbers
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import TraceError

SCALE = 2.0
SETTINGS = SimpleNamespace(power=2)


# ------------------------------------------------------------------------------ what is read anew


def test_a_tensor_that_is_closed_over_is_read_at_each_call() -> None:
    w = tg.ones(3)
    f = tg.compile(lambda x: x * w)
    assert f(tg.ones(3)).tolist() == [1, 1, 1]
    w.data = tg.full((3,), 5.0)
    assert f(tg.ones(3)).tolist() == [5, 5, 5]
    w += 1  # stands for another node from here on
    assert f(tg.ones(3)).tolist() == [6, 6, 6]


def test_a_regulariser_on_weights_alone_is_no_constant() -> None:
    net = nn.Linear(2, 1)
    f = tg.compile(lambda: (net.weight**2).sum())
    first = f().item()
    net.weight.data = net.weight.data * 2
    assert f().item() == pytest.approx(4 * first)


def test_an_array_that_is_closed_over_is_read_at_each_call() -> None:
    a = np.ones(3, np.float32)
    f = tg.compile(lambda x: x * a)
    assert f(tg.ones(3)).tolist() == [1, 1, 1]
    a[:] = 7
    assert f(tg.ones(3)).tolist() == [7, 7, 7]
    assert len(f.programs) == 1


def test_a_part_of_an_array_is_refused() -> None:
    a = np.ones((4, 3), np.float32)
    f = tg.compile(lambda x: x * a[1:2])
    with pytest.raises(TraceError, match="A part of shape"):
        f(tg.ones(3))


def test_a_variable_that_stands_for_another_tensor() -> None:
    w = tg.ones(2)
    f = tg.compile(lambda x: x * w)
    assert f(tg.ones(2)).tolist() == [1, 1]
    w = tg.full((2,), 3.0)
    assert f(tg.ones(2)).tolist() == [3, 3]


def test_loaded_parameters() -> None:
    net = nn.Linear(2, 2)
    other = nn.Linear(2, 2)
    f = tg.compile(net)
    x = numbers(3, 2)
    f(x)
    net.load_state_dict(other.state_dict())
    np.testing.assert_allclose(f(x).numpy(), other(x).detach().numpy(), rtol=1e-6)


def test_the_learning_rate_and_schedules() -> None:
    def run(compiled: bool, inside: bool) -> list[float]:
        tg.manual_seed(0)
        net = nn.Linear(3, 1)
        optimizer = optim.SGD(net.parameters(), lr=0.1)
        schedule = optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)

        def step(x: tg.Tensor) -> Any:
            loss = (net(x) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if inside:
                schedule.step()
            return loss, optimizer.param_groups[0]["lr"]

        run_step = tg.compile(step) if compiled else step
        losses = []
        for _ in range(4):
            loss, rate = run_step(numbers(5, 3))
            losses += [loss.item(), rate]
            if not inside:
                schedule.step()
        assert not compiled or len(run_step.programs) == 1
        assert schedule.last_epoch == 4
        return losses

    for inside in (False, True):
        np.testing.assert_allclose(run(True, inside), run(False, inside), rtol=1e-5)


# ------------------------------------------------------------------------------ guarded


def test_plain_values() -> None:
    global SCALE
    factor = 3.0
    f = tg.compile(lambda x, add=0: x**SETTINGS.power * factor * SCALE + add)
    x = tg.full((2,), 2.0)
    assert f(x).tolist() == [24, 24]
    factor = 1.0
    assert f(x).tolist() == [8, 8]
    SCALE = 1.0
    assert f(x).tolist() == [4, 4]
    SETTINGS.power = 3
    assert f(x).tolist() == [8, 8]
    assert f(x, 1).tolist() == [9, 9]
    assert f(x, add=2).tolist() == [10, 10]
    SCALE, SETTINGS.power = 2.0, 2


def test_lists_that_are_closed_over() -> None:
    factors = [1.0, 2.0]
    f = tg.compile(lambda x: sum(x * factor for factor in factors))
    assert f(tg.ones(1)).item() == 3
    factors.append(4.0)
    assert f(tg.ones(1)).item() == 7
    factors[0] = 0.0
    assert f(tg.ones(1)).item() == 6


def test_functions_that_are_replaced() -> None:
    def double(x: tg.Tensor) -> tg.Tensor:
        return 2 * x

    helper = double
    f = tg.compile(lambda x: helper(x))
    assert f(tg.ones(1)).item() == 2
    helper = lambda x: 5 * x  # noqa: E731
    assert f(tg.ones(1)).item() == 5


def test_what_is_called_by_way_of_others() -> None:
    global SCALE

    class Base:
        def scaled(self, x: tg.Tensor) -> tg.Tensor:
            return x * SCALE

    class Derived(Base):
        pass

    class Scaling(optim.SGD):
        def rule(self, p: Any, g: Any, state: Any, group: Any) -> Any:
            return super().rule(p, SCALE * g, state, group)

    inner = tg.compile(lambda x: x * SCALE)
    slope = tg.func.grad(lambda x: (x * SCALE).sum())
    box = Derived()
    w = tg.zeros(1, requires_grad=True)
    optimizer = Scaling([w], lr=1.0)

    @tg.compile
    def step(x: tg.Tensor) -> Any:
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()
        return inner(x), slope(x), box.scaled(x)

    x = tg.ones(1)
    assert [y.item() for y in step(x)] == [2, 2, 2]
    assert w.item() == -2
    SCALE = 5.0
    assert [y.item() for y in step(x)] == [5, 5, 5]
    assert w.item() == -7
    SCALE = 2.0


def test_shapes_and_dtypes() -> None:
    f = tg.compile(lambda x: x.sum() / x.shape[0])
    for n in (3, 5, 3):
        assert f(tg.ones(n)).item() == 1
    assert f(tg.ones(3, dtype=tg.float64)).dtype == tg.float64
    assert len(f.programs) == 3


def test_training_mode_attributes_and_structure() -> None:
    net, x = Net(), numbers(6, 3)
    f = tg.compile(net)
    same = Net()
    same.load_state_dict(net.state_dict())

    def agree() -> None:
        np.testing.assert_allclose(f(x).numpy(), same(x).detach().numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(net.mean.numpy(), same.mean.numpy(), rtol=1e-5, atol=1e-6)

    agree()
    for module in (net, same):
        module.eval()
    agree()
    for module in (net, same):
        module.train()
    agree()
    assert len(f.programs) == 2  # both are kept
    for module in (net, same):
        module.slope = 2.0
    agree()
    layer = nn.Linear(3, 4)
    for module in (net, same):
        module.first = layer
    agree()


def test_hooks() -> None:
    net = nn.Linear(2, 2)
    f = tg.compile(net)
    x = numbers(3, 2)
    before = f(x).numpy()
    with net.register_forward_hook(lambda module, args, output: output * 2):
        np.testing.assert_allclose(f(x).numpy(), 2 * before, rtol=1e-6)
    np.testing.assert_allclose(f(x).numpy(), before, rtol=1e-6)


def test_frozen_parameters() -> None:
    net = nn.Linear(2, 1)
    step = descending(net)
    x = numbers(3, 2)
    step(x)
    net.weight.requires_grad_(False)
    before = net.weight.detach().numpy().copy()
    bias = net.bias.detach().numpy().copy()
    step(x)
    np.testing.assert_array_equal(net.weight.detach().numpy(), before)
    assert (net.bias.detach().numpy() != bias).all()


@pytest.mark.parametrize(("option", "value"), [("momentum", 0.5), ("weight_decay", 0.3)])
def test_options_of_the_optimizer(option: str, value: float) -> None:
    def run(compiled: bool) -> np.ndarray:
        tg.manual_seed(1)
        net = nn.Linear(2, 1)
        optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

        def step(x: tg.Tensor) -> None:
            optimizer.zero_grad()
            (net(x) ** 2).sum().backward()
            optimizer.step()

        run_step = tg.compile(step) if compiled else step
        for i in range(4):
            if i == 2:
                optimizer.param_groups[0][option] = value
            run_step(numbers(3, 2))
        return net.weight.detach().numpy()

    np.testing.assert_allclose(run(True), run(False), rtol=1e-5)


def test_state_of_the_optimizer_that_is_loaded_or_dropped() -> None:
    def run(compiled: bool) -> np.ndarray:
        tg.manual_seed(1)
        net = nn.Linear(2, 1)
        optimizer = optim.Adam(net.parameters(), lr=0.1)

        def step(x: tg.Tensor) -> None:
            optimizer.zero_grad()
            (net(x) ** 2).sum().backward()
            optimizer.step()

        run_step = tg.compile(step) if compiled else step
        x = numbers(3, 2)
        run_step(x)
        stored = optimizer.state_dict()
        run_step(x)
        optimizer.load_state_dict(stored)
        run_step(x)
        assert optimizer.state[net.weight]["step"] == 2
        optimizer.state.clear()
        run_step(x)
        assert optimizer.state[net.weight]["step"] == 1
        return net.weight.detach().numpy()

    np.testing.assert_allclose(run(True), run(False), rtol=1e-5)


def test_a_rule_whose_first_step_is_another() -> None:
    def run(compiled: bool) -> list[float]:
        w = tg.ones(1, requires_grad=True)
        optimizer = optim.SGD([w], lr=0.1, momentum=0.9, dampening=0.5)

        def step() -> None:
            optimizer.zero_grad()
            (w * w).sum().backward()
            optimizer.step()

        run_step = tg.compile(step) if compiled else step
        values = []
        for i in range(5):
            if i == 3:
                optimizer.state.clear()
            run_step()
            values.append(w.item())
        return values

    np.testing.assert_allclose(run(True), run(False), rtol=1e-6)


def test_gradient_recording() -> None:
    w = tg.ones(2, requires_grad=True)

    @tg.compile
    def asks() -> Any:
        y = (w * w).sum()
        return y.detach() if y.requires_grad else y * 0

    assert asks().item() == 2
    with tg.no_grad():
        assert asks().item() == 0
    assert asks().item() == 2


def test_what_changes_at_every_call_is_reported() -> None:
    i = 0
    f = tg.compile(lambda x: x + i)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for i in range(12):
            assert f(tg.zeros(1)).item() == i
    assert any("i was" in str(w.message) for w in caught)
    assert len(f.programs) <= 8
