"""Where examples, positions and units stand among the axes of a tensor.

A layout has a letter for each axis: "b" examples, "p" positions, "u" units, "1" for an axis of size
1, and "*" where positions and units were merged. Images are "bupp", sequences "bpu", the heads of
an attention "bupu". Positions are counted in the order of their axes.
"""

from __future__ import annotations

import math

import numpy as np

from analysis.network.context import UnknownSignal
from analysis.network.records import Array, Signal

Shape = tuple[int, ...]


def layout_of(x: Signal, shape: Shape) -> str:
    """The layout of a signal's tensor of this shape; where the signal does not say it, units come
    before positions, as convolutions have them."""
    if x.layout:
        return x.layout
    if x.places == 1:
        return "b" + "u" * (len(shape) - 1)
    if len(shape) > 2 and shape[1] == x.units and math.prod(shape[2:]) == x.places:
        return "bu" + "p" * (len(shape) - 2)
    return "b" + "*" * (len(shape) - 1)


def is_image(x: Signal, shape: Shape) -> bool:
    """Whether units come first, and then positions."""
    return fits(layout_of(x, shape), "bu" + "p" * (len(shape) - 2))


def is_sequence(x: Signal, shape: Shape) -> bool:
    """Whether positions come first, and then units."""
    return fits(layout_of(x, shape), "b" + "p" * (len(shape) - 2) + "u")


def fits(layout: str, wanted: str) -> bool:
    """Whether a layout is the wanted one; an axis of size 1 may count as anything."""
    return len(layout) == len(wanted) and all(
        own in (other, "1") for own, other in zip(layout, wanted, strict=True)
    )


def permuted(layout: str, axes: tuple[int, ...]) -> str:
    """With the axes in another order. Positions in another order are not followed."""
    moved = [axis for axis in axes if layout[axis] == "p"]
    if moved != sorted(moved):
        return "".join("*" if layout[axis] == "p" else layout[axis] for axis in axes)
    return "".join(layout[axis] for axis in axes)


def reshaped(layout: str, old: Shape, new: Shape) -> str:
    """The layout of the same numbers in another shape: axes that are split or merged have the
    letter that all of them share."""
    letters = ""
    i = j = 0
    while i < len(old) and j < len(new):
        first, start = i, j
        a, b = old[i], new[j]
        i, j = i + 1, j + 1
        while a != b and (i < len(old) if a < b else j < len(new)):
            if a < b:
                a, i = a * old[i], i + 1
            else:
                b, j = b * new[j], j + 1
        kinds = set(layout[first:i]) - {"1"}
        letter = kinds.pop() if len(kinds) == 1 else "*"
        letters += "".join("1" if size == 1 else letter for size in new[start:j])
    return letters + "1" * (len(new) - j)


def positions(layout: str, shape: Shape) -> Shape:
    """How many positions there are along each of their axes."""
    return tuple(size for letter, size in zip(layout, shape, strict=True) if letter == "p")


def by_axes(values: Array, batched: bool, x: Signal, shape: tuple[int, ...]) -> Array:
    """Numbers that are spread over a signal of this shape, as (1 or cases * places, 1 or units)."""
    layout = layout_of(x, shape)
    missing = len(shape) - values.ndim
    if batched and missing and values.ndim > 1:
        raise UnknownSignal("numbers of other axes than the signal's")
    values = values.reshape((1,) * missing + values.shape)
    if values.size == 1:
        return values.reshape(1, 1)
    if "*" in layout or layout[:1] != "b" or (not batched and values.shape[0] > 1):
        raise UnknownSignal("numbers over axes that are not followed")
    inside = [i for i, letter in enumerate(layout) if letter == "p"]
    others = [i for i, letter in enumerate(layout) if letter in "u1" and i]
    cases = len(x.second) // x.places
    full = tuple(
        cases if i == 0 else shape[i] if layout[i] == "p" else values.shape[i]
        for i in range(len(shape))
    )
    spread = np.broadcast_to(values, full).transpose(0, *inside, *others)
    return np.asarray(spread.reshape(cases * x.places, -1))
