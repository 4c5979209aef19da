"""Functions that multiply and add: matrix products, their names for one rank each, distances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_edu.graph.reader import apply, as_tensor
from tinygrad_edu.graph.reduction import norm
from tinygrad_edu.ops.kinds import broadcast

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


def inner(a: Operand, b: Operand) -> Tensor:
    """The sums of products over the last axis of both; with a scalar, the product."""
    a, b = as_tensor(a), as_tensor(b)
    if not a.shape or not b.shape:
        return a * b
    if a.shape[-1] != b.shape[-1]:
        raise ShapeError(f"inner: {a.shape} and {b.shape}: the last axes must have one size.")
    rows = matmul(a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1]).mT)
    return rows.reshape(a.shape[:-1] + b.shape[:-1])


def kron(a: Operand, b: Operand) -> Tensor:
    """The Kronecker product: a with each element replaced by its product with b."""
    a, b = as_tensor(a), as_tensor(b)
    rank = max(a.ndim, b.ndim)
    left = (1,) * (rank - a.ndim) + a.shape
    right = (1,) * (rank - b.ndim) + b.shape
    spread = [n for size in left for n in (size, 1)], [n for size in right for n in (1, size)]
    product = a.reshape(spread[0]) * b.reshape(spread[1])
    return product.reshape([m * n for m, n in zip(left, right, strict=True)])


# ------------------------------------------------------------------------------ products added


def addmm(
    input: Operand, mat1: Operand, mat2: Operand, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2), of matrices; the input broadcasts. With beta 0 it does
    not count, whatever it holds."""
    return _plus_product("addmm", input, mm(mat1, mat2), beta, alpha)


def addmv(
    input: Operand, mat: Operand, vec: Operand, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """beta * input + alpha * (mat @ vec), of a matrix and a vector."""
    return _plus_product("addmv", input, mv(mat, vec), beta, alpha)


def addbmm(
    input: Operand, batch1: Operand, batch2: Operand, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """beta * input + alpha times the sum of the products of two stacks of matrices."""
    return _plus_product("addbmm", input, bmm(batch1, batch2).sum(0), beta, alpha)


def baddbmm(
    input: Operand, batch1: Operand, batch2: Operand, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """beta * input + alpha * bmm(batch1, batch2)."""
    return _plus_product("baddbmm", input, bmm(batch1, batch2), beta, alpha)


def _plus_product(name: str, input: Operand, product: Tensor, beta: float, alpha: float) -> Tensor:
    x = as_tensor(input)
    if broadcast(name, [x.shape, product.shape]) != product.shape:
        raise ShapeError(f"{name}: an input of shape {x.shape} does not fit {product.shape}.")
    if x.dtype != product.dtype:
        raise DTypeError(f"{name}: {x.dtype} and {product.dtype} do not mix; use .to().")
    scaled = product if alpha == 1 else alpha * product
    if beta == 0:
        return scaled
    return scaled + (x if beta == 1 else beta * x)


# ------------------------------------------------------------------------------ distances


def cdist(x1: Operand, x2: Operand, p: float = 2.0) -> Tensor:
    """The p-norm distances of every row of x1 (..., n, width) from every row of x2 (..., m, width):
    (..., n, m). Its gradient where two rows are equal is 0.

    The differences are formed, which takes n m width numbers; no digits are lost where rows are
    near each other.

    Raises:
        ShapeError: Operands that are no matrices of one width.
        ArgumentError: A negative p.
    """
    a, b = as_tensor(x1), as_tensor(x2)
    if not p >= 0:
        raise ArgumentError(f"cdist: p must be at least 0, got {p}.")
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-1]:
        raise ShapeError(
            f"cdist: {a.shape} and {b.shape} must be matrices, or stacks of them, whose rows have "
            "one length."
        )
    difference = a.unsqueeze(-2) - b.unsqueeze(-3)
    return norm(difference, p, -1) if a.shape[-1] else difference.sum(-1)


def dist(a: Operand, b: Operand, p: float = 2) -> Tensor:
    """The p-norm of a - b."""
    return norm(as_tensor(a) - as_tensor(b), p)


def _ranked(name: str, a: Operand, b: Operand, left: int, right: int) -> tuple[Tensor, Tensor]:
    """The operands, if they have so many axes."""
    a, b = as_tensor(a), as_tensor(b)
    if (a.ndim, b.ndim) != (left, right):
        raise ShapeError(
            f"{name}: {a.shape} and {b.shape}: the operands must have {left} and {right} axes; "
            "matmul, tensordot and einsum take others."
        )
    return a, b
