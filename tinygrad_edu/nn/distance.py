"""Vectors compared: their lengths, angles and distances, and losses of these."""

from __future__ import annotations

import numpy as np

from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_edu.graph.functions import (
    as_tensor,
    broadcast_tensors,
    clamp,
    minimum,
    norm,
    sqrt,
    where,
)
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.nn.reduction import check_reduction, reduce


def normalize(input: Operand, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """The input over its p-norm along `dim`, or over eps where the norm is smaller."""
    x = as_tensor(input)
    return x / clamp(norm(x, p, dim, True), eps)


def cosine_similarity(x1: Operand, x2: Operand, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along `dim`: x1 . x2 / (|x1| |x2|), each length at
    least eps. Shapes broadcast."""
    unit1, unit2 = (normalize(x, 2.0, dim, eps) for x in broadcast_tensors(x1, x2))
    return (unit1 * unit2).sum(dim)


def pairwise_distance(
    x1: Operand, x2: Operand, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last axis; eps keeps the gradient finite where they are
    equal."""
    return norm(as_tensor(x1) - as_tensor(x2) + eps, p, -1, keepdim)


def one_hot(tensor: Operand, num_classes: int = -1) -> Tensor:
    """A new last axis with 1 at the place that each number names, else 0: int64.

    Args:
        tensor: Class numbers, integers from 0 on.
        num_classes: The size of the new axis; -1 for one more than the largest number.

    Raises:
        DTypeError: Numbers that are no integers.
        ArgumentError: A number outside 0 ... num_classes - 1, or none to count the classes by.
    """
    numbers = as_tensor(tensor)
    if numbers.dtype.kind not in "iu":
        raise DTypeError(f"one_hot: class numbers are integers, not {numbers.dtype}; use .long().")
    if num_classes < 0 or not numbers.node.is_abstract:
        values = numbers._values("one_hot without num_classes")
        if num_classes == 0 or (num_classes < 0 and not values.size):
            raise ArgumentError("one_hot: the number of classes cannot be 0; give num_classes.")
        highest = int(values.max(initial=0))
        if values.min(initial=0) < 0 or 0 < num_classes <= highest:
            raise ArgumentError(
                f"one_hot: class numbers run from {values.min()} to {values.max()}, but "
                f"{num_classes if num_classes > 0 else highest + 1} classes go from 0 to "
                f"{(num_classes if num_classes > 0 else highest + 1) - 1}."
            )
        num_classes = num_classes if num_classes > 0 else highest + 1
    return (numbers.unsqueeze(-1) == np.arange(num_classes)).long()


# ------------------------------------------------------------------------------ losses


def cosine_embedding_loss(
    input1: Operand,
    input2: Operand,
    target: Operand,
    margin: float = 0.0,
    *,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(input1, input2) where the target is 1, max(0, cos - margin) where it is -1; 0 for any
    other target, as in torch.

    Args:
        input1: Vectors (n, width), or one (width,).
        input2: As many.
        target: 1 or -1 for each pair, shape (n,) or ().
        margin: A cosine up to which vectors that do not belong together cost nothing.
        reduction: "mean", "sum" or "none".

    Raises:
        ShapeError: Other shapes. ArgumentError: Another reduction.
    """
    check_reduction("cosine_embedding_loss", reduction)
    a, b, target = as_tensor(input1), as_tensor(input2), as_tensor(target)
    if a.shape != b.shape or a.ndim not in (1, 2) or target.shape != a.shape[:-1]:
        raise ShapeError(
            f"cosine_embedding_loss: inputs {a.shape} and {b.shape} with target {target.shape}; "
            "they are (n, width), (n, width) and (n,), or (width,), (width,) and ()."
        )
    squares = ((a * a).sum(-1) + _LEAST_SQUARE) * ((b * b).sum(-1) + _LEAST_SQUARE)
    cosine = (a * b).sum(-1) / sqrt(squares)
    apart = where(target == -1, clamp(cosine - margin, 0), 0)
    return reduce(where(target == 1, 1 - cosine, apart), reduction)


_LEAST_SQUARE = 1e-12
"""torch's: added to the squared lengths, so that a zero vector has a cosine."""


def margin_ranking_loss(
    input1: Operand,
    input2: Operand,
    target: Operand,
    margin: float = 0.0,
    *,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin - target (input1 - input2)): the first should rank higher if the target is 1,
    the second if it is -1.

    Raises:
        ShapeError: Shapes that do not agree. ArgumentError: Another reduction.
    """
    check_reduction("margin_ranking_loss", reduction)
    a, b, target = as_tensor(input1), as_tensor(input2), as_tensor(target)
    if not a.shape == b.shape == target.shape:
        raise ShapeError(
            f"margin_ranking_loss: inputs {a.shape} and {b.shape} and target {target.shape} must "
            "have one shape."
        )
    return reduce(clamp(margin - target * (a - b), 0), reduction)


def triplet_margin_loss(
    anchor: Operand,
    positive: Operand,
    negative: Operand,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin + |anchor - positive| - |anchor - negative|), in the p-norm along the last
    axis. With `swap` the negative is as far as the nearer of anchor and positive (Balntas et al.
    2016).

    Raises:
        ArgumentError: margin <= 0, or another reduction.
    """
    check_reduction("triplet_margin_loss", reduction)
    if not margin > 0:
        raise ArgumentError(f"triplet_margin_loss: margin must be above 0, got {margin}.")
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduce(clamp(margin + near - far, 0), reduction)
