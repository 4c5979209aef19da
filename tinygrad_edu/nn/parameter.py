"""`Parameter`: a tensor that a module trains, and the law its values were drawn from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.graph.axes import whole
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
        fan_in: Inputs that one unit adds up, if it is a weight (see `fans`).
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

    Args:
        data: The values.
        requires_grad: Whether it is trained.
        groups: Of a convolution's weight: into how many groups its channels are divided. The shape
            does not tell, and the fans depend on it.
        transposed: Whether it is the weight (in, out / groups, *kernel) of a transposed
            convolution.

    Raises:
        DTypeError: `requires_grad` with a dtype that has no derivatives.
    """

    __slots__ = ("_drawn", "groups", "transposed")
    _drawn: tuple[Law, Node, int] | None

    def __init__(
        self,
        data: Any,
        requires_grad: bool = True,
        *,
        groups: int = 1,
        transposed: bool = False,
    ) -> None:
        super().__init__(data, requires_grad=requires_grad)
        self._drawn = None
        self.groups = groups
        self.transposed = transposed

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


def fans(
    weight: Tensor | Shape, groups: int | None = None, transposed: bool | None = None
) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight: how many inputs one unit adds up, and how many units one input
    reaches. Every position of the kernel counts, whatever its dilation.

    The shape is (out, in), or (out, in / groups, *kernel) for a convolution, or (in, out / groups,
    *kernel) for a transposed one. In both an input reaches the units of its own group alone.
    (torch counts those of all groups, and reads a transposed weight as if it were none.)

    With a stride, these are the fans of the convolution before outputs are left out: on average one
    input of a convolution of stride s along each of d axes reaches fan_out / s^d units, and one
    unit of a transposed one adds up fan_in / s^d inputs.

    Args:
        weight: A tensor or its shape.
        groups: None: those of a `Parameter`, else 1.
        transposed: None: as a `Parameter` says, else False.

    Raises:
        ArgumentError: Fewer than two axes, a fan of 0, or groups that do not divide the first axis.
    """
    own = weight if isinstance(weight, Parameter) else None
    shape = weight.shape if isinstance(weight, Tensor) else tuple(weight)
    if len(shape) < 2:
        raise ArgumentError(
            f"fans: shape {shape} has no fan_in and fan_out; a weight has shape (out, in) or "
            "(out, in, *kernel). Use normal_ or uniform_ for vectors."
        )
    if min(shape) == 0:
        raise ArgumentError(f"fans: shape {shape} has a fan of 0; every size must be at least 1.")
    if groups is None:
        groups = own.groups if own is not None else 1
    first, second, *kernel = shape
    if whole(groups) < 1 or first % groups:
        raise ArgumentError(f"fans: {groups} groups do not divide the first axis of {shape}.")
    field = math.prod(kernel)
    ahead, behind = first // groups * field, second * field
    if transposed is None:
        transposed = own is not None and own.transposed
    return (ahead, behind) if transposed else (behind, ahead)


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
