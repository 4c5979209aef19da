"""The law of a parameter: the one it was drawn from, or, once it was trained or loaded, its own
numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import InputError
from analysis.network.records import Mask, Weight

if TYPE_CHECKING:
    from tinygrad_edu.nn import Parameter


def law_of(name: str, parameter: Parameter, shared: bool = False) -> tuple[Weight, str | None]:
    """The record of a parameter, and the assumption it rests on if it is not the law it was drawn
    from. Raises `InputError` for parameters that hold nan or inf."""
    law = parameter.law
    if law is not None:
        longest = 0
        if law.family == "orthogonal":
            rows = parameter.shape[0] // parameter.groups
            longest = max(rows, math.prod(parameter.shape[1:]))
        kurtosis = 3.0 if law.family == "orthogonal" else law.kurtosis
        return Weight(name, law.mean, law.variance, kurtosis, longest, shared), None
    weight = own_law(name, parameter.detach().numpy(), shared)
    if parameter.ndim < 2:
        about = f"mean {weight.mean:.4g} and variance {weight.variance:.4g}"
    else:
        about = f"second moment {weight.variance:.4g}, each row with its own"
    return weight, f"{name} was trained or loaded: it speaks by its own numbers ({about})"


def own_law(name: str, values: np.ndarray[Any, Any], shared: bool = False) -> Weight:
    """What numbers say of themselves. Of a vector: mean, variance about it and kurtosis. Of a
    matrix: its mean square; what its rows add up to is looked at where it is multiplied with."""
    if not np.isfinite(values).all():
        raise InputError(
            f"parameter {name} holds nan or inf; nothing can be said of this network. Load or draw "
            "it anew."
        )
    values = np.asarray(values, np.float64)
    several = sum(size > 1 for size in values.shape) > 1
    mean = float(values.mean()) if values.size and not several else 0.0
    about = values - mean
    variance = float(np.mean(about**2)) if values.size else 0.0
    if variance <= 1e-24 * mean**2:
        return Weight(name, mean, 0.0, 1.0, shared=shared, values=values)
    kurtosis = float(np.mean(about**4)) / variance**2
    return Weight(name, mean, variance, kurtosis, shared=shared, values=values)


def mean_of(name: str, parameter: Parameter) -> float:
    """The mean of the law; what numbers of their own add up to is told by each row."""
    law = parameter.law
    return law.mean if law is not None else 0.0


def constant_of(values: np.ndarray[Any, Any], shape: tuple[int, ...]) -> Weight | Mask | float:
    """The record of a constant: a number; a dropout mask, whose kept elements are 1 / (1 - p); or
    an array, which speaks by its own moments."""
    if values.size == 1:
        return float(values.item())
    distinct = np.unique(values)
    if len(distinct) == 2 and distinct[0] == 0 and distinct[1] > 1 and values.shape == shape:
        return Mask(1 / float(distinct[1]), float(distinct[1]))
    return own_law("a constant array", values)
