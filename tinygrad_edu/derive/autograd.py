"""`tg.autograd`: derivatives on demand, under torch.autograd's names."""

from __future__ import annotations

from typing import Any

from tinygrad_edu.derive import reverse, scalar
from tinygrad_edu.derive.check import gradcheck, gradgradcheck
from tinygrad_edu.derive.custom import Function
from tinygrad_edu.graph.modes import enable_grad, no_grad, set_grad_enabled
from tinygrad_edu.graph.value import Value

__all__ = [
    "Function",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "no_grad",
    "set_grad_enabled",
]


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> tuple[Any, ...]:
    """The gradients of `outputs` with respect to `inputs`, as torch.autograd.grad gives them.

    Outputs: one tensor or several (or Values); `grad_outputs` holds a cotangent for each that has
    more than one element. Inputs: any tensors (or Values) of the graph, leaves or not. With
    `create_graph` the results can be differentiated again. `retain_graph` is accepted for torch's
    sake: graphs are always retained here.

    Raises:
        GradientError: An input that no output depends on, unless `allow_unused`, which returns
            None for it; an output of several elements without a cotangent; one whose computation
            was not recorded.
    """
    first = outputs[0] if isinstance(outputs, list | tuple) and outputs else outputs
    if isinstance(first, Value):
        return scalar.grad_values(outputs, inputs, grad_outputs, create_graph, allow_unused)
    return reverse.grad(outputs, inputs, grad_outputs, create_graph, allow_unused)
