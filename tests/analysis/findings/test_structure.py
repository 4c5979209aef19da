"""What is read off a traced graph: layers, what stands around them, and bottlenecks."""

from __future__ import annotations

import pytest

import tinygrad_edu as tg
from analysis.findings.structure import Structure
from analysis.network.trace import trace
from tests.analysis.findings.nets import Gated, chain, linear, pre_norm
from tinygrad_edu import nn


def structure(model: nn.Module, shape: tuple[int, ...] = (16,)) -> Structure:
    return Structure(trace(model, shape))


@pytest.mark.parametrize(
    ("behind", "kind"),
    [
        ([nn.ReLU()], "activation"),
        ([nn.Dropout(0.5), nn.ReLU()], "activation"),
        ([Gated()], "activation"),
        ([nn.BatchNorm1d(16)], "batch norm"),
        ([nn.LayerNorm(16)], "norm"),
        ([nn.RMSNorm(16)], "norm"),
        ([nn.Residual(nn.ReLU())], "several"),
        ([linear(16, 16)], "layer"),
        ([], "output"),
        ([nn.Flatten()], "output"),
    ],
    ids=lambda value: (
        value if isinstance(value, str) else " ".join(type(m).__name__ for m in value)
    ),
)
def test_what_follows_a_layer(behind: list[nn.Module], kind: str) -> None:
    first, *_ = structure(nn.Sequential(linear(16, 16), *behind)).layers
    assert (first.name, first.after, first.fans) == ("0", kind, (16, 16))


def test_the_end_of_a_branch() -> None:
    block = nn.Residual(nn.Sequential(linear(16, 32), nn.ReLU(), linear(32, 16)), scale=0.3)
    found = structure(nn.Sequential(block, nn.ReLU(), linear(16, 4)))
    assert [layer.after for layer in found.layers] == ["activation", "join", "output"]
    assert [found.name_before(join) for join in found.joins] == ["0.block.2"]


def test_biases() -> None:
    found = structure(nn.Sequential(linear(16, 8), nn.ReLU(), linear(8, 4, bias=False)))
    first, second = found.layers
    assert found.bias(first)[0] == "0.bias"
    assert found.bias(second) is None


def test_convolutions_and_their_fans() -> None:
    net = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.MaxPool2d(2), nn.ReLU())
    (layer,) = structure(net, (4, 6, 6)).layers
    assert layer.fans == (2 * 9, 4 * 9)
    assert layer.after == "activation"


def test_a_matrix_that_is_used_as_it_is() -> None:
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(tg.zeros(16, 5))

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return x @ self.w

    (layer,) = structure(Product()).layers
    assert layer.fans == (16, 5)
    assert (layer.name, layer.parameter_name) == ("model", "w")


def test_a_product_of_two_signals_is_no_layer() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k = linear(8, 8), linear(8, 8)

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return self.q(x) @ self.k(x).transpose(-1, -2)

    assert sorted(layer.name for layer in structure(Attention(), (5, 8)).layers) == ["k", "q"]


def test_every_op_of_a_chain_is_a_bottleneck_and_only_the_stream_of_a_residual_net() -> None:
    plain = structure(chain(3, nn.ReLU, 1.0), (32,))
    assert plain.cuts == tuple(plain.live)
    assert plain.joins == ()
    stream = structure(pre_norm(3))
    assert len(stream.joins) == 3
    inside = [c for c in stream.hidden if ".a" in stream.name_of(c) or ".b" in stream.name_of(c)]
    assert inside == []


def test_what_the_output_does_not_depend_on_is_no_bottleneck() -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.spare = linear(16, 4), linear(16, 4)

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            self.spare(x)
            return self.a(x)

    found = structure(Spare())
    assert [layer.name for layer in found.layers] == ["a"]
