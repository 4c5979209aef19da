"""After LSUV each layer's output has the standard deviation asked for, or nothing has changed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.errors import ArgumentError, ModuleError, ShapeError
from tinygrad_edu.nn import init

X = np.random.default_rng(0).normal(size=(200, 20)) * np.linspace(0.1, 5, 20)


def network(activation: type[nn.Module] = nn.ReLU, depth: int = 6) -> nn.Sequential:
    """Layers of several widths, badly scaled, with biases, in double precision."""
    tg.manual_seed(3)
    widths = [20, *[30, 12] * (depth // 2), 4]
    model = nn.Sequential()
    for n_in, n_out in pairwise(widths):
        model.append(nn.Linear(n_in, n_out)).append(activation())
    return model.double()


def deviations(model: nn.Module, x: Any) -> dict[nn.Module, float]:
    """The standard deviation of each linear layer's output."""
    outputs: dict[nn.Module, list[np.ndarray]] = {}

    def hook(module: nn.Module, args: Any, output: tg.Tensor) -> None:
        outputs.setdefault(module, []).append(output.detach().numpy().ravel())

    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    handles = [m.register_forward_hook(hook) for m in linear]
    model(tg.tensor(x))
    for handle in handles:
        handle.remove()
    return {module: float(np.concatenate(ys).std()) for module, ys in outputs.items()}


def state(model: nn.Module) -> dict[str, Any]:
    return {name: tensor.tolist() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU])
@pytest.mark.parametrize("std", [1.0, 0.3])
def test_every_output_has_the_deviation(activation: type[nn.Module], std: float) -> None:
    model = network(activation)
    assert init.lsuv_(model, X, std, tol=1e-9, max_iterations=1) is model
    # For a layer called once one rescaling is exact: only rounding is left.
    assert list(deviations(model, X).values()) == pytest.approx([std] * 7, rel=1e-12)
    for layer in model:
        if isinstance(layer, nn.Linear):
            assert not layer.bias.detach().numpy().any()


def test_weights_are_orthogonal_but_for_a_factor_and_their_law_says_so() -> None:
    model = init.lsuv_(network(), X)
    for layer in model:
        if not isinstance(layer, nn.Linear):
            continue
        w, law = layer.weight.detach().numpy(), layer.weight.law
        gram = w @ w.T if w.shape[0] < w.shape[1] else w.T @ w
        np.testing.assert_allclose(gram, gram[0, 0] * np.eye(len(gram)), atol=1e-10)
        assert (law.family, law.scheme) == ("orthogonal", "lsuv")
        assert (w**2).mean() == pytest.approx(law.variance, rel=1e-12)
        drawn = law.draw(np.random.default_rng(1), w.shape)
        assert (drawn**2).mean() == pytest.approx(law.variance, rel=1e-12)
        assert (law.fan_in, law.fan_out) == w.shape[::-1]


def test_execution_decides_the_order_not_the_definition() -> None:
    class Reversed(nn.Module):
        def __init__(self) -> None:
            self.last = nn.Linear(30, 4)
            self.first = nn.Linear(20, 30)

        def forward(self, x: Any) -> Any:
            return self.last(self.first(x).relu())

    model = init.lsuv_(Reversed().double(), X)
    assert list(deviations(model, X)) == [model.first, model.last]
    assert list(deviations(model, X).values()) == pytest.approx([1, 1])


def test_a_shared_layer_is_judged_by_all_its_outputs() -> None:
    tg.manual_seed(0)
    shared = nn.Linear(20, 20)
    model = nn.Sequential(shared, nn.Tanh(), shared, nn.Tanh(), nn.Linear(20, 3)).double()
    init.lsuv_(model, X, tol=1e-3)
    assert list(deviations(model, X).values()) == pytest.approx([1, 1], rel=1e-3)


def test_a_shared_weight_too() -> None:
    tg.manual_seed(0)
    first, second = nn.Linear(20, 20), nn.Linear(20, 20)
    second.weight = first.weight
    model = nn.Sequential(first, nn.ReLU(), second).double()
    init.lsuv_(model, X, tol=1e-3)
    pooled = np.mean([d**2 for d in deviations(model, X).values()]) ** 0.5
    assert pooled == pytest.approx(1, rel=0.02)  # the outputs' means are not quite equal


class Noisy(nn.Module):
    """Random, and with a buffer that counts: what dropout and batch norm do."""

    def __init__(self) -> None:
        self.register_buffer("calls", tg.tensor(0))

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return x * (tg.rand(*x.shape) < 0.5).to(x.dtype)


def test_random_draws_are_the_same_each_time_and_buffers_stay() -> None:
    model = nn.Sequential(nn.Linear(20, 30), Noisy(), nn.Linear(30, 5)).double()
    init.lsuv_(model, X, tol=1e-9)
    assert model[1].calls.item() == 0
    assert list(deviations(model, X).values()) == pytest.approx([1, 1])


def test_the_dtype_of_the_model_stays() -> None:
    model = init.lsuv_(nn.Sequential(nn.Linear(20, 5)), X)
    assert model[0].weight.dtype == tg.float32
    assert model[0].weight.grad is None
    assert model[0].weight.requires_grad


# ------------------------------------------------------------------------------ what fails


def test_a_dead_layer_is_named_and_nothing_changes() -> None:
    model = network()
    before, laws = state(model), [p.law for p in model.parameters()]
    with pytest.raises(ArgumentError, match=r"layer '0' does not vary.*dead or all alike"):
        init.lsuv_(model, np.zeros((10, 20)))
    assert state(model) == before
    assert [p.law for p in model.parameters()] == laws
    assert None not in laws

    class Dead(nn.Module):
        def forward(self, x: Any) -> Any:
            return (x - 100).relu()

    model = nn.Sequential(nn.Linear(20, 20), Dead(), nn.Linear(20, 3)).double()
    with pytest.raises(ArgumentError, match="layer '2' does not vary"):
        init.lsuv_(model, X)


def test_constant_outputs_do_not_vary_even_if_rounding_does() -> None:
    with pytest.raises(ArgumentError, match="does not vary"):
        init.lsuv_(nn.Sequential(nn.Linear(1, 1)).double(), np.full((1000, 1), 0.1))


def test_outputs_that_ignore_the_weight() -> None:
    class Stubborn(nn.Linear):
        def forward(self, x: Any) -> Any:
            return super().forward(x) / self.weight.detach().norm() * 7

    model = nn.Sequential(Stubborn(20, 4)).double()
    before = state(model)
    with pytest.raises(ArgumentError, match="after 3 rescalings: it does not follow"):
        init.lsuv_(model, X, max_iterations=3)
    assert state(model) == before


MISTAKES: dict[str, tuple[Any, type[Exception], str]] = {
    "shape": (lambda: init.lsuv_(network(), X[:, :5]), ShapeError, "last axis"),
    "nan": (lambda: init.lsuv_(network(), X * np.nan), ArgumentError, "not finite"),
    "no layers": (lambda: init.lsuv_(nn.ReLU(), X), ArgumentError, "no module in this ReLU"),
    "std": (lambda: init.lsuv_(network(), X, 0.0), ArgumentError, "above 0"),
    "tol": (lambda: init.lsuv_(network(), X, tol=-1), ArgumentError, "tol"),
    "uncalled": (
        lambda: init.lsuv_(Unused().double(), X),
        ArgumentError,
        "does not call layer 'spare'",
    ),
}


class Unused(nn.Linear):
    """A layer with another that forward never calls."""

    def __init__(self) -> None:
        super().__init__(20, 4)
        self.spare = nn.Linear(2, 2)


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_named(case: str) -> None:
    call, error, message = MISTAKES[case]
    with pytest.raises(error, match=message):
        call()


def test_what_is_no_module_is_named() -> None:
    with pytest.raises(ModuleError, match="initialises a module, not int"):
        nn.init.lsuv_(3, tg.zeros(2, 3))  # type: ignore[arg-type]
