"""Pooling layers pass their arguments on, and print as torch's."""

from __future__ import annotations

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import nn

X = tg.tensor(np.random.default_rng(0).normal(size=(2, 3, 7, 8)))


def test_max_pool() -> None:
    layer = nn.MaxPool2d(3, 2, 1, dilation=(1, 2), ceil_mode=True)
    assert layer(X).tolist() == tg.max_pool2d(X, 3, 2, 1, (1, 2), True).tolist()
    values, places = nn.MaxPool2d(2, return_indices=True)(X)
    wanted = tg.max_pool2d(X, 2, return_indices=True)
    assert (values.tolist(), places.tolist()) == tuple(part.tolist() for part in wanted)


def test_avg_pool() -> None:
    layer = nn.AvgPool2d(3, 2, 1, True, False)
    assert layer(X).tolist() == tg.avg_pool2d(X, 3, 2, 1, True, False).tolist()
    layer = nn.AvgPool2d(2, divisor_override=3)
    assert layer(X).tolist() == tg.avg_pool2d(X, 2, divisor_override=3).tolist()


def test_printing() -> None:
    assert (
        repr(nn.MaxPool2d((2, 3)))
        == "MaxPool2d(kernel_size=(2, 3), stride=(2, 3), padding=0, dilation=1, ceil_mode=False)"
    )
    assert repr(nn.AvgPool2d(2, 1)) == "AvgPool2d(kernel_size=2, stride=1, padding=0)"
