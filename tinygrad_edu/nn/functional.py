"""Layers and losses as functions, and the activations beside them: `torch.nn.functional`.

Losses take `reduction`: "mean", "sum", or "none" for one value each.
"""

from __future__ import annotations

from tinygrad_edu import ops
from tinygrad_edu.errors import ShapeError
from tinygrad_edu.graph.functions import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    as_tensor,
    avg_pool1d,
    avg_pool2d,
    celu,
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
    logsigmoid,
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
    where,
)
from tinygrad_edu.graph.reader import compose
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.nn.cross_entropy import cross_entropy, nll_loss
from tinygrad_edu.nn.distance import (
    cosine_embedding_loss,
    cosine_similarity,
    margin_ranking_loss,
    normalize,
    one_hot,
    pairwise_distance,
    triplet_margin_loss,
)
from tinygrad_edu.nn.dropout import dropout
from tinygrad_edu.nn.embedding import embedding
from tinygrad_edu.nn.normalization import batch_norm, group_norm, layer_norm, rms_norm
from tinygrad_edu.nn.pointwise_loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    hinge_embedding_loss,
    hinge_loss,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
    soft_margin_loss,
)

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "elu",
    "embedding",
    "flatten",
    "gelu",
    "group_norm",
    "hardswish",
    "hardtanh",
    "hinge_embedding_loss",
    "hinge_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "margin_ranking_loss",
    "max_pool1d",
    "max_pool2d",
    "mish",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "prelu",
    "relu",
    "relu6",
    "rms_norm",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
    "triplet_margin_loss",
]


def linear(x: Operand, weight: Operand, bias: Operand | None = None) -> Tensor:
    """x @ weight.mT + bias: x (..., in), weight (out, in), bias (out,), result (..., out)."""
    x, weight = as_tensor(x), as_tensor(weight)
    if bias is None:
        return matmul(x, weight.mT)
    bias = as_tensor(bias)
    a, w, b = x.node.data, weight.node.data, bias.node.data
    plain = len(a.shape) == len(w.shape) == 2 and a.shape[1:] + b.shape == w.shape[::-1]
    if plain and a.dtype == w.dtype == b.dtype:
        return compose(ops.linear, x, weight, bias)
    return matmul(x, weight.mT) + bias


def prelu(x: Operand, weight: Operand) -> Tensor:
    """x above 0, weight * x below. The weight is one number, or one for each channel (axis 1).

    Raises:
        ShapeError: Weights in another number than the channels.
    """
    x, weight = as_tensor(x), as_tensor(weight)
    if weight.numel() != 1:
        if weight.ndim != 1 or x.ndim < 2 or weight.shape[0] != x.shape[1]:
            raise ShapeError(
                f"prelu: weights of shape {weight.shape} for an input of shape {x.shape}; there is "
                "one, or one for each channel along axis 1."
            )
        weight = weight.reshape(-1, *[1] * (x.ndim - 2))
    return where(x > 0, x, weight.reshape(()) * x if weight.numel() == 1 else weight * x)
