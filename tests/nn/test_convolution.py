"""Convolutional layers: torch's initial law, padding modes, printing, and mistakes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.errors import ArgumentError, ShapeError
from tinygrad_edu.nn import functional as F

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("lead", [(), (2,), (0,)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rank", [1, 2])
def test_values(rank: int, bias: bool, lead: tuple[int, ...]) -> None:
    make, function = getattr(nn, f"Conv{rank}d"), getattr(F, f"conv{rank}d")
    layer = make(4, 6, 3, 2, 1, groups=2, bias=bias, dtype=tg.float64)
    x = RNG.normal(size=(*lead, 4, *[7] * rank))
    wanted = function(x, layer.weight, layer.bias, 2, 1, 1, 2)
    found = layer(x)
    assert found.shape == (*lead, 6, *[4] * rank)
    np.testing.assert_array_equal(found.detach().numpy(), wanted.detach().numpy())


@pytest.mark.parametrize("groups", [1, 2])
def test_starts_from_torchs_law(groups: int) -> None:
    layer = nn.Conv2d(4, 6, (3, 5), groups=groups)
    fan_in = 4 // groups * 15
    law = layer.weight.law
    assert law is not None
    assert layer.weight.shape == (6, 4 // groups, 3, 5)
    assert (law.family, law.scheme, law.mean) == ("uniform", "kaiming_uniform", 0)
    assert law.variance == pytest.approx(1 / (3 * fan_in), rel=1e-14)
    assert law.fan_in == fan_in
    assert layer.bias is not None
    assert layer.bias.law is not None
    assert layer.bias.law.variance == pytest.approx(1 / (3 * fan_in), rel=1e-14)
    assert np.abs(layer.weight.detach().numpy()).max() <= 1 / math.sqrt(fan_in)


def test_resetting_draws_anew() -> None:
    tg.manual_seed(0)
    layer = nn.Conv1d(2, 3, 4)
    before = layer.weight.detach().numpy().copy()
    layer.reset_parameters()
    assert not np.array_equal(layer.weight.detach().numpy(), before)
    tg.manual_seed(0)
    np.testing.assert_array_equal(nn.Conv1d(2, 3, 4).weight.detach().numpy(), before)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [1, (2, 0), "same", "valid"])
def test_padding_modes(mode: str, padding: Any) -> None:
    layer = nn.Conv2d(1, 1, (4, 3), padding=padding, padding_mode=mode, dtype=tg.float64)
    x = RNG.normal(size=(2, 1, 6, 6))
    rows, columns = {"same": ((1, 2), (1, 1)), "valid": ((0, 0), (0, 0))}.get(
        padding, ((2, 2), (0, 0)) if padding == (2, 0) else ((1, 1), (1, 1))
    )
    kind: Any = {"replicate": "edge", "circular": "wrap"}.get(mode, mode)
    wanted = F.conv2d(np.pad(x, ((0, 0), (0, 0), rows, columns), kind), layer.weight, layer.bias)
    np.testing.assert_array_equal(layer(x).detach().numpy(), wanted.detach().numpy())


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.Conv2d(3, 4, 3), "Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1))"),
        (
            nn.Conv2d(4, 4, (3, 5), 2, (1, 0), 2, 4, False, "circular"),
            "Conv2d(4, 4, kernel_size=(3, 5), stride=(2, 2), padding=(1, 0), dilation=(2, 2), "
            "groups=4, bias=False, padding_mode=circular)",
        ),
        (
            nn.Conv1d(3, 4, 2, padding="same"),
            "Conv1d(3, 4, kernel_size=(2,), stride=(1,), padding=same)",
        ),
    ],
)
def test_printing(layer: nn.Module, text: str) -> None:
    assert repr(layer) == text


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        ((0, 1, 3), {}, "at least one input channel"),
        ((1, 0, 3), {}, "at least one input channel"),
        ((4, 6, 3), {"groups": 3}, "groups=3 must divide 4 input channels and 6"),
        ((6, 4, 3), {"groups": 3}, "must divide"),
        ((4, 6, 3), {"groups": 0}, "one group"),
        ((1, 1, 0), {}, "kernel_size is at least 1"),
        ((1, 1, (3, 3, 3)), {}, "2 of them"),
        ((1, 1, 3), {"stride": 0}, "stride is at least 1"),
        ((1, 1, 3), {"padding": -1}, "padding is at least 0"),
        ((1, 1, 3), {"padding": "same", "stride": 2}, "only at stride 1"),
        ((1, 1, 3), {"padding_mode": "mirror"}, "'circular', not 'mirror'"),
    ],
)
def test_arguments_that_do_not_fit(arguments: Any, options: Any, text: str) -> None:
    with pytest.raises(ArgumentError, match=f"^Conv2d: .*{text}"):
        nn.Conv2d(*arguments, **options)


@pytest.mark.parametrize("shape", [(2, 4, 6, 6), (6, 6), (1, 2, 3, 6, 6), (6, 6, 3)])
def test_a_wrong_input_names_layer_and_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"^Conv2d\(3, 4, .*got an input of shape .*3 channels"):
        nn.Conv2d(3, 4, 3)(tg.ones(*shape))


def test_a_network_learns() -> None:
    """Everything together: the loss of a small network falls by gradient descent."""
    tg.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 2),
    )
    x, labels = RNG.normal(size=(16, 1, 8, 8)).astype(np.float32), np.arange(16) % 2
    optimizer = tg.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4
