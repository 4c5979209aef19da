"""The law of a parameter: the one it was drawn from, or, once it was trained or loaded, the one
its own numbers suggest."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import InputError
from analysis.network.records import Mask, Weight

if TYPE_CHECKING:
    from tinygrad_edu.nn import Parameter

_MEAN_NOTICED = 5.0
"""A mean within so many standard errors of 0 is one that independent entries of mean 0 have by
chance, and taken as 0."""


def law_of(name: str, parameter: Parameter, shared: bool = False) -> tuple[Weight, str | None]:
    """The record of a parameter, and the assumption it rests on if it is not the law it was drawn
    from. Raises `InputError` for parameters that hold nan or inf."""
    law = parameter.law
    if law is not None:
        longest = 0
        if law.family == "orthogonal":
            rows = parameter.shape[0]
            longest = max(rows, parameter.numel() // rows)
        kurtosis = 3.0 if law.family == "orthogonal" else law.kurtosis
        return Weight(name, law.mean, law.variance, kurtosis, longest, shared), None
    values = np.asarray(parameter.detach().numpy(), np.float64)
    weight = own_law(name, values, shared)
    taken = (
        f"mean {weight.mean:.4g} and variance {weight.variance:.4g}"
        if weight.mean
        else f"mean 0 and their own second moment {weight.variance:.4g}"
    )
    return (
        weight,
        f"{name} was trained or loaded: its entries are taken as independent with {taken}",
    )


def own_law(name: str, values: np.ndarray[Any, Any], shared: bool = False) -> Weight:
    """What numbers say of themselves: their mean (where it is more than chance), their mean square
    about it and their kurtosis."""
    if not np.isfinite(values).all():
        raise InputError(f"parameter {name} holds nan or inf; nothing can be said of this network.")
    values = np.asarray(values, np.float64)
    mean = float(values.mean()) if values.size else 0.0
    deviation = float(values.std()) if values.size else 0.0
    if abs(mean) <= _MEAN_NOTICED * deviation / math.sqrt(max(values.size, 1)) and values.ndim > 1:
        mean = 0.0
    about = values - mean
    variance = float(np.mean(about**2)) if values.size else 0.0
    if variance <= 1e-24 * mean**2:
        return Weight(name, mean, 0.0, 1.0, shared=shared, drawn=False)
    kurtosis = float(np.mean(about**4)) / variance**2 if variance > 0 else 3.0
    return Weight(name, mean, variance, kurtosis, shared=shared, drawn=False)


def mean_of(name: str, parameter: Parameter) -> float:
    """The mean that `law_of` reports."""
    law = parameter.law
    return law.mean if law is not None else law_of(name, parameter)[0].mean


def constant_of(values: np.ndarray[Any, Any], shape: tuple[int, ...]) -> Weight | Mask | float:
    """The record of a constant: a number; a dropout mask, whose kept elements are 1 / (1 - p); or
    an array, which speaks by its own moments."""
    if values.size == 1:
        return float(values.item())
    distinct = np.unique(values)
    if len(distinct) == 2 and distinct[0] == 0 and distinct[1] > 1 and values.shape == shape:
        return Mask(1 / float(distinct[1]), float(distinct[1]))
    return own_law("a constant array", values)
