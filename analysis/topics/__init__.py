"""The derivations, one lecture topic a file.

`REGISTRY` says where each one is written; nothing is imported before it is asked for.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from analysis.errors import UnknownDerivation, no_such

if TYPE_CHECKING:
    from analysis.symbolic.derivation import Derivation

REGISTRY = {
    "product-variance": "product:product_variance",
    "dense-forward": "dense:dense_forward",
    "dense-backward": "dense:dense_backward",
    "lecun": "glorot:lecun",
    "glorot": "glorot:glorot",
    "he": "he:he",
    # inputs and identical units
    "batch-mean": "batch_statistics:batch_mean",
    "same-sign-gradients": "zigzag:same_sign_gradients",
    "zig-zag": "zigzag:zig_zag",
    "identical-units": "identical_units:identical_units",
    "dead-units": "finite_width:dead_units",
    # activations and weights
    "tanh-loss": "saturating:tanh_loss",
    "sigmoid": "saturating:sigmoid",
    "selu": "selu:selu",
    "torch-default": "weight_laws:torch_default",
    "truncated-normal": "weight_laws:truncated_normal",
    # finite width
    "finite-width": "finite_width:finite_width",
    "weight-kurtosis": "finite_width:weight_kurtosis",
    "orthogonal": "finite_width:orthogonal",
    "log-norm": "finite_width:log_norm",
    # depth
    "price-theorem": "kernels:price_theorem",
    "arccosine-kernel": "kernels:arccosine_kernel",
    "arcsine-kernel": "kernels:arcsine_kernel",
    "edge-of-chaos": "edge_of_chaos:edge_of_chaos",
    "residual": "residual:residual",
    "residual-normalised": "residual:residual_normalised",
    # convolution and pooling
    "conv-padding": "convolution:conv_padding",
    "average-pooling": "pooling:average_pooling",
    "max-pooling": "pooling:max_pooling",
    # normalisation
    "standardisation": "batchnorm:standardisation",
    "batchnorm": "batchnorm:batchnorm",
    "gaussian-poincare": "batchnorm_depth:gaussian_poincare",
    "batchnorm-depth": "batchnorm_depth:batchnorm_depth",
    "batchnorm-finite-batch": "batchnorm_depth:batchnorm_finite_batch",
    "batch-variance": "batch_statistics:batch_variance",
    "moving-average": "batch_statistics:moving_average",
    "weight-decay-under-batchnorm": "weight_decay:weight_decay_under_batchnorm",
    "layernorm": "layernorm:layernorm",
    "groupnorm": "layernorm:groupnorm",
    "rmsnorm": "layernorm:rmsnorm",
    "dropout": "dropout:dropout",
    "variance-shift": "dropout:variance_shift",
}
"""Name of the derivation -> module in this package, and function without arguments."""


def derivations() -> tuple[str, ...]:
    """The names that `derive` knows, in reading order."""
    return tuple(REGISTRY)


@lru_cache
def derive(name: str) -> Derivation:
    """The derivation of that name, every step of it checked.

    Raises:
        UnknownDerivation: there is none; the message lists close names.
    """
    if name not in REGISTRY:
        raise UnknownDerivation(no_such("derivation", name, REGISTRY))
    module, function = REGISTRY[name].split(":")
    derivation: Derivation = getattr(import_module(f"{__name__}.{module}"), function)()
    return derivation
