"""Modules that compute nothing: they pass their input on, or change its shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinygrad_edu.graph import functions
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.nn.module import Module


class Identity(Module):
    """Its input. Takes any arguments, so that it can stand in for any module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def forward(self, x: Any) -> Any:
        """x itself."""
        return x


@dataclass(eq=False, repr=False)
class Flatten(Module):
    """The axes from start_dim to end_dim as one; by default all but the first, the examples."""

    start_dim: int = 1
    end_dim: int = -1

    def forward(self, x: Operand) -> Tensor:
        """(n, a, b, ...) to (n, a * b * ...) with the default axes."""
        return functions.flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


@dataclass(eq=False, repr=False)
class Unflatten(Module):
    """One axis as several, of these sizes; one may be -1."""

    dim: int
    unflattened_size: Sequence[int]

    def forward(self, x: Operand) -> Tensor:
        """(n, a * b, ...) to (n, a, b, ...) with dim 1 and sizes (a, b)."""
        return functions.unflatten(x, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """The axis and its parts."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
