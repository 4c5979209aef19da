"""What goes into the network: a law, or data whose every example is followed by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import InputError
from analysis.network.elements import Element
from analysis.network.records import Array, Signal
from analysis.network.roots import DataRoot
from analysis.network.sources import Form, fresh, gaussian

if TYPE_CHECKING:
    from tinygrad_edu.nn import Module


BATCH = 64
"""How many examples of a law go through a network together, where the user does not say."""


@dataclass(frozen=True)
class Input:
    """Examples of shape `shape`: iid standard normal elements, or the rows of `data`."""

    shape: tuple[int, ...]
    data: Array | None = None

    @property
    def examples(self) -> int:
        """How many are followed by themselves: all of the data, or one of a law."""
        return 1 if self.data is None else len(self.data)

    def signal(self, repeats: int = 1) -> Signal:
        """The record propagation starts from, each example `repeats` times."""
        units = int(np.prod(self.shape))
        if self.data is None:
            zero, one = np.zeros(repeats), np.ones(repeats)
            element = Element(gaussian(one))
            return Signal(
                mean=zero,
                second=one,
                fourth=3 * one,
                shift=zero,
                size=zero,
                fluctuation=zero,
                excess=zero,
                units=units,
                element=element,
                sources=element.sources,
                partner=zero,
            )
        rows = np.repeat(self.data.reshape(len(self.data), -1), repeats, axis=0)
        zero = np.zeros(len(rows))
        element = Element(Form(zero, {}), DataRoot(rows, fresh()))
        mean, second, fourth = element.moments()
        return Signal(
            mean=mean,
            second=second,
            fourth=fourth,
            shift=zero,
            size=zero,
            fluctuation=zero,
            excess=zero,
            units=units,
            element=element,
            sources=element.sources,
            fixed=True,
            partner=self._products(repeats),
        )

    def _products(self, repeats: int) -> Array | None:
        """The mean of x x' for each example and the next one."""
        assert self.data is not None
        rows = self.data.reshape(len(self.data), -1)
        if len(rows) < 2:
            return None
        return np.repeat(np.mean(rows * np.roll(rows, -1, axis=0), axis=1), repeats)

    def batch(self, size: int, generator: np.random.Generator) -> Array:
        """Examples to measure on: all the data, or `size` fresh draws of the law."""
        if self.data is not None:
            return self.data
        return generator.standard_normal((size, *self.shape))

    def describe(self) -> dict[str, Any]:
        """For the report."""
        if self.data is None:
            return {"kind": "law", "law": "iid standard normal", "shape": list(self.shape)}
        return {
            "kind": "data",
            "examples": len(self.data),
            "shape": list(self.shape),
            "second": float(np.mean(self.data**2)),
        }


def read(model: Module, given: Any) -> Input:
    """The input meant by the user: None (standard normal of the model's own input size), a shape,
    or data (examples first; array or tensor)."""
    if isinstance(given, Input):
        return given
    if given is None:
        return Input(_own_shape(model))
    if isinstance(given, tuple) and all(isinstance(n, int) for n in given):
        if not given or min(given) < 1:
            raise InputError(f"an example's shape has positive sizes, got {given}.")
        return Input(given)
    data = np.asarray(given, np.float64)
    if data.ndim < 2 or data.size == 0:
        raise InputError(
            f"data of shape {data.shape}: give examples along the first axis, or a shape as a "
            "tuple of integers to analyse standard normal input."
        )
    if not np.isfinite(data).all():
        raise InputError("the data contain nan or inf; clean them before analysing the network.")
    return Input(data.shape[1:], data)


def _own_shape(model: Module) -> tuple[int, ...]:
    for module in model.modules():
        if hasattr(module, "in_channels"):  # images of any size
            break
        width = getattr(module, "in_features", None)
        if width is not None:
            return (int(width),)
    raise InputError(
        "cannot tell the model's input shape; pass input=(...) with the shape of one example "
        "(the commands take --shape)."
    )
