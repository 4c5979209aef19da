"""Modules that only pass on or reshape."""

from __future__ import annotations

import tinygrad_edu as tg
from tinygrad_edu import nn


def test_flatten_keeps_the_examples_apart() -> None:
    x = tg.arange(24).reshape(2, 3, 4)
    assert nn.Flatten()(x).tolist() == x.reshape(2, 12).tolist()
    assert nn.Flatten(0)(x).shape == (24,)
    assert nn.Flatten(0, 1)(x).shape == (6, 4)
    assert repr(nn.Flatten(0, 1)) == "Flatten(start_dim=0, end_dim=1)"


def test_identity_stands_in_for_anything() -> None:
    x = tg.ones(2)
    identity = nn.Identity(54, key="value")
    assert identity(x) is x
    assert repr(identity) == "Identity()"


def test_unflatten() -> None:
    layer = nn.Unflatten(1, (2, -1))
    assert layer(tg.ones(3, 6)).shape == (3, 2, 3)
    assert repr(layer) == "Unflatten(dim=1, unflattened_size=(2, -1))"
