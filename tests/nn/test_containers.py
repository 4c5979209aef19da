"""Containers hold modules in order, under torch's keys."""

from __future__ import annotations

import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.errors import ModuleError, ShapeError


def three() -> nn.Sequential:
    """Linear, ReLU, Linear."""
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))


def test_calls_in_turn() -> None:
    net, x = three(), tg.randn(4, 2)
    assert net(x).tolist() == net[2](net[1](net[0](x))).tolist()
    assert nn.Sequential()(x) is x


def test_reads_positions_and_slices() -> None:
    net = three()
    assert len(net) == 3
    assert [type(module).__name__ for module in net] == ["Linear", "ReLU", "Linear"]
    assert net[-1] is net[2]
    front = net[:-1]
    assert isinstance(front, nn.Sequential)
    assert list(front) == [net[0], net[1]]
    assert list(net[::-1]) == [net[2], net[1], net[0]]
    with pytest.raises(IndexError, match="position 3 of 3"):
        net[3]


def test_assigns_and_appends() -> None:
    net = three()
    net[1] = nn.Tanh()
    net.append(nn.Sigmoid()).append(nn.Identity())
    assert [type(module).__name__ for module in net] == [
        "Linear", "Tanh", "Linear", "Sigmoid", "Identity",
    ]  # fmt: skip
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_names_of_ones_own() -> None:
    net = nn.Sequential({"inner": nn.Linear(2, 2), "outer": nn.Tanh()})
    assert list(net.state_dict()) == ["inner.weight", "inner.bias"]
    assert net[1] is net.outer


@pytest.mark.parametrize("container", [nn.Sequential, nn.ModuleList])
def test_refuses_what_is_no_module(container: type[nn.Module]) -> None:
    wrong = (nn.ReLU(), tg.relu)
    with pytest.raises(ModuleError, match="position 1 holds a function"):
        container(*wrong) if container is nn.Sequential else container(wrong)


def test_an_error_names_the_layer() -> None:
    with pytest.raises(ShapeError) as error:
        nn.Sequential(nn.ReLU(), nn.Linear(3, 4))(tg.ones(5, 2))
    assert error.value.__notes__ == [
        "in module 1 of Sequential: Linear(in_features=3, out_features=4, bias=True)"
    ]


def test_a_list_of_modules_is_found() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(2))
            self.layers.extend([nn.Linear(2, 1)])

    net = Net()
    assert list(net.state_dict())[:2] == ["layers.0.weight", "layers.0.bias"]
    assert len(list(net.parameters())) == 6
    assert len(net.layers[1:]) == 2
    with pytest.raises(NotImplementedError):
        net.layers(tg.ones(2))
