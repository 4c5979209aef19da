"""Dropout: in training each value is kept with probability 1 - p, and then scaled up."""

from __future__ import annotations

import numbers
from dataclasses import dataclass

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, DTypeError
from tinygrad_edu.graph.creation import uniform_for
from tinygrad_edu.graph.functions import as_tensor
from tinygrad_edu.graph.reader import compose
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.nn.module import Module
from tinygrad_edu.ops.dtypes import is_float


def dropout(input: Operand, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training 0 with probability p, else x / (1 - p), each value for itself: its mean stays.
    Otherwise x. Srivastava et al. 2014.

    A value is kept where the next draw of the keyed sequence, `tg.rand` of x's shape, is at least
    p: the same seed drops the same values. `inplace` is accepted for torch's sake and changes
    nothing.

    Raises:
        ArgumentError: p outside [0, 1). At 1 nothing is left to learn from.
        DTypeError: x has no float dtype.
    """
    check_probability("dropout", p)
    x = as_tensor(input)
    if not training or p == 0:
        return x
    if not is_float(x.dtype):
        raise DTypeError(f"dropout: needs floats, got {x.dtype} {x.shape}; use .float().")
    return compose(ops.dropout, x, uniform_for(x) >= p, p=float(p))


def check_probability(name: str, p: float) -> None:
    """Raise `ArgumentError` unless 0 <= p < 1."""
    if not isinstance(p, numbers.Real) or not 0 <= p < 1:
        raise ArgumentError(
            f"{name}: p is the probability to drop a value, in [0, 1), got {p!r}"
            + ("; what drops everything passes no gradient: use x * 0." if p == 1 else ".")
        )


@dataclass(eq=False, repr=False)
class Dropout(Module):
    """In training each value is 0 with probability p, else x / (1 - p); in evaluation x. See
    `functional.dropout`. Freezing changes nothing about it: it has nothing to train.

    Raises:
        ArgumentError: p outside [0, 1).
    """

    p: float = 0.5
    inplace: bool = False

    def __post_init__(self) -> None:
        check_probability("Dropout", self.p)

    def forward(self, x: Operand) -> Tensor:
        """The input with values dropped, in its shape."""
        return dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}, inplace={self.inplace}"
