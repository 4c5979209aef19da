"""Two setups are equal where nothing that decides the run differs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.train.nestings import same
from tinygrad_edu import nn, optim
from tinygrad_edu.data import DataLoader, TensorDataset
from tinygrad_edu.train.settings import (
    differences,
    of_function,
    of_loader,
    of_model,
    of_object,
    of_optimizer,
)


class Layer(nn.Module):
    """A module with attributes of all kinds."""

    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


def test_a_model() -> None:
    inner = Layer(p=np.float64(0.5), sizes=(1, 2), name="a", fn=math.sin, _hidden=1, none=None)
    inner.register_buffer("mean", tg.zeros(2))
    settings = of_model(nn.Sequential(nn.Linear(2, 1, bias=False), inner))
    assert settings == {
        "class": "Sequential",
        "0.class": "Linear",
        "0.in_features": 2,
        "0.out_features": 1,
        "0.bias": None,
        "1.class": "Layer",
        "1.p": 0.5,
        "1.sizes": [1, 2],
        "1.name": "a",
        "1.none": None,
        "0.weight": "float32 (1, 2)",
        "1.mean": "float32 (2,)",
    }


def test_the_mode_is_no_setting() -> None:
    assert of_model(nn.Linear(1, 1)) == of_model(nn.Linear(1, 1).eval())


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, np.float32(0.1), np.int8(3), np.bool_(True), 10**30, [math.nan]]
)
def test_equal_values_stay_equal_in_a_file(value: Any, tmp_path: Any) -> None:
    settings = of_object(Layer(value=value))
    assert "value" in settings
    tg.save(settings, tmp_path / "a")
    assert same(tg.load(tmp_path / "a"), settings)
    assert differences(tg.load(tmp_path / "a"), of_object(Layer(value=value))) == []


def test_an_optimizer() -> None:
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(
        [{"params": [model.bias]}, {"params": [model.weight], "lr": np.float64(0.5)}]
    )
    settings = of_optimizer(optimizer, model)
    assert settings["class"] == "SGD"
    assert settings["groups.0.params"] == ["bias"]
    assert settings["groups.1.params"] == ["weight"]
    assert [settings[f"groups.{i}.lr"] for i in (0, 1)] == [1e-3, 0.5]


LOADERS: dict[str, Any] = {
    "values": lambda: DataLoader(TensorDataset(np.ones(6)), 2),
    "dtype": lambda: DataLoader(TensorDataset(np.zeros(6, np.float32)), 2),
    "entries": lambda: DataLoader(TensorDataset(np.zeros(6), np.zeros(6)), 2),
    "shape": lambda: DataLoader(TensorDataset(np.zeros((6, 1))), 2),
    "batch_size": lambda: DataLoader(TensorDataset(np.zeros(6)), 3),
    "shuffle": lambda: DataLoader(TensorDataset(np.zeros(6)), 2, shuffle=True, seed=0),
    "drop_last": lambda: DataLoader(TensorDataset(np.zeros(6)), 2, drop_last=True),
    "class": lambda: DataLoader([(0.0,)] * 6, 2),
    "length": lambda: DataLoader([(0.0,)] * 5, 2),
}


def test_every_aspect_of_a_loader_counts() -> None:
    found = [of_loader(make(), 0) for make in LOADERS.values()]
    found += [of_loader(DataLoader(TensorDataset(np.zeros(6)), 2), seed) for seed in (0, 1)]
    assert [of_loader(make(), 0) for make in LOADERS.values()] == found[:-2]
    for i, first in enumerate(found):
        assert all(differences(first, second) for second in found[i + 1 :])


def test_values_of_any_dtype_and_layout_are_compared() -> None:
    def settings(array: Any) -> Any:
        return of_loader(DataLoader(TensorDataset(array)), 0)

    strided = np.arange(12).reshape(3, 4)[:, ::2]
    assert settings(strided) == settings(strided.copy())
    assert settings(np.array(["a", "b"])) != settings(np.array(["a", "c"]))
    settings(np.array([None, {}]))  # objects have no bytes to compare


def test_functions_by_name_and_modules_by_content() -> None:
    assert of_function(math.sin) == {"name": "sin"}
    assert of_function(None) == {"name": "NoneType"}
    assert of_function(nn.CrossEntropyLoss())["class"] == "CrossEntropyLoss"


def test_differences() -> None:
    before, now = {"a": 1, "b": 2, "c": [3]}, {"a": 1, "b": 3, "d": None}
    assert differences(before, before) == []
    assert differences(before, now) == [
        "b: was 2, is 3",
        "c: was [3], is absent",
        "d: was absent, is None",
    ]
    many = differences({}, dict.fromkeys(map(str, range(15)), 0))
    assert len(many) == 11
    assert many[-1] == "and 5 more"
