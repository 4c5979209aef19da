"""The fully connected layer."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_edu.errors import ArgumentError, ShapeError
from tinygrad_edu.graph.axes import whole
from tinygrad_edu.graph.creation import zeros
from tinygrad_edu.graph.functions import as_tensor
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.nn import functional, init
from tinygrad_edu.nn.module import Module
from tinygrad_edu.nn.parameter import Parameter


class Linear(Module):
    """x @ weight.mT + bias, over the last axis of x.

    As in torch, weight (out_features, in_features) starts uniform on ±1/sqrt(in_features), and so
    does bias (out_features,): variance 1/(3 in_features), a third of what keeps a signal of
    variance 1. `nn.init` has the alternatives.

    Args:
        in_features: The size of the last axis of the input, at least 1.
        out_features: The size of the last axis of the output, at least 1.
        bias: Whether to add a bias.
        dtype: A float dtype; None means float32.

    Raises:
        ArgumentError: A size below 1.
        ShapeError: Called with an input whose last axis is not in_features.
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, dtype: Any = None
    ) -> None:
        self.in_features = whole(in_features)
        self.out_features = whole(out_features)
        if min(self.in_features, self.out_features) < 1:
            raise ArgumentError(
                f"Linear: needs at least one input and one output, got {in_features} and "
                f"{out_features}."
            )
        self.weight = Parameter(zeros(out_features, in_features, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(zeros(out_features, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew from torch's default law."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # gain sqrt(1/3): bound 1/sqrt(fan_in)
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features)
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Operand) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        x = as_tensor(x)
        if x.node.data.shape[-1:] != (self.in_features,):
            raise ShapeError(
                f"{self}: got an input of shape {x.shape}; its last axis must have "
                f"{self.in_features} elements."
            )
        return functional.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The arguments it was made with."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )
