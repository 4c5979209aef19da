"""`functional_call`: a module computes with other tensors, and is itself again afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import func, nn
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError


def network() -> nn.Sequential:
    tg.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def state(module: nn.Module) -> dict[str, Any]:
    return {name: p.detach() for name, p in module.named_parameters()}


X = tg.tensor(np.array([[0.5, -1.0, 2.0], [1.0, 0.0, 0.25]]))


def test_own_parameters_give_the_own_result() -> None:
    model = network()
    found = func.functional_call(model, state(model), X)
    assert found.tolist() == model(X).tolist()


def test_other_parameters_and_the_module_untouched() -> None:
    model = network()
    before, handles = state(model), list(model.parameters())
    zeros = {name: tg.zeros_like(p) for name, p in before.items()}
    assert func.functional_call(model, zeros, (X,)).tolist() == [[0, 0], [0, 0]]
    assert all(a is b for a, b in zip(handles, model.parameters(), strict=True))
    assert all((before[n].numpy() == p.detach().numpy()).all() for n, p in model.named_parameters())


def test_what_is_not_given_keeps_its_own_value() -> None:
    model = network()
    zeros = {"2.weight": tg.zeros_like(model[2].weight)}
    found = func.functional_call(model, zeros, X)
    np.testing.assert_array_equal(found.detach().numpy(), np.tile(model[2].bias.detach(), (2, 1)))


def test_gradients_reach_the_parameters() -> None:
    """As `backward` gives them, while the module's own receive nothing."""
    model = network()

    def loss(parameters: Any, x: Any) -> Any:
        return (func.functional_call(model, parameters, (x,)) ** 2).sum()

    found = func.grad(loss)(state(model), X)
    assert all(p.grad is None for p in model.parameters())
    (model(X) ** 2).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        np.testing.assert_allclose(found[name].numpy(), parameter.grad.numpy(), rtol=1e-14)


def test_curvature_along_a_direction() -> None:
    """A Hessian of a whole network, times a vector, against the change of the gradient."""
    model = network()
    parameters = state(model)

    def loss(parameters: Any) -> Any:
        return (func.functional_call(model, parameters, (X,)) ** 2).sum()

    along = {name: tg.randn(*p.shape, dtype=p.dtype) for name, p in parameters.items()}
    found = func.hvp(loss, parameters, along)
    h = 1e-5
    ahead = func.grad(loss)({n: p + h * along[n] for n, p in parameters.items()})
    behind = func.grad(loss)({n: p - h * along[n] for n, p in parameters.items()})
    for name, product in found.items():
        slope = (ahead[name] - behind[name]) / (2 * h)
        np.testing.assert_allclose(product.numpy(), slope.numpy(), rtol=1e-6, atol=1e-8)


class Tied(nn.Module):
    """One weight under two names, and a buffer that counts calls."""

    def __init__(self) -> None:
        self.a = nn.Linear(3, 3, bias=False)
        self.b = nn.Linear(3, 3, bias=False)
        self.b.weight = self.a.weight
        self.register_buffer("calls", tg.zeros(1))

    def forward(self, x: Any, scale: float = 1.0) -> Any:
        self.calls = self.calls + 1
        return self.b(self.a(x)) * scale


@pytest.mark.parametrize("key", ["a.weight", "b.weight"])
def test_shared_parameters_change_together(key: str) -> None:
    model = Tied()
    doubled = func.functional_call(model, {key: 2 * tg.eye(3)}, (tg.ones(1, 3),), {"scale": 10})
    assert doubled.tolist() == [[40, 40, 40]]


def test_buffers_are_replaced_and_restored() -> None:
    model = Tied()
    own, given = model.calls, tg.ones(1)
    func.functional_call(model, {"calls": given}, tg.ones(1, 3))
    assert model.calls is own
    assert (own.item(), given.item()) == (0, 1)


def test_several_dicts() -> None:
    model = network()
    parameters = state(model)
    halves = [{n: p for n, p in parameters.items() if n[0] == part} for part in "02"]
    assert func.functional_call(model, halves, X).tolist() == model(X).tolist()
    with pytest.raises(ArgumentError, match=r"'0\.bias' is in two"):
        func.functional_call(model, [halves[0], halves[0]], X)


def test_restored_after_an_error() -> None:
    model = network()
    before = model[0].weight.node
    with pytest.raises(ShapeError, match="5"):
        func.functional_call(model, {"0.weight": tg.ones(4, 3).double()}, tg.ones(2, 5).double())
    assert model[0].weight.node is before


@pytest.mark.parametrize("key", ["0.wait", "7.weight", "", "0", "0.weight.node"])
def test_unknown_names(key: str) -> None:
    with pytest.raises(ArgumentError, match=r"no parameter or buffer.*0\.weight, 0\.bias"):
        func.functional_call(network(), {key: tg.ones(1)}, X)


def test_what_is_no_tensor() -> None:
    with pytest.raises(DTypeError, match=r"'0\.bias' must be a Tensor, not ndarray"):
        func.functional_call(network(), {"0.bias": np.ones(4)}, X)  # type: ignore[dict-item]
