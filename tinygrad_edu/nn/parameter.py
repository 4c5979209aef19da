"""`Parameter`: a tensor that a module trains, and the law its values were drawn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tinygrad_edu.graph.creation import zeros_like
from tinygrad_edu.graph.node import Node, tracing
from tinygrad_edu.graph.tensor import Tensor

Array = np.ndarray[Any, np.dtype[np.float64]]
Shape = tuple[int, ...]
Draw = Callable[[np.random.Generator, Shape], Array]
Family = Literal["normal", "uniform", "truncated_normal", "orthogonal", "constant"]


@dataclass(frozen=True)
class Law:
    """The distribution that each value of a parameter was drawn from.

    It speaks of all networks initialised in this way; the values speak of one of them. Values are
    independent, except within an orthogonal matrix.

    Attributes:
        family: Which distribution.
        mean: E[w].
        variance: Var(w) = E[(w - mean)^2].
        kurtosis: E[(w - mean)^4] / Var(w)^2: 3 for a normal law, 9/5 for a uniform one. For a
            constant it is 0/0 and taken as 1, the least value that any law has.
        fan_in: Inputs that one unit adds up, where the shape tells: 2 axes or more.
        fan_out: Units that one input reaches, likewise.
        scheme: The function of `nn.init` that drew, without its trailing underscore.
        draw: Values of this law in an array of the given shape, from the given generator.
    """

    family: Family
    mean: float
    variance: float
    kurtosis: float
    fan_in: int | None
    fan_out: int | None
    scheme: str
    draw: Draw = field(repr=False, compare=False)


class Parameter(Tensor):
    """A tensor that belongs to a module: assigned as an attribute, the module finds it.

    As torch.nn.Parameter. The values are copied; Python numbers become float32.

    Raises:
        DTypeError: `requires_grad` with a dtype that has no derivatives.
    """

    __slots__ = ("_drawn",)
    _drawn: tuple[Law, Node, int] | None

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad=requires_grad)
        self._drawn = None

    @property
    def law(self) -> Law | None:
        """The law `nn.init` drew the values from; None when it is unknown, or once the values
        come from elsewhere: trained, loaded, assigned, changed in place."""
        if self._drawn is None:
            return None
        law, node, tick = self._drawn
        return law if self.node is node and node.changed == tick else None

    @law.setter
    def law(self, law: Law | None) -> None:
        # An assignment advances the node's clock, and arithmetic in place rebinds the node: what
        # was noted here tells whether the values are still those that were drawn.
        self._drawn = None if law is None else (law, self.node, self.node.changed)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


def clear_grad(tensor: Tensor, set_to_none: bool = True) -> None:
    """Forget a gradient, or fill it with zeros."""
    if set_to_none:
        if tensor.node.grad is not None or tracing() is not None:
            tensor.grad = None
    elif tensor.grad is not None:
        tensor.grad = zeros_like(tensor)


def convert(tensor: Tensor, dtype: np.dtype[Any]) -> None:
    """Give a leaf another dtype in place, its gradient too. The values stay those that were drawn,
    so the law stays."""
    law = tensor.law if isinstance(tensor, Parameter) else None
    grad, tensor.node.grad = tensor.grad, None
    tensor.node.assign(tensor.node.data.astype(dtype))
    tensor.grad = None if grad is None else grad.detach().to(dtype)
    if isinstance(tensor, Parameter):
        tensor.law = law
