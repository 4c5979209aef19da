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


def test_one_axis() -> None:
    row = X[0]
    assert nn.MaxPool1d(3, 2)(row).tolist() == tg.max_pool1d(row, 3, 2).tolist()
    layer = nn.AvgPool1d(3, 2, 1, True, False)
    assert layer(row).tolist() == tg.avg_pool1d(row, 3, 2, 1, True, False).tolist()


def test_adaptive() -> None:
    means = nn.AdaptiveAvgPool2d(1)(X).numpy()
    np.testing.assert_allclose(means, X.mean((2, 3), True).numpy(), rtol=1e-13)
    found = nn.AdaptiveAvgPool2d((3, None))(X)
    assert found.tolist() == tg.adaptive_avg_pool2d(X, (3, None)).tolist()
    values, places = nn.AdaptiveMaxPool2d(3, return_indices=True)(X)
    wanted = tg.adaptive_max_pool2d(X, 3, return_indices=True)
    assert (values.tolist(), places.tolist()) == tuple(part.tolist() for part in wanted)
    row = X[0]
    assert nn.AdaptiveAvgPool1d(3)(row).tolist() == tg.adaptive_avg_pool1d(row, 3).tolist()
    assert nn.AdaptiveMaxPool1d(3)(row).tolist() == tg.adaptive_max_pool1d(row, 3).tolist()


def test_printing() -> None:
    assert repr(nn.AdaptiveAvgPool2d((None, 2))) == "AdaptiveAvgPool2d(output_size=(None, 2))"
    assert repr(nn.AvgPool1d(2)) == "AvgPool1d(kernel_size=(2,), stride=(2,), padding=(0,))"
    assert (
        repr(nn.MaxPool2d((2, 3)))
        == "MaxPool2d(kernel_size=(2, 3), stride=(2, 3), padding=0, dilation=1, ceil_mode=False)"
    )
    assert repr(nn.AvgPool2d(2, 1)) == "AvgPool2d(kernel_size=2, stride=1, padding=0)"
