"""Bilinear ops: products of two operands, each beside its two transposes."""

from __future__ import annotations

import numpy as np

from tinygrad_edu.errors import DTypeError, ShapeError
from tinygrad_edu.ops.kinds import bilinear, broadcast
from tinygrad_edu.ops.silence import silently


def _matmul_shape(a, b):
    if len(a.shape) < 2 or len(b.shape) < 2 or a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"matmul: {tuple(a.shape)} @ {tuple(b.shape)}: the last size of the left operand must "
            "equal the second last of the right one. For weights stored (out, in) write x @ w.mT."
        )
    if a.dtype != b.dtype:
        raise DTypeError(
            f"matmul: {a.dtype} @ {b.dtype}: both operands need the same dtype; convert one with "
            f".to({a.dtype.name!r}) (a model: model.to({a.dtype.name!r}))."
        )
    return (*broadcast("matmul", [a.shape[:-2], b.shape[:-2]]), a.shape[-2], b.shape[-1])


def _swap(m, x):
    """The matrix transpose of the last two axes."""
    n = len(x.shape)
    return m.permute(x, axes=(*range(n - 2), n - 1, n - 2))


@bilinear(
    shape=_matmul_shape,
    left=lambda m, g, a, b: m.matmul(g, _swap(m, b)),
    right=lambda m, g, a, b: m.matmul(_swap(m, a), g),
)
def matmul(a, b):
    """The matrix product over the last two axes; leading axes broadcast."""
    if a.dtype != b.dtype:
        _matmul_shape(a, b)
    return silently(np.matmul, a, b)
