"""Modules and parameters under names and in rows; torch's keys in `tests/peers`."""

from __future__ import annotations

from typing import Any

import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.errors import DTypeError, ModuleError


def test_a_dictionary_of_modules() -> None:
    layers = nn.ModuleDict({"first": nn.Linear(2, 3)})
    layers["last"] = nn.Linear(3, 1)
    assert list(layers) == list(layers.keys()) == ["first", "last"]
    assert layers["last"].weight.shape == (1, 3)
    assert "last" in layers
    assert len(layers) == 2
    assert next(iter(layers.state_dict())) == "first.weight"
    assert len(list(layers.parameters())) == 4
    popped = layers.pop("last")
    assert [module for _, module in layers.items()] == list(layers.values())
    assert popped not in layers.values()
    layers.clear()
    assert not list(layers.parameters())


@pytest.mark.parametrize("key", ["keys", "training", "a.b", "", 3])
def test_names_that_cannot_be(key: Any) -> None:
    with pytest.raises(ModuleError):
        nn.ModuleDict()[key] = nn.ReLU()


def test_what_is_held() -> None:
    with pytest.raises(ModuleError, match="'a' holds a Parameter"):
        nn.ModuleDict({"a": nn.Parameter([1.0])})  # type: ignore[dict-item]
    with pytest.raises(KeyError):
        nn.ModuleDict()["a"]
    with pytest.raises(KeyError):
        del nn.ModuleDict()["a"]
    with pytest.raises(DTypeError):
        nn.ParameterList([1.0])
    with pytest.raises(DTypeError):
        nn.ParameterDict({"a": "b"})


def test_parameters() -> None:
    row = nn.ParameterList([tg.ones(2), nn.Parameter([1.0])])
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in row)
    row.append(tg.zeros(3))
    row[0] = nn.Parameter([5.0])
    assert [p.tolist() for p in row[:2]] == [[5], [1]]
    assert list(row.state_dict()) == ["0", "1", "2"]
    assert row[-1].shape == (3,)
    named = nn.ParameterDict({"scale": tg.ones(1)})
    named.update({"shift": tg.zeros(1)})
    assert list(named.state_dict()) == ["scale", "shift"]


def test_modules_are_found_by_name() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ModuleDict({"a": nn.ReLU()}))
    assert net.get_submodule("1.a") is net[1]["a"]
    assert net.get_submodule("") is net
    assert net[0].weight.shape == (3, 2)
    net.add_module("last", nn.Tanh())
    assert isinstance(net[2], nn.Tanh)
    with pytest.raises(ModuleError, match=r"'1\.b' names no module"):
        net.get_submodule("1.b")
