"""Inputs of mean 0 and variance 1: what every initialisation rule assumes of the first layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_edu.errors import DataError


@dataclass(frozen=True, eq=False)
class Standardize:
    """The map ``(x - mean) / std``, feature by feature, with numbers measured on training data.

    Fit it on the training data and apply it to everything: fitting it again on the test data would
    let the test set speak about itself. ::

        standardize = Standardize.fit(train.images)
        model(standardize(test.images))

    Attributes:
        mean: Mean of each feature, float64, shape x.shape[1:].
        std: Population standard deviation of each feature (divisor n), float64, the same shape.
            A feature that is constant in the training data has 1, so that it becomes 0 there.
    """

    mean: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]

    @classmethod
    def fit(cls, x: npt.ArrayLike) -> Standardize:
        """Measure mean and standard deviation of each feature of ``x``, shape (n, ...).

        Raises:
            DataError: ``x`` has no examples or no feature axis, is not real, or is not finite.
        """
        data = _real(x)
        if data.ndim < 2 or len(data) == 0:
            raise DataError(
                f"Standardize.fit needs examples along the first axis and features along the "
                f"others, got shape {data.shape}."
            )
        data = data.astype(np.float64)
        if not np.isfinite(data).all():
            raise DataError("Standardize.fit got a NaN or an infinity; clean the data first.")
        # Asked of the values: the computed std of a constant is not always exactly 0, and dividing
        # by 1e-17 would make ±1 of rounding errors. For the same reason its mean is its value.
        constant = data.min(axis=0) == data.max(axis=0)
        mean = np.where(constant, data[0], data.mean(axis=0))
        std = np.where(constant, 1.0, data.std(axis=0))
        return cls(mean, std)

    def __call__(self, x: npt.ArrayLike) -> npt.NDArray[Any]:
        """Standardize ``x``, shape (n, ...): float64 for float64 and wide integers, else float32.

        Raises:
            DataError: The features of ``x`` have another shape than those fitted.
        """
        data = _real(x)
        if data.shape[1:] != self.mean.shape:
            raise DataError(
                f"Standardize was fitted to features of shape {self.mean.shape}, got examples of "
                f"shape {data.shape[1:]}."
            )
        return ((data - self.mean) / self.std).astype(np.result_type(data, np.float32))


def _real(x: npt.ArrayLike) -> npt.NDArray[Any]:
    data = np.asarray(x)
    if data.dtype.kind not in "biuf":
        raise DataError(f"Standardize needs real numbers, got dtype {data.dtype}.")
    return data
