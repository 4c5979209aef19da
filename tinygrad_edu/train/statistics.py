"""What a probe notes of one layer at one step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_edu.train.histogram import Histogram, pieces

NEAR_LINEAR = 0.01
"""A unit is nearly linear if its outputs lie on a straight line over its inputs but for this share
of their variance. For tanh of normal inputs that is up to a standard deviation of 0.4."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Moments:
    """The distribution of an array's elements.

    Attributes:
        mean: E[x].
        second: E[x^2].
        variance: E[(x - mean)^2].
        histogram: In bins that all layers and steps share.
    """

    mean: float
    second: float
    variance: float
    histogram: Histogram

    @classmethod
    def of(cls, values: Array) -> Moments:
        """Measure an array, in double precision: squares of small gradients are below float32."""
        n = max(values.size, 1)
        mean = sum(float(piece.sum(dtype=np.float64)) for piece in pieces(values)) / n
        variance = 0.0
        with np.errstate(invalid="ignore"):  # inf - inf is nan, as it should be
            for piece in pieces(values):
                deviation = piece - np.float64(mean)
                variance += float(deviation @ deviation) / n
        return cls(mean, variance + mean**2, variance, Histogram.of(values))

    @property
    def std(self) -> float:
        """The standard deviation."""
        return math.sqrt(self.variance)

    @property
    def rms(self) -> float:
        """The root of the second moment."""
        return math.sqrt(self.second)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists; None for what is not finite, which JSON has no word for."""
        numbers = {"mean": self.mean, "second": self.second, "variance": self.variance}
        return {
            **{name: x if math.isfinite(x) else None for name, x in numbers.items()},
            "histogram": self.histogram.to_dict(),
        }


@dataclass(frozen=True)
class Response:
    """How an activation function answers what arrives at it, as shares of 0 to 1.

    Attributes:
        saturated: Of all inputs (examples and units): where the slope is below the probe's
            threshold.
        near_linear: Of the units: whose outputs are a straight line over their inputs, see
            `NEAR_LINEAR`. So is a relu that is active on all examples.
        dead: Of the units: whose slope is exactly 0 on all examples of this batch, so that nothing
            before them can learn from it.
        dead_since_start: Of the units: dead at every step noted so far.
    """

    saturated: float
    near_linear: float
    dead: float
    dead_since_start: float


@dataclass(frozen=True)
class Record:
    """One layer at one step.

    Attributes:
        layer: The module's name in the model; "0:2" is the second call of module "0" in a step.
        op: Its class.
        step: Which forward pass in training, from 0.
        activation: The layer's output.
        gradient: That of the loss with respect to the output; None until backward has passed, or
            if it does not.
        response: For activation functions; None for other layers.
    """

    layer: str
    op: str
    step: int
    activation: Moments
    gradient: Moments | None
    response: Response | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "layer": self.layer,
            "op": self.op,
            "step": self.step,
            "activation": self.activation.to_dict(),
            "gradient": None if self.gradient is None else self.gradient.to_dict(),
            "response": None if self.response is None else vars(self.response).copy(),
        }


def by_unit(values: Array, unit_axis: int) -> Array:
    """(examples and places, units)."""
    if values.ndim < 2:
        return values.reshape(-1, 1)
    if values.ndim > 2:
        values = np.moveaxis(values, unit_axis, -1)
    return values.reshape(-1, values.shape[-1])


def near_linear(inputs: Array, outputs: Array) -> float:
    """The share of units (columns) whose outputs are nearly linear in their inputs."""
    # products of four float32 values leave float32's range, though their ratio is of order 1
    x, y = (values.astype(np.float64, copy=False) for values in (inputs, outputs))
    x, y = (values - values.sum(axis=0) / len(values) for values in (x, y))
    xx, yy, xy = (np.einsum("ij,ij->j", a, b) for a, b in ((x, x), (y, y), (x, y)))
    # 1 - r^2 <= share, without dividing; a unit that does not vary is no line
    return float(((xy * xy >= (1 - NEAR_LINEAR) * xx * yy) & (xx * yy > 0)).mean())
