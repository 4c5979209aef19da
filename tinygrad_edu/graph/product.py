"""Functions that multiply and add: matrix products, and their names for one rank each."""

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


def dot(a: Operand, b: Operand) -> Tensor:
    """The sum of the products of two vectors."""
    return matmul(*_ranked("dot", a, b, 1, 1))


def mv(a: Operand, b: Operand) -> Tensor:
    """The product of a matrix and a vector."""
    return matmul(*_ranked("mv", a, b, 2, 1))


def mm(a: Operand, b: Operand) -> Tensor:
    """The product of two matrices."""
    return matmul(*_ranked("mm", a, b, 2, 2))


def bmm(a: Operand, b: Operand) -> Tensor:
    """The products of two equally long stacks of matrices."""
    left, right = _ranked("bmm", a, b, 3, 3)
    if left.shape[0] != right.shape[0]:
        raise ShapeError(
            f"bmm: {left.shape} and {right.shape}: the stacks must be equally long; matmul "
            "broadcasts."
        )
    return matmul(left, right)


def outer(a: Operand, b: Operand) -> Tensor:
    """The products of each element of one vector with each of another."""
    left, right = _ranked("outer", a, b, 1, 1)
    return left.reshape(-1, 1) * right


def _ranked(name: str, a: Operand, b: Operand, left: int, right: int) -> tuple[Tensor, Tensor]:
    """The operands, if they have so many axes."""
    a, b = as_tensor(a), as_tensor(b)
    if (a.ndim, b.ndim) != (left, right):
        raise ShapeError(
            f"{name}: {a.shape} and {b.shape}: the operands must have {left} and {right} axes; "
            "matmul, tensordot and einsum take others."
        )
    return a, b
