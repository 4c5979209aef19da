"""From one loss a value to the number that is minimised."""

from __future__ import annotations

from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.graph.tensor import Tensor

_REDUCTIONS = ("mean", "sum", "none")


def check_reduction(name: str, reduction: str) -> None:
    """Raise `ArgumentError` for a reduction that does not exist; `name` is the loss."""
    if reduction not in _REDUCTIONS:
        raise ArgumentError(
            f"{name}: reduction is {', '.join(map(repr, _REDUCTIONS))}, not {reduction!r}."
        )


def reduce(losses: Tensor, reduction: str) -> Tensor:
    """The mean or sum of the losses, or the losses themselves for "none"."""
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()
