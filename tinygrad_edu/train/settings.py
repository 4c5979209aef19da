"""What a training run is set up with, as plain values by name, so that two setups can be compared:
"model.0.weight" is "float32 (4, 8)", "optimizer.groups.0.lr" is 0.1, "data.batch_size" is 32.
"""

from __future__ import annotations

import hashlib
import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygrad_edu.data import DataLoader, TensorDataset
from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.nn import Module
from tinygrad_edu.optim import Optimizer
from tinygrad_edu.train.checkpoint import array_bytes

Plain = Any
"""None, a bool, a number, a string, or a list of these."""
Settings = dict[str, Plain]

ABSENT = "absent"
DIFFERENCES_SHOWN = 10


def differences(before: Mapping[str, Plain], now: Mapping[str, Plain]) -> list[str]:
    """A line for each setting that is not what it was, up to ten of them."""
    lines = [
        f"{name}: was {before.get(name, ABSENT)}, is {now.get(name, ABSENT)}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name, ABSENT) != now.get(name, ABSENT)
    ]
    more = len(lines) - DIFFERENCES_SHOWN
    return [*lines[:DIFFERENCES_SHOWN], f"and {more} more"] if more > 0 else lines


def of_model(model: Module) -> Settings:
    """The class of each module with its plain attributes, and what the state is made of."""
    found: Settings = {}
    for name, module in model.named_modules():
        found |= _under(name, of_object(module))
    found |= {key: f"{t.dtype} {t.shape}" for key, t in model.state_dict().items()}
    return found


def of_optimizer(optimizer: Optimizer, model: Module) -> Settings:
    """The rule, and of each group its options and the names of its parameters.

    Raises:
        ArgumentError: It trains a parameter that the model does not hold.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    found: Settings = {"class": type(optimizer).__qualname__}
    for number, group in enumerate(optimizer.param_groups):
        if not names.keys() >= set(group["params"]):
            raise ArgumentError(
                "fit: the optimizer trains parameters that are no part of the model, so a "
                "checkpoint would not hold them; assign them to an attribute of the model."
            )
        options = {name: _plain(value) for name, value in group.items() if name != "params"}
        options["params"] = [names[p] for p in group["params"]]
        found |= _under(f"groups.{number}", options)
    return found


def of_loader(loader: DataLoader, seed: int | None) -> Settings:
    """The examples, and how they are batched and ordered.

    Of a `TensorDataset` the values are compared, by their SHA-256; of other data sets, the class
    and the length.
    """
    found: Settings = {
        "dataset": type(loader.dataset).__qualname__,
        "examples": len(loader.dataset),
        "batch_size": loader.batch_size,
        "shuffle": loader.shuffle,
        "drop_last": loader.drop_last,
        "seed": seed,
    }
    if isinstance(loader.dataset, TensorDataset):
        for number, array in enumerate(loader.dataset.arrays):
            found[f"arrays.{number}"] = f"{array.dtype} {array.shape} {_digest(array)}"
    return found


def of_object(obj: object) -> Settings:
    """The class, and those public attributes that are plain values: of a schedule, its numbers, not
    its functions."""
    attributes = {name: value for name, value in vars(obj).items() if not name.startswith("_")}
    attributes.pop("training", None)  # a mode, which training sets
    plain = {name: _plain(value) for name, value in attributes.items() if _is_plain(value)}
    return {"class": type(obj).__qualname__, **plain}


def of_function(function: Any) -> Settings:
    """A module as `of_model`; of another function, only its name."""
    if isinstance(function, Module):
        return of_model(function)
    return {"name": getattr(function, "__qualname__", type(function).__qualname__)}


def _under(place: str, settings: Settings) -> Settings:
    return {f"{place}.{name}" if place else name: value for name, value in settings.items()}


def gathered(**parts: Settings) -> Settings:
    """The settings of several parts, each under its name."""
    found: Settings = {}
    for place, settings in parts.items():
        found |= _under(place, settings)
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | numbers.Real | np.bool_)


def _plain(value: Any) -> Plain:
    """The value itself, so that it compares equal after a round trip; of others their type."""
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, numbers.Integral | np.bool_):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        return number if math.isfinite(number) else str(number)  # NaN is not equal to itself
    return type(value).__qualname__


def _digest(array: np.ndarray) -> str:
    if array.dtype.hasobject:
        return "objects"
    return hashlib.sha256(array_bytes(array)).hexdigest()[:16]
