"""Layers and losses as functions, and the activations beside them: `torch.nn.functional`.

Losses take `reduction`: "mean", "sum", or "none" for one value each.
"""

from __future__ import annotations

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, ShapeError
from tinygrad_edu.graph.functions import (
    as_tensor,
    avg_pool1d,
    avg_pool2d,
    conv1d,
    conv2d,
    conv_transpose1d,
    conv_transpose2d,
    elu,
    flatten,
    gelu,
    hardswish,
    hardtanh,
    leaky_relu,
    log_softmax,
    matmul,
    max_pool1d,
    max_pool2d,
    mish,
    pad,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
    tanh,
)
from tinygrad_edu.graph.reader import compose
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.nn.cross_entropy import cross_entropy
from tinygrad_edu.nn.dropout import dropout
from tinygrad_edu.nn.embedding import embedding
from tinygrad_edu.nn.normalization import batch_norm, group_norm, layer_norm, rms_norm
from tinygrad_edu.nn.reduction import check_reduction, reduce

__all__ = [
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "elu",
    "embedding",
    "flatten",
    "gelu",
    "group_norm",
    "hardswish",
    "hardtanh",
    "hinge_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool1d",
    "max_pool2d",
    "mish",
    "mse_loss",
    "pad",
    "relu",
    "relu6",
    "rms_norm",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
]


def linear(x: Operand, weight: Operand, bias: Operand | None = None) -> Tensor:
    """x @ weight.mT + bias: x (..., in), weight (out, in), bias (out,), result (..., out)."""
    x, weight = as_tensor(x), as_tensor(weight)
    if bias is None:
        return matmul(x, weight.mT)
    bias = as_tensor(bias)
    a, w, b = x.node.data, weight.node.data, bias.node.data
    if len(a.shape) == len(w.shape) == 2 and len(b.shape) == 1 and a.dtype == w.dtype == b.dtype:
        return compose(ops.linear, x, weight, bias)
    return matmul(x, weight.mT) + bias


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
    if not target.node.is_abstract and target.numel():
        low, high = target.node.data.min(), target.node.data.max()
        if low < 0 or high > 1:
            raise ArgumentError(f"{name}: targets lie in [0, 1]; these run from {low} to {high}.")
    target = target.to(input.dtype)
    # -log p = softplus(-input), -log(1 - p) = softplus(-input) + input
    positive = 1 if pos_weight is None else 1 + (as_tensor(pos_weight) - 1) * target
    losses = (1 - target) * input + positive * softplus(-input)
    return reduce(losses if weight is None else losses * weight, reduction)


def _pair(name: str, input: Operand, target: Operand, reduction: str) -> tuple[Tensor, Tensor]:
    check_reduction(name, reduction)
    input, target = as_tensor(input), as_tensor(target)
    if input.shape != target.shape:
        raise ShapeError(
            f"{name}: the input has shape {input.shape}, the target {target.shape}; they must "
            "agree. An axis of size 1 goes with .squeeze(-1) and comes with .unsqueeze(-1)."
        )
    return input, target
