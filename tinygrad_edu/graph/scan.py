"""Functions that run along an axis and keep what they have so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_edu import ops
from tinygrad_edu.graph.axes import numpy_names, one_axis
from tinygrad_edu.graph.layout import distinct
from tinygrad_edu.graph.reader import apply, graph_reader
from tinygrad_edu.graph.reduction import accumulated
from tinygrad_edu.ops import composite

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor


@numpy_names
def cumsum(x: Operand, dim: int, *, dtype: Any = None) -> Tensor:
    """The sum along `dim` of each element and all before it; bool and int32 add up as int64."""
    x = accumulated(x, dtype)
    axis = one_axis("cumsum", x.shape, dim)
    y = apply(ops.cumsum, x, axis=axis, reverse=False) if x.shape else x
    return distinct(y, x)


@numpy_names
def cumprod(x: Operand, dim: int, *, dtype: Any = None) -> Tensor:
    """The product along `dim` of each element and all before it; bool and int32 multiply as int64.
    Its derivatives of every order are exact where factors are 0."""
    x = accumulated(x, dtype)
    axis = one_axis("cumprod", x.shape, dim)
    y = composite.cumprod(graph_reader(x.dtype), x, axis) if x.shape else x
    return distinct(y, x)
