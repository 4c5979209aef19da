"""A compiled step gives the numbers of the same step without compiling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import AnomalyError, ArgumentError, IndexingError
from tinygrad_edu.graph.creation import random_state
from tinygrad_edu.nn import functional as F

Step = Callable[..., Any]

OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, lr=0.05),
    "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "dampening": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, dampening=0.5),
    "adam": lambda p: optim.Adam(p, lr=0.01, weight_decay=0.1),
    "adamw": lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01),
    "ascent": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, maximize=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.01, lr_decay=0.1, initial_accumulator_value=0.1),
    "adadelta": lambda p: optim.Adadelta(p, weight_decay=0.1),
    "adamax": lambda p: optim.Adamax(p, lr=0.01),
    "nadam": lambda p: optim.NAdam(p, lr=0.01, weight_decay=0.1, decoupled_weight_decay=True),
    "radam": lambda p: optim.RAdam(p, lr=0.01, betas=(0.9, 0.8), weight_decay=0.1),
    "centered": lambda p: optim.RMSprop(p, lr=0.01, centered=True, momentum=0.5),
}

LOSSES: dict[str, Callable[[Any, Any], tg.Tensor]] = {
    "cross-entropy": F.cross_entropy,
    "smoothed": lambda z, y: F.cross_entropy(z, y, label_smoothing=0.1),
    "squares": lambda z, y: F.mse_loss(z, tg.eye(3, dtype=z.dtype)[y]),
    "logits": lambda z, y: F.binary_cross_entropy_with_logits(z, tg.eye(3, dtype=z.dtype)[y]),
    "hinge": lambda z, y: F.hinge_loss(z, 2 * tg.eye(3, dtype=z.dtype)[y] - 1),
}

ACTIVATIONS = (nn.Tanh, nn.ReLU, nn.GELU, nn.Sigmoid, nn.SiLU, nn.Softplus)


class Noisy(nn.Module):
    """Drops values, and keeps a running mean."""

    def __init__(self, p: float) -> None:
        self.p = p
        self.register_buffer("mean", tg.zeros(6))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        with tg.no_grad():
            self.mean += 0.1 * (x.mean(0) - self.mean)
        if not self.p:
            return x - self.mean
        return x * (tg.rand(x.shape, dtype=x.dtype) >= self.p).to(x.dtype) / (1 - self.p)


def tolerance(dtype: Any) -> dict[str, float]:
    """The same sums in another order differ by a few roundings, which a dozen steps and a division
    by the gradient's own size (Adam near zero gradients) spread: a few hundred roundings."""
    few_hundred = 300 * float(np.finfo(dtype).eps)
    return {"rtol": few_hundred, "atol": few_hundred}


def values(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: t.numpy() for name, t in model.state_dict().items()}


@settings(max_examples=40, deadline=None)
@given(
    optimizer=st.sampled_from(sorted(OPTIMIZERS)),
    loss=st.sampled_from(sorted(LOSSES)),
    activation=st.sampled_from(ACTIVATIONS),
    dtype=st.sampled_from([np.float32, np.float64]),
    clip=st.sampled_from([None, 2.0, 1.0, np.inf]),
    p=st.sampled_from([0.0, 0.3]),
    last=st.booleans(),
    shared=st.booleans(),
)
def test_training_steps(
    optimizer: str,
    loss: str,
    activation: Any,
    dtype: Any,
    clip: float | None,
    p: float,
    last: bool,
    shared: bool,
) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 8, 5)).astype(dtype)
    y = rng.integers(0, 3, (4, 8))

    def run(compiled: bool) -> tuple[list[Any], Any, Any, Any]:
        tg.manual_seed(5)
        middle = nn.Linear(6, 6)
        again = middle if shared else nn.Linear(6, 6)
        model = nn.Sequential(
            nn.Linear(5, 6), activation(), middle, Noisy(p), activation(), again, nn.Linear(6, 3)
        ).to(dtype)
        opt = OPTIMIZERS[optimizer](model.parameters())
        schedule = optim.lr_scheduler.CosineAnnealingLR(opt, 4)

        def step(x: tg.Tensor, y: tg.Tensor) -> dict[str, Any]:
            cost = LOSSES[loss](model(x), y)
            if not last:
                opt.zero_grad()
            cost.backward()
            norm = None
            if clip is not None:
                norm = optim.clip_grad_norm_(model.parameters(), 0.5, norm_type=clip)
            opt.step()
            if last:
                opt.zero_grad()
            return {"cost": cost, "norm": norm}

        run_step = tg.compile(step) if compiled else step
        told = []
        for xs, ys in zip(x, y, strict=True):
            told.append(run_step(tg.tensor(xs), ys if compiled else tg.tensor(ys)))
            schedule.step()
        numbers = [{k: None if v is None else v.item() for k, v in t.items()} for t in told]
        grads = [None if q.grad is None else q.grad.numpy() for q in model.parameters()]
        state = opt.state_dict()["state"]
        return numbers, values(model), (grads, state), random_state()

    (told, model, (grads, state), draws), wanted = run(True), run(False)
    assert draws == wanted[3]
    for now, then in zip(told, wanted[0], strict=True):
        for name, number in then.items():
            if number is not None:
                np.testing.assert_allclose(now[name], number, **tolerance(dtype))
    for name, array in wanted[1].items():
        assert model[name].dtype == array.dtype
        np.testing.assert_allclose(model[name], array, **tolerance(dtype))
    for now, then in zip(grads, wanted[2][0], strict=True):
        assert (now is None) == (then is None)
        if now is not None:
            np.testing.assert_allclose(now, then, **tolerance(dtype))
    assert state.keys() == wanted[2][1].keys()
    for number, kept in wanted[2][1].items():
        assert state[number].keys() == kept.keys()
        for name, array in kept.items():
            np.testing.assert_allclose(state[number][name], array, **tolerance(dtype))


# ------------------------------------------------------------------------------ drawn programs

UNARY = ("tanh", "exp", "relu", "sigmoid", "abs", "sin")


@st.composite
def programs(draw: Any) -> Step:
    """A function of two matrices (3, 4): a random chain of ops, in place too."""
    choices = draw(st.lists(st.integers(0, 11), min_size=1, max_size=12))
    names = draw(st.lists(st.sampled_from(UNARY), min_size=12, max_size=12))

    def function(x: tg.Tensor, y: tg.Tensor) -> Any:
        values = [x.tanh(), y.tanh()]
        for choice, name in zip(choices, names, strict=False):
            a, b = values[-1], values[-2]
            new = {
                0: lambda a, b: a + b,
                1: lambda a, b: a * b,
                2: lambda a, b: getattr(tg, "tanh")(a - b),  # noqa: B009
                3: lambda a, b: (a @ b.T) @ b * 0.1,
                4: lambda a, b: a - a.mean(1, keepdim=True),
                5: lambda a, b: a.softmax(-1),
                6: lambda a, b: tg.where(a > b, a, b),
                7: lambda a, b: a[[2, 0, 1]],
                8: lambda a, b: tg.cat([a[:, 2:], b[:, :2]], 1),
                9: lambda a, b: a.max(0).values + b * 0 if hasattr(a.max(0), "values") else a,
                10: lambda a, b: a / (1 + b * b),
                11: lambda a, b: a.cumsum(0) * 0.5,
            }[choice](a, b)
            new = getattr(tg, name)(new).tanh()
            copy = new * 1
            copy[0] = b[1]
            copy += 0.5
            values.append(copy)
        return values[-1], {"sum": (values[-1] * values[-2]).sum()}

    return function


@settings(max_examples=60, deadline=None)
@given(function=programs(), seed=st.integers(0, 100))
def test_programs_and_their_gradients(function: Step, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (tg.tensor(rng.normal(size=(3, 4))) for _ in range(2))

    def both(x: tg.Tensor, y: tg.Tensor) -> Any:
        value, more = function(x, y)
        return value, more, tg.func.grad(lambda x, y: function(x, y)[1]["sum"], (0, 1))(x, y)

    compiled = tg.compile(both)
    for _ in range(2):
        value, more, gradients = compiled(x, y)
        expected = both(x, y)
        # Sums and products in float64 in another order: far more than their few roundings.
        np.testing.assert_allclose(value.numpy(), expected[0].numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(more["sum"].item(), expected[1]["sum"].item(), rtol=1e-9)
        for now, then in zip(gradients, expected[2], strict=True):
            np.testing.assert_allclose(now.numpy(), then.numpy(), rtol=1e-9, atol=1e-12)
        x = y * 0.5
    assert len(compiled.programs) == 1


# ------------------------------------------------------------------------------ shapes of steps


def compare(make: Callable[[], tuple[nn.Module, Step]], calls: int = 4) -> None:
    """The step that `make` makes, run both ways: the same results, parameters and gradients."""
    found = []
    for compiled in (False, True):
        tg.manual_seed(0)
        model, step = make()
        run = tg.compile(step) if compiled else step
        tg.manual_seed(1)
        told = [run(tg.randn(4, 3), tg.randn(4, 1)) for _ in range(calls)]
        grads = [None if p.grad is None else p.grad.numpy() for p in model.parameters()]
        found.append(([np.asarray(t.detach()) for t in told], values(model), grads))
    (told, model_, grads), wanted = found[1], found[0]
    np.testing.assert_allclose(told, wanted[0], rtol=1e-5)
    for name, array in wanted[1].items():
        np.testing.assert_allclose(model_[name], array, rtol=1e-5, atol=1e-6)
    for now, then in zip(grads, wanted[2], strict=True):
        assert (now is None) == (then is None)
        if then is not None:
            np.testing.assert_allclose(now, then, rtol=1e-4, atol=1e-6)


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


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


# ------------------------------------------------------------------------------ calls and results


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


# ------------------------------------------------------------------------------ what eager does


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_cumulative_average_is_as_precise_as_the_layer(dtype: Any) -> None:
    """One in three batches is 1/3 in the layer's dtype, though the count is an integer."""
    batches = np.random.default_rng(0).normal(3, 1, (5, 8, 2)).astype(dtype)

    def after(compiled: bool) -> np.ndarray:
        layer = nn.BatchNorm1d(2, momentum=None).to(dtype)
        step = tg.compile(lambda x: layer(x).sum()) if compiled else layer
        for batch in batches:
            step(tg.tensor(batch))
        assert layer.running_mean is not None
        return layer.running_mean.numpy()

    np.testing.assert_allclose(after(True), after(False), rtol=16 * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (lambda x: x ** tg.tensor([-1, -2]), ArgumentError),
        (lambda x: x.gather(0, x + 7), IndexingError),
        (lambda x: (tg.ones(2) * 2)[tg.tensor([7])] + x, IndexingError),
    ],
)
def test_numpys_errors_are_ours(step: Any, error: Any) -> None:
    """Ops that Python runs within a program say what failed, as they do without one."""
    x = np.array([1, 2])
    with pytest.raises(error, match=r"^(pow: .*operands|gather: position 9|getitem: )"):
        tg.compile(step)(x)
