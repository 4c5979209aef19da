"""Arguments that convolution and pooling share: one number for all spatial axes or one for each, an
input with or without a batch."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinygrad_edu.errors import ArgumentError, ShapeError

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Tensor

Numbers = int | Sequence[int]
"""One number for every spatial axis, or one for each."""


def per_axis(name: str, what: str, value: Numbers, rank: int, least: int) -> tuple[int, ...]:
    """The argument `what` as one number for each of `rank` spatial axes, all at least `least`."""
    try:
        given = tuple(map(operator.index, value if isinstance(value, Sequence) else (value,)))
    except TypeError:
        given = ()
    if len(given) not in (1, rank) or isinstance(value, str):
        raise ArgumentError(
            f"{name}: {what} is a whole number or {rank} of them, one for each spatial axis, not "
            f"{value!r}."
        )
    if min(given) < least:
        raise ArgumentError(f"{name}: {what} is at least {least}, not {value!r}.")
    return given * rank if len(given) == 1 else given


def check_rank(name: str, x: Tensor, rank: int) -> bool:
    """Whether the input (n, channels, *size) has its first axis; it may be left out."""
    if x.ndim not in (rank + 1, rank + 2):
        raise ShapeError(
            f"{name}: the input has {rank + 2} axes, (n, channels, *size), or {rank + 1} without a "
            f"batch, but its shape is {x.shape}."
        )
    return x.ndim == rank + 2


def sides(
    name: str,
    padding: Numbers | str,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    """A convolution's padding: how many zeros stand before and after each spatial axis."""
    if padding == "same":
        if max(stride) > 1:
            raise ArgumentError(
                f"{name}: padding='same' keeps the size only at stride 1, not {stride}; give the "
                "padding as a number."
            )
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((n // 2, n - n // 2) for n in total)
    if isinstance(padding, str):
        if padding != "valid":
            raise ArgumentError(
                f"{name}: padding is a number, one for each axis, 'same' or 'valid', not "
                f"{padding!r}."
            )
        padding = 0
    return tuple((n, n) for n in per_axis(name, "padding", padding, len(kernel), 0))
