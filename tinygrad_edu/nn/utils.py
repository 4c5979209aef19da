"""Gradients kept small, and parameters as one vector: what torch has in `nn.utils`."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable

import numpy as np

from tinygrad_edu.errors import ArgumentError, DTypeError, GradientError, ShapeError, TraceError
from tinygrad_edu.graph import functions, modes
from tinygrad_edu.graph.creation import tensor
from tinygrad_edu.graph.lines import users_line
from tinygrad_edu.graph.node import tracing
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
    if not all(isinstance(n, numbers.Real) for n in (max_norm, norm_type)) or not (
        max_norm >= 0 and norm_type > 0
    ):
        raise ArgumentError(
            f"clip_grad_norm_: needs max_norm >= 0 and norm_type > 0, got {max_norm!r}, "
            f"{norm_type!r}."
        )
    listed = _listed("clip_grad_norm_", parameters)
    if tracing() is not None:
        return _clip_traced(listed, max_norm, norm_type, error_if_nonfinite)
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


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clamp each element of all gradients to [-clip_value, clip_value].

    Raises:
        ArgumentError: clip_value < 0.
    """
    if not isinstance(clip_value, numbers.Real) or not clip_value >= 0:
        raise ArgumentError(f"clip_grad_value_: needs clip_value >= 0, got {clip_value!r}.")
    with modes.no_grad():
        for p in _listed("clip_grad_value_", parameters):
            if p.grad is not None:
                p.grad = functions.clamp(p.grad.detach(), -clip_value, clip_value)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of the parameters, one after the other, shape (n,); differentiable."""
    listed = _listed("parameters_to_vector", parameters)
    if not listed:
        raise ArgumentError("parameters_to_vector: no parameters.")
    return functions.cat([p.reshape(-1) for p in listed])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give the parameters their values from a vector made by `parameters_to_vector`.

    Raises:
        ShapeError: It does not have exactly as many elements as they; none is changed.
    """
    listed = _listed("vector_to_parameters", parameters)
    needed = sum(p.numel() for p in listed)
    if tuple(vec.shape) != (needed,):
        raise ShapeError(
            f"vector_to_parameters: the parameters have {needed} elements, the vector's shape is "
            f"{tuple(vec.shape)}."
        )
    start = 0
    for p in listed:
        values = vec.detach()[start : start + p.numel()]
        p.data = values.reshape(*p.shape).to(p.dtype)
        start += p.numel()


def _listed(name: str, parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    if isinstance(parameters, Tensor) or not isinstance(parameters, Iterable):
        parameters = (parameters,)
    listed = list(parameters)
    for p in listed:
        if not isinstance(p, Tensor):
            raise DTypeError(
                f"{name}: got a {type(p).__name__} where tensors are needed; of a model, pass "
                "model.parameters()."
            )
    return listed


def _clip_traced(
    parameters: list[Tensor], max_norm: float, norm_type: float, error_if_nonfinite: bool
) -> Tensor:
    """The same in ops, for a step that is compiled: without decisions on values."""
    if error_if_nonfinite:
        raise TraceError(
            "clip_grad_norm_: a compiled step cannot raise an error because of a value; leave out "
            f"error_if_nonfinite and look at the norm that is returned.\n{users_line()}"
        )
    graded = [(p, p.grad.detach()) for p in parameters if p.grad is not None]
    if not graded:
        return tensor(0.0)
    with modes.no_grad():
        flat = [functions.norm(g.double().reshape(-1), norm_type) for _, g in graded]
        total = functions.norm(functions.stack(flat), norm_type)
        scale = functions.minimum(max_norm / (total + MARGIN), 1.0)
        for p, g in graded:
            p.grad = g * scale.to(g.dtype)
        return total.to(graded[0][1].dtype)
