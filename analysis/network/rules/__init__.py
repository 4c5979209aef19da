"""Propagation rules, one file a kind of layer; importing this package enters them in the tables."""

from analysis.network.rules import (
    conv,
    dense,
    dense_backward,
    dropout,
    elementwise,
    joins,
    known,
    layout,
    linear,
    norm,
    pool,
    slopes,
    softmax,
)

__all__ = [
    "conv",
    "dense",
    "dense_backward",
    "dropout",
    "elementwise",
    "joins",
    "known",
    "layout",
    "linear",
    "norm",
    "pool",
    "slopes",
    "softmax",
]
