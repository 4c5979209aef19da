"""Functions that multiply and add: matrix products."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_edu import ops
from tinygrad_edu.errors import ShapeError
from tinygrad_edu.graph.reader import apply, as_tensor

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor


def matmul(a: Operand, b: Operand) -> Tensor:
    """The matrix product. Vectors become a row on the left, a column on the right; leading axes
    broadcast. Both operands need the same dtype."""
    a, b = as_tensor(a), as_tensor(b)
    if a.ndim > 1 and b.ndim > 1:
        return apply(ops.matmul, a, b)
    if not a.shape or not b.shape:
        raise ShapeError(
            f"matmul: {a.shape} @ {b.shape}: a scalar has no rows or columns; multiply with *."
        )
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ShapeError(
            f"matmul: {a.shape} @ {b.shape}: the last size of the left operand must equal the "
            f"{'second last' if b.ndim > 1 else 'only'} size of the right one."
        )
    left = a if a.ndim > 1 else a.reshape(1, -1)
    right = b if b.ndim > 1 else b.reshape(-1, 1)
    product = apply(ops.matmul, left, right)
    rows = product.shape[-2:-1] if a.ndim > 1 else ()
    columns = product.shape[-1:] if b.ndim > 1 else ()
    return product.reshape(product.shape[:-2] + rows + columns)
