"""Random numbers whose law is given by tensors: coins, dice, normal numbers.

All are computed of what `rand` and `randn` draw, so a compiled step draws new ones at each call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_edu.graph.creation import rand, randn
from tinygrad_edu.graph.functions import as_tensor, broadcast_tensors, cumsum, log, topk, where
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.ops import dtypes


def bernoulli(x: Operand, p: float | None = None) -> Tensor:
    """1 with probability x, else 0, for each element, in the dtype of x; with `p` that is the
    probability of all.

    Raises:
        ArgumentError: A probability outside [0, 1]. DTypeError: Probabilities that are no floats.
    """
    x = as_tensor(x)
    probability = x.detach() if p is None else as_tensor(np.float64(p))
    if not dtypes.is_float(probability.dtype):
        raise DTypeError(f"bernoulli: probabilities are floats, not {x.dtype}; give p for others.")
    if not probability.node.is_abstract and probability.numel():
        low, high = probability.node.data.min(), probability.node.data.max()
        if not (low >= 0 and high <= 1):
            raise ArgumentError(
                f"bernoulli: probabilities lie in [0, 1]; these run from {low} to {high}."
            )
    return (rand(x.shape, dtype=dtypes.float64) < probability).to(x.dtype)


def multinomial(x: Operand, num_samples: int, replacement: bool = False) -> Tensor:
    """`num_samples` class numbers for each row of weights, each drawn with a probability in
    proportion to its weight: int64, (rows, num_samples), or (num_samples,) for one row.

    Without `replacement` no class is drawn twice: the classes with the least E_i / w_i are taken,
    E_i being exponentially distributed (Efraimidis and Spirakis 2006).

    Raises:
        ShapeError: More than two axes. DTypeError: Weights that are no floats.
        ArgumentError: A weight that is negative or not finite, a row of zeros, or more samples than
            there are classes with a weight.
    """
    weights = as_tensor(x).detach()
    if weights.ndim not in (1, 2):
        raise ShapeError(f"multinomial: weights are one row or several, not {weights.shape}.")
    if not dtypes.is_float(weights.dtype):
        raise DTypeError(f"multinomial: weights are floats, not {weights.dtype}; use .float().")
    _check_weights(weights, num_samples, replacement)
    weights = weights.double()
    if not replacement:
        waiting = -log(1 - rand(weights.shape, dtype=dtypes.float64))
        possible = weights > 0
        order = where(possible, waiting / where(possible, weights, 1), np.inf)
        return topk(order, num_samples, -1, largest=False).indices
    edges = cumsum(weights, -1)
    total = edges[..., -1:]
    drawn = rand((*weights.shape[:-1], num_samples), dtype=dtypes.float64) * total
    return (edges.unsqueeze(-2) <= drawn.unsqueeze(-1)).sum(-1)


def _check_weights(weights: Tensor, samples: int, replacement: bool) -> None:
    if samples < 1:
        raise ArgumentError(f"multinomial: needs at least one sample, not {samples}.")
    classes = weights.shape[-1]
    if not replacement and samples > classes:
        raise ArgumentError(
            f"multinomial: {samples} samples of {classes} classes without replacement; pass "
            "replacement=True."
        )
    if weights.node.is_abstract:
        return
    values = weights.node.data
    if not np.isfinite(values).all() or (values < 0).any():
        raise ArgumentError("multinomial: weights are finite and not negative.")
    enough = 1 if replacement else samples
    if ((values > 0).sum(-1) < enough).any():
        raise ArgumentError(
            f"multinomial: a row has fewer than {enough} classes with a weight above 0."
        )


def normal(
    mean: Operand = 0.0, std: Operand = 1.0, size: Sequence[int] | None = None, dtype: Any = None
) -> Tensor:
    """Independent normal numbers with these means and standard deviations, which broadcast; or, of
    two numbers, as many as `size` says.

    Raises:
        ArgumentError: Two numbers without a size, or a negative standard deviation.
    """
    if size is None and not (hasattr(mean, "dtype") or hasattr(std, "dtype")):
        raise ArgumentError("normal: of two numbers it needs a size.")
    spread = as_tensor(std).detach()
    if not spread.node.is_abstract and (spread.node.data < 0).any():
        raise ArgumentError("normal: a standard deviation is not negative.")
    if size is not None:
        return randn(tuple(size), dtype=dtype) * std + mean
    like = mean if hasattr(mean, "dtype") else std
    centre, spread = broadcast_tensors(as_tensor(mean).detach(), spread)
    kind = dtype or as_tensor(like).dtype
    return (centre + spread * randn(centre.shape, dtype=kind)).to(kind)
