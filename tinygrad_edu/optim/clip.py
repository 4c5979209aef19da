"""Limiting the size of gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from tinygrad_edu.errors import ArgumentError, GradientError
from tinygrad_edu.graph.creation import tensor
from tinygrad_edu.graph.tensor import Tensor

MARGIN = 1e-6
"""torch's: added to the norm it divides by, so that a zero gradient stays zero."""


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients by one factor so that their common norm is at most `max_norm`.

    The norm is that of all gradients as one vector, ``norm_type=math.inf`` the largest magnitude.
    Pascanu et al. 2013. Returns the norm before scaling, a tensor of shape (); 0 without gradients.

    Raises:
        ArgumentError: max_norm < 0, or norm_type <= 0.
        GradientError: The norm is infinite or NaN, and `error_if_nonfinite`; nothing is scaled.
    """
    if not max_norm >= 0 or not norm_type > 0:
        raise ArgumentError(
            f"clip_grad_norm_: needs max_norm >= 0 and norm_type > 0, got {max_norm}, {norm_type}."
        )
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    graded = [(p, p.grad.node.data) for p in listed if p.grad is not None]
    norms = [np.linalg.norm(g.ravel().astype(np.float64), norm_type) for _, g in graded]
    # A Python float, which leaves each gradient its dtype.
    total = float(np.linalg.norm(norms, norm_type)) if norms else 0.0
    if error_if_nonfinite and not math.isfinite(total):
        raise GradientError(f"clip_grad_norm_: the gradients have norm {total}.")
    scale = min(max_norm / (total + MARGIN), 1.0)
    if scale != 1:
        with np.errstate(invalid="ignore"):  # of an infinite gradient, 0 * inf: NaN, as in torch
            for p, g in graded:
                p.grad = tensor(g * scale)
    return tensor(total, graded[0][1].dtype if graded else None)
