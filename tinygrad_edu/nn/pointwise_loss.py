"""Losses of an input and a target of one shape: a cost for each pair of elements, then reduced."""

from __future__ import annotations

import math

from tinygrad_edu.errors import ArgumentError, ShapeError
from tinygrad_edu.graph.functions import abs as magnitude
from tinygrad_edu.graph.functions import as_tensor, clamp, exp, log, log1p, relu, softplus, where
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.nn.reduction import check_reduction, reduce


def mse_loss(input: Operand, target: Operand, reduction: str = "mean") -> Tensor:
    """(input - target)^2.

    Raises:
        ShapeError: The shapes differ. (torch broadcasts them with a warning: (n, 1) against (n,)
            is then an n x n table of differences.)
        ArgumentError: Another reduction.
    """
    input, target = _pair("mse_loss", input, target, reduction)
    difference = input - target
    return reduce(difference * difference, reduction)


def l1_loss(input: Operand, target: Operand, reduction: str = "mean") -> Tensor:
    """|input - target|; its gradient at 0 is 0.

    Raises:
        ShapeError: The shapes differ. ArgumentError: Another reduction.
    """
    input, target = _pair("l1_loss", input, target, reduction)
    return reduce(magnitude(input - target), reduction)


def smooth_l1_loss(
    input: Operand, target: Operand, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """d^2 / (2 beta) for a difference |d| < beta, |d| - beta / 2 beyond. Girshick 2015, eq. 3.
    With beta 0 it is the `l1_loss`.

    Raises:
        ShapeError: The shapes differ. ArgumentError: A negative beta, or another reduction.
    """
    if not beta >= 0:
        raise ArgumentError(f"smooth_l1_loss: beta must be at least 0, got {beta}.")
    input, target = _pair("smooth_l1_loss", input, target, reduction)
    if beta == 0:
        return l1_loss(input, target, reduction)
    difference = input - target
    size = magnitude(difference)
    near = difference * difference * (0.5 / beta)
    return reduce(where(size < beta, near, size - 0.5 * beta), reduction)


def huber_loss(
    input: Operand, target: Operand, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """d^2 / 2 for a difference |d| <= delta, delta (|d| - delta / 2) beyond: delta times the
    `smooth_l1_loss` of that beta. Huber 1964.

    Raises:
        ShapeError: The shapes differ. ArgumentError: delta <= 0, or another reduction.
    """
    if not delta > 0:
        raise ArgumentError(f"huber_loss: delta must be above 0, got {delta}.")
    input, target = _pair("huber_loss", input, target, reduction)
    difference = input - target
    size = magnitude(difference)
    near = 0.5 * (difference * difference)
    return reduce(where(size <= delta, near, delta * (size - 0.5 * delta)), reduction)


def hinge_loss(input: Operand, target: Operand, reduction: str = "mean") -> Tensor:
    """max(0, 1 - target * input), with targets -1 and +1: 0 beyond a margin of 1. Its gradient at
    the margin is 0. (torch has no function of this name; its hinge_embedding_loss is another.)

    Raises:
        ShapeError: The shapes differ.
        ArgumentError: A target other than -1 and +1, or another reduction.
    """
    input, target = _pair("hinge_loss", input, target, reduction)
    if not target.node.is_abstract:
        _check_signs(target)
    return reduce(relu(1 - target * input), reduction)


def _check_signs(target: Tensor) -> None:
    labels = target.node.data
    if not (abs(labels) == 1).all():
        raise ArgumentError(
            f"hinge_loss: targets are -1 and +1; these run from {labels.min()} to {labels.max()}. "
            "Labels 0 and 1 become signs by 2 * y - 1."
        )


def binary_cross_entropy(
    input: Operand,
    target: Operand,
    weight: Operand | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """-(target log p + (1 - target) log(1 - p)) of probabilities p. Of scores, use
    `binary_cross_entropy_with_logits`, which loses no digits.

    As in torch a logarithm is at least -100, and where p is 0 or 1 it has slope 1e12, so that an
    answer that is wrong and certain still gets a gradient.

    Args:
        input: Probabilities p, of any shape.
        target: Probabilities in that shape, or labels 0 and 1.
        weight: A factor for each value; broadcasts.
        reduction: "mean" divides by the number of values.

    Raises:
        ShapeError: The shapes differ.
        ArgumentError: An input or target outside [0, 1], or another reduction.
    """
    name = "binary_cross_entropy"
    input, target = _pair(name, input, target, reduction)
    _check_probabilities(name, "inputs", input)
    _check_probabilities(name, "targets", target)
    target = target.to(input.dtype)
    no_less = where(input <= _LOG_FLOOR_AT, _SLOPE_AT_0 * input - _LOG_FLOOR, _safe_log(input))
    rest = 1 - input
    no_more = where(rest <= _LOG_FLOOR_AT, _SLOPE_AT_0 * rest - _LOG_FLOOR, _safe_log1p(-input))
    losses = -(target * no_less + (1 - target) * no_more)
    return reduce(losses if weight is None else losses * weight, reduction)


_LOG_FLOOR = 100.0
_LOG_FLOOR_AT = math.exp(-_LOG_FLOOR)
_SLOPE_AT_0 = 1e12
"""torch's: the lowest logarithm, negated, and 1 over the least p (1 - p) that it divides gradients
by."""


def _safe_log(p: Tensor) -> Tensor:
    """log p, without an infinite derivative where it is not used."""
    return log(where(p <= _LOG_FLOOR_AT, 1, p))


def _safe_log1p(x: Tensor) -> Tensor:
    """log(1 + x), likewise."""
    return log1p(where(1 + x <= _LOG_FLOOR_AT, 0, x))


def binary_cross_entropy_with_logits(
    input: Operand,
    target: Operand,
    weight: Operand | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Operand | None = None,
) -> Tensor:
    """-(target log p + (1 - target) log(1 - p)) with p = sigmoid(input), without overflow.

    Args:
        input: Scores (logits) of any shape.
        target: Probabilities in that shape, or labels 0 and 1.
        weight: A factor for each value; broadcasts.
        reduction: As above; "mean" divides by the number of values.
        pos_weight: A factor for the first term alone; broadcasts.

    Raises:
        ShapeError: The shapes differ.
        ArgumentError: A target outside [0, 1], or another reduction.
    """
    name = "binary_cross_entropy_with_logits"
    input, target = _pair(name, input, target, reduction)
    _check_probabilities(name, "targets", target)
    target = target.to(input.dtype)
    # -log p = softplus(-input), -log(1 - p) = softplus(-input) + input
    positive = 1 if pos_weight is None else 1 + (as_tensor(pos_weight) - 1) * target
    losses = (1 - target) * input + positive * softplus(-input)
    return reduce(losses if weight is None else losses * weight, reduction)


def kl_div(
    input: Operand, target: Operand, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """target (log target - input): how far log-probabilities `input` are from those of `target`.
    Where the target is 0 that is 0. Summed over a distribution it is the Kullback-Leibler
    divergence; divide by the number of distributions with reduction "batchmean".

    Args:
        input: Log-probabilities.
        target: Probabilities in that shape, or their logarithms if `log_target`.
        reduction: "mean", "sum", "none", or "batchmean": the sum over the first axis' size.
        log_target: Whether the target is given as logarithms.

    Raises:
        ShapeError: The shapes differ. ArgumentError: Another reduction.
    """
    batch_mean = reduction == "batchmean"
    input, target = _pair("kl_div", input, target, "sum" if batch_mean else reduction)
    if log_target:
        losses = exp(target) * (target - input)
    else:
        present = target != 0
        logarithm = log(where(present, target, 1))
        losses = where(present, target * logarithm, 0) - target * input
    if batch_mean:
        return losses.sum() / max(input.shape[0] if input.shape else 1, 1)
    return reduce(losses, reduction)


def soft_margin_loss(input: Operand, target: Operand, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-target * input)), with targets -1 and +1: without the overflow of the formula.

    Raises:
        ShapeError: The shapes differ. ArgumentError: Another reduction.
    """
    input, target = _pair("soft_margin_loss", input, target, reduction)
    return reduce(softplus(-target * input), reduction)


def hinge_embedding_loss(
    input: Operand, target: Operand, margin: float = 1.0, *, reduction: str = "mean"
) -> Tensor:
    """The input (a distance) where the target is 1, max(0, margin - input) where it is -1.

    Raises:
        ShapeError: The shapes differ. ArgumentError: Another reduction.
    """
    input, target = _pair("hinge_embedding_loss", input, target, reduction)
    apart = where(target != 1, clamp(margin - input, 0), 0)
    together = where(target != -1, input, 0)
    return reduce(apart + together, reduction)


def _check_probabilities(name: str, what: str, p: Tensor) -> None:
    if p.node.is_abstract or not p.numel():
        return
    low, high = p.node.data.min(), p.node.data.max()
    if not (low >= 0 and high <= 1):
        signs = " Labels -1 and +1 become 0 and 1 by (y + 1) / 2." if low == -1 == -high else ""
        raise ArgumentError(f"{name}: {what} lie in [0, 1]; these run from {low} to {high}.{signs}")


def _pair(name: str, input: Operand, target: Operand, reduction: str) -> tuple[Tensor, Tensor]:
    check_reduction(name, reduction)
    input, target = as_tensor(input), as_tensor(target)
    if input.shape != target.shape:
        raise ShapeError(
            f"{name}: the input has shape {input.shape}, the target {target.shape}; they must "
            "agree. An axis of size 1 goes with .squeeze(-1) and comes with .unsqueeze(-1)."
        )
    return input, target
