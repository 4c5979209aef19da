"""Containers hold modules in order, under torch's keys."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.errors import ArgumentError, ModuleError, ShapeError


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


# ------------------------------------------------------------------------------ residual


def test_residual_adds_the_scaled_block() -> None:
    block = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    x = np.random.default_rng(0).normal(size=(4, 3))
    image = block(x).detach().numpy()
    for scale in (1.0, 0.5, 0.0, -2.0):
        y = nn.Residual(block, scale)(x)
        np.testing.assert_allclose(y.detach().numpy(), x + scale * image, rtol=1e-14)
    t = tg.tensor(x, requires_grad=True)
    nn.Residual(block, 0.0)(t).sum().backward()
    assert (t.grad.numpy() == 1).all()


def test_residual_finds_its_block() -> None:
    net = nn.Residual(nn.Linear(3, 3), scale=0.5)
    assert list(net.state_dict()) == ["block.weight", "block.bias"]
    assert repr(net).startswith("Residual(\n  scale=0.5\n  (block): Linear(")
    assert "scale" not in repr(nn.Residual(nn.Identity()))


def test_residual_shapes_must_agree() -> None:
    """(4, 1) would broadcast against (4, 3) without a word."""
    for width in (1, 2):
        with pytest.raises(ShapeError, match=rf"\(4, 3\) into \(4, {width}\).*cannot be added"):
            nn.Residual(nn.Linear(3, width))(tg.ones(4, 3))


def test_residual_refuses_what_is_no_block() -> None:
    with pytest.raises(ModuleError, match="the block is a function"):
        nn.Residual(lambda x: x)
    with pytest.raises(ArgumentError, match="scale must be finite"):
        nn.Residual(nn.Identity(), float("nan"))
