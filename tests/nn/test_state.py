"""Loading changes everything or nothing, and says all that is wrong at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.errors import CheckpointError, StaleStorageError
from tinygrad_edu.graph.tensor import abstract
from tinygrad_edu.nn.state import advance, current


def make(dtype: Any = None) -> nn.Sequential:
    """Two layers and a buffer of integers."""
    net = nn.Sequential(nn.Linear(2, 3, dtype=dtype), nn.Linear(3, 1, dtype=dtype))
    net.register_buffer("steps", tg.tensor(5))
    return net


def values(net: nn.Module) -> dict[str, Any]:
    """All state as lists."""
    return {key: tensor.tolist() for key, tensor in net.state_dict().items()}


def test_round_trip() -> None:
    source, target = make(), make()
    assert values(source) != values(target)
    report = target.load_state_dict(source.state_dict())
    assert report == ([], [])
    assert repr(report) == "<all keys matched>"
    assert values(source) == values(target)
    assert list(source.state_dict()) == ["steps", "0.weight", "0.bias", "1.weight", "1.bias"]


def test_a_state_is_a_snapshot() -> None:
    net = make()
    state = net.state_dict()
    before = state["0.weight"].tolist()
    nn.init.zeros_(net[0].weight)
    assert state["0.weight"].tolist() == before
    assert not state["0.weight"].requires_grad


def test_loading_keeps_dtype_identity_and_gradient_flag() -> None:
    source, target = make(tg.float64), make()
    weight = target[0].weight
    weight.requires_grad_(False)
    target.load_state_dict({key: t.numpy() for key, t in source.state_dict().items()})
    assert target[0].weight is weight
    assert weight.dtype == tg.float32
    assert not weight.requires_grad
    np.testing.assert_array_equal(
        weight.numpy(), source[0].weight.detach().numpy().astype(np.float32)
    )


def test_later_changes_of_the_source_do_not_reach_the_model() -> None:
    net, source = make(), {key: t.detach().numpy().copy() for key, t in make().state_dict().items()}
    net.load_state_dict(source)
    before = values(net)
    source["0.weight"][:] = 7
    assert values(net) == before


def broken_states() -> dict[str, tuple[dict[str, Any], str]]:
    """States that do not fit, and what the error must list."""
    good = {key: tensor.numpy() + 1 for key, tensor in make().state_dict().items()}
    return {
        "missing": ({k: v for k, v in good.items() if k != "1.bias"}, "are missing: 1.bias"),
        "unexpected": ({**good, "2.bias": np.zeros(1)}, "are unexpected: 2.bias"),
        "shape": (
            {**good, "0.bias": np.zeros(4)},
            r"do not fit: 0.bias \(shape \(4,\), the model has \(3,\)\)",
        ),
        "dtype": ({**good, "steps": np.array(1.5)}, r"steps \(float64, the model has int64\)"),
        "text": ({**good, "0.bias": np.array(["a", "b", "c"])}, "0.bias"),
    }


@pytest.mark.parametrize("case", broken_states())
def test_a_state_that_does_not_fit_changes_nothing(case: str) -> None:
    state, message = broken_states()[case]
    net = make()
    before, law = values(net), net[0].weight.law
    with pytest.raises(CheckpointError, match=message):
        net.load_state_dict(state)
    assert values(net) == before
    assert net[0].weight.law == law is not None


def test_everything_wrong_is_listed_at_once() -> None:
    with pytest.raises(CheckpointError) as error:
        make().load_state_dict({"0.weight": np.zeros((9, 9)), "extra": np.zeros(1)})
    for key in ("0.weight", "0.bias", "1.weight", "1.bias", "steps", "extra"):
        assert key in str(error.value)


def test_without_strict_keys_may_differ_but_not_shapes() -> None:
    net = make()
    report = net.load_state_dict({"0.bias": np.ones(3), "other": np.ones(1)}, strict=False)
    assert report.missing_keys == ["steps", "0.weight", "1.weight", "1.bias"]
    assert report.unexpected_keys == ["other"]
    assert repr(report).splitlines()[1:3] == [
        "  missing: steps, 0.weight, 1.weight, 1.bias",
        "  unexpected: other",
    ]
    assert net[0].bias.tolist() == [1, 1, 1]
    with pytest.raises(CheckpointError):
        net.load_state_dict({"0.bias": np.ones(4)}, strict=False)


def test_a_graph_from_before_loading_is_stale() -> None:
    net = make()
    loss = (net[0].weight * net[0].weight).sum()
    net.load_state_dict(make().state_dict())
    with pytest.raises(StaleStorageError):
        loss.backward()


# ------------------------------------------------------------------------------ the next value


def test_a_buffer_advances_in_its_dtype() -> None:
    net = make()
    advance(net.steps, current(net.steps) + 1)
    assert net.steps.item() == 6
    assert net.steps.dtype == tg.int64
    mean = tg.zeros(2)
    advance(mean, 0.5 * current(mean) + np.float64(0.5))
    assert mean.tolist() == [0.5, 0.5]
    assert mean.dtype == tg.float32


def test_a_graph_from_before_an_advance_keeps_what_it_read() -> None:
    net = nn.BatchNorm1d(2, eps=0.0, momentum=1.0).eval()
    x = tg.ones(3, 2, requires_grad=True)
    y = net(x).sum()
    net.train()(5 * tg.randn(4, 2))
    assert net.running_var.tolist() != [1, 1]
    y.backward()
    assert x.grad.tolist() == [[1, 1]] * 3


def test_a_traced_buffer_is_a_tensor_and_stays() -> None:
    buffer = abstract((2,))
    assert current(buffer) is buffer
    before = buffer.node.data
    advance(buffer, buffer + 1)
    assert buffer.node.data is before
