"""Convolutions whose kernel is as large as the image are dense layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import analysis
import tinygrad_edu as tg
from tests.analysis.network.nets import linear
from tinygrad_edu import nn


def pair(draw: Callable[[tg.Tensor], object]) -> tuple[nn.Module, nn.Module]:
    """The same network with a convolution and with a dense layer in front."""
    made = []
    for layer in (nn.Conv2d(3, 20, 3), nn.Linear(27, 20)):
        draw(layer.weight)
        nn.init.normal_(layer.bias, 0.1, 0.3)
        flat = nn.Flatten()
        front = [layer, flat] if isinstance(layer, nn.Conv2d) else [flat, layer]
        tail = (nn.Tanh(), linear(20, 16, 1.3), nn.ReLU(), linear(16, 8))
        made.append(nn.Sequential(*front, *tail))
    return made[0], made[1]


@pytest.mark.parametrize(
    ("draw", "data"),
    [
        (nn.init.kaiming_uniform_, False),  # whose kurtosis of 9/5 counts behind tanh
        (nn.init.lecun_normal_, False),
        (nn.init.lecun_normal_, True),
        (nn.init.orthogonal_, True),
    ],
)
def test_one_window_is_a_dense_layer(draw: Callable[[tg.Tensor], object], data: bool) -> None:
    given = np.random.default_rng(0).standard_normal((4, 3, 3, 3)) if data else (3, 3, 3)
    convolved, dense = (analysis.analyze(model, given).layers[1:] for model in pair(draw))
    for mine, other in zip(convolved, dense, strict=True):
        for direction in ("forward", "backward"):
            a, b = (getattr(row, direction).prediction for row in (mine, other))
            assert a.second == pytest.approx(b.second, rel=1e-12)
            if draw is not nn.init.orthogonal_:  # what its filters take away is not followed
                assert a.shift == pytest.approx(b.shift, rel=1e-9, abs=1e-12)
