"""What goes into the network: a law, or data whose every example is followed by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import InputError
from analysis.network.elements import Element
from analysis.network.examples import Partners
from analysis.network.records import Array, Numbers, Signal
from analysis.network.roots import DataRoot
from analysis.network.sources import Form, fresh, gaussian
from analysis.network.trace import looks_up

if TYPE_CHECKING:
    from tinygrad_edu.nn import Module


BATCH = 64
"""How many examples of a law go through a network together, where the user does not say."""


@dataclass(frozen=True)
class Input:
    """Examples of shape `shape`: iid standard normal elements, or the rows of `data`."""

    shape: tuple[int, ...]
    data: np.ndarray[Any, Any] | None = None

    @property
    def examples(self) -> int:
        """How many are followed by themselves: all of the data, or one of a law."""
        return 1 if self.data is None else len(self.data)

    @property
    def tokens(self) -> bool:
        """Whether it is whole numbers that an embedding looks up."""
        return self.data is not None and self.data.dtype.kind in "iu"

    def sampled(self, most: int) -> Input:
        """At most so many of the examples, evenly spaced in the order of their size."""
        if self.data is None or len(self.data) <= most:
            return self
        order = np.argsort(self._sizes()[1], kind="stable")
        picked = order[((np.arange(most) + 0.5) * len(order) / most).astype(int)]
        return Input(self.shape, self.data[picked])

    def _sizes(self) -> Array:
        """|x|^2 of each example, and that of what it differs by from the average one."""
        assert self.data is not None
        rows = self.data.reshape(len(self.data), -1)
        about = rows - rows.mean(axis=0)
        return np.array([np.einsum("en,en->e", a, a) for a in (rows, about)])

    def away_from(self, whole: Input) -> float:
        """By how much the average size differs from that of all examples, relatively."""
        ours, all_of_them = (data._sizes().mean(axis=1) for data in (self, whole))
        return float(np.max(np.abs(ours - all_of_them) / np.maximum(all_of_them, 1e-300)))

    def signal(self, repeats: int = 1, partners: Partners | None = None) -> Signal | Numbers:
        """The record propagation starts from, each example `repeats` times."""
        if self.data is not None and self.tokens:
            return Numbers(np.repeat(self.data, repeats, axis=0))
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
            partner=None if partners is None else partners.products(rows),
        )

    def batch(self, size: int, generator: np.random.Generator) -> Array:
        """Examples to measure on: all the data, or `size` fresh draws of the law."""
        if self.data is not None:
            return self.data
        return generator.standard_normal((size, *self.shape))

    @property
    def sentence(self) -> str:
        """For the reader of a report."""
        about = self.describe()
        if about["kind"] == "law":
            return f"{about['law']}, shape {tuple(about['shape'])}"
        if about["kind"] == "tokens":
            return f"{about['examples']} examples of {about['different']} different tokens"
        return f"{about['examples']} examples of second moment {about['second']:.4g}"

    def describe(self) -> dict[str, Any]:
        """For the report."""
        if self.data is None:
            return {"kind": "law", "law": "iid standard normal", "shape": list(self.shape)}
        if self.tokens:
            different = len(np.unique(self.data))
            return {
                "kind": "tokens",
                "examples": len(self.data),
                "shape": list(self.shape),
                "different": different,
            }
        return {
            "kind": "data",
            "examples": len(self.data),
            "shape": list(self.shape),
            "second": float(np.mean(self.data**2)),
        }


def read(model: Module, given: Any) -> Input:
    """The input meant by the user: None (standard normal of the model's own input size), a shape,
    or data (examples first; array or tensor).

    A model that looks its input up by whole numbers takes them as data; for a shape, `BATCH`
    examples are drawn from all rows of its first embedding alike.
    """
    if isinstance(given, Input):
        return given
    if given is None:
        return Input(_own_shape(model))
    if isinstance(given, tuple) and all(isinstance(n, int) for n in given):
        if not given or min(given) < 1:
            raise InputError(f"an example's shape has positive sizes, got {given}.")
        if _has_table(model) and looks_up(model, given):
            rows = _rows(model)
            generator = np.random.default_rng(0)
            return Input(given, generator.integers(0, rows, (BATCH, *given)))
        return Input(given)
    data = np.asarray(given)
    if data.ndim < 2 or data.size == 0:
        raise InputError(
            f"data of shape {data.shape}: give examples along the first axis, or a shape as a "
            "tuple of integers to analyse standard normal input."
        )
    whole = data.dtype.kind in "iu"
    if (whole or _has_table(model)) and looks_up(model, data.shape[1:]):
        if not whole:
            raise InputError(
                f"the model looks its input up by whole numbers, and the data are {data.dtype}; "
                "give an array of integers, or a shape to have them drawn."
            )
        return Input(data.shape[1:], data.astype(np.int64))
    data = data.astype(np.float64)
    if not np.isfinite(data).all():
        raise InputError("the data contain nan or inf; clean them before analysing the network.")
    return Input(data.shape[1:], data)


def _has_table(model: Module) -> bool:
    return any(hasattr(module, "num_embeddings") for module in model.modules())


def _rows(model: Module) -> int:
    """Of the first table that is looked up."""
    found = next((m for m in model.modules() if hasattr(m, "num_embeddings")), None)
    if found is None:
        raise InputError(
            "the model takes whole numbers, but which ones is not known; pass an array of integers "
            "as input."
        )
    return int(found.num_embeddings)


def _own_shape(model: Module) -> tuple[int, ...]:
    for module in model.modules():
        if hasattr(module, "num_embeddings"):
            raise InputError(
                "an embedding is looked up by whole numbers; pass input=(length,) to have them "
                "drawn, or an array of them (examples, length)."
            )
        if hasattr(module, "in_channels"):  # images of any size
            break
        width = getattr(module, "in_features", None)
        if width is not None:
            return (int(width),)
    raise InputError(
        "cannot tell the model's input shape; pass input=(...) with the shape of one example "
        "(the commands take --shape)."
    )
