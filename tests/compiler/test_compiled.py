"""A compiled step gives the numbers of the same step without compiling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.compiler.comparing import Step, tolerance, values
from tinygrad_edu import nn, optim
from tinygrad_edu.errors import ArgumentError, IndexingError
from tinygrad_edu.graph.creation import random_state
from tinygrad_edu.nn import functional as F

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
