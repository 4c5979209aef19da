"""The rectifier with a trained slope; against torch in `tests/peers`."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.errors import ArgumentError, ShapeError

X = np.array([[[-2.0], [1.0], [-4.0]]])


def test_one_slope_or_one_for_each_channel() -> None:
    assert nn.PReLU()(X).tolist() == [[[-0.5], [1], [-1]]]
    layer = nn.PReLU(3, init=0.5).double()
    layer(X).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [-2, 0, -4]
    assert nn.PReLU()(tg.tensor(-1.0)).shape == ()


def test_its_dtype() -> None:
    assert nn.PReLU().weight.dtype == tg.float32
    assert nn.PReLU(dtype=tg.float64).weight.dtype == tg.float64


def test_mistakes() -> None:
    with pytest.raises(ArgumentError):
        nn.PReLU(0)
    with pytest.raises(ShapeError, match="one for each channel"):
        nn.PReLU(2)(X)
