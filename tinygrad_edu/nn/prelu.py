"""The rectifier whose slope below 0 is trained."""

from __future__ import annotations

from typing import Any

from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.graph.creation import full
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.nn import functional
from tinygrad_edu.nn.module import Module
from tinygrad_edu.nn.parameter import Parameter


class PReLU(Module):
    """x above 0, weight * x below, with a weight that is trained: one for all, or one for each
    channel (axis 1). He et al. 2015, eq. 1. Give it no weight decay, which would make it a ReLU.

    Args:
        num_parameters: 1, or the number of channels.
        init: The weight to start from.
        dtype: A float dtype; None means float32.

    Raises:
        ArgumentError: Fewer than one parameter.
    """

    weight: Parameter

    def __init__(self, num_parameters: int = 1, init: float = 0.25, dtype: Any = None) -> None:
        if num_parameters < 1:
            raise ArgumentError(f"PReLU: needs at least one parameter, got {num_parameters}.")
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(full((num_parameters,), init, dtype))

    def forward(self, x: Operand) -> Tensor:
        """(n, channels, ...), or any shape with one parameter, to the same."""
        return functional.prelu(x, self.weight)

    def extra_repr(self) -> str:
        """The number of parameters."""
        return f"num_parameters={self.num_parameters}"
