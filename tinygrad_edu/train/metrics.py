"""What is measured beside the loss, and which loss fits which targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tinygrad_edu.errors import ShapeError
from tinygrad_edu.graph.node import tracing
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.nn import functional

Loss = Callable[[Any, Any], Tensor]
"""(outputs, targets) to a tensor of one element."""
Metric = Callable[[Any, Any], float]
"""(outputs, targets) to the mean over the examples of a batch."""


def accuracy(outputs: Tensor, targets: Tensor) -> float:
    """The share of outputs on the right side.

    Scores (n, classes, ...) are right where the largest is that of the target class (n, ...);
    scores in the shape of the targets are right where they are positive just when the target is.

    Raises:
        ShapeError: The targets have another shape than these two.
    """
    if outputs.shape == targets.shape:
        right = (outputs > 0) == (targets > 0)
    elif outputs.shape[:1] + outputs.shape[2:] == targets.shape:
        right = outputs.argmax(1) == targets
    else:
        raise ShapeError(
            f"accuracy: outputs of shape {outputs.shape} do not belong to targets of shape "
            f"{targets.shape}; they need a class axis after the first, or the targets' shape."
        )
    if tracing() is not None:  # a number to be read after each step
        return right.double().mean()  # type: ignore[return-value]
    return float(right.node.data.mean())


def default_loss(targets: Tensor) -> Loss:
    """Cross-entropy for class numbers, the mean squared error for measured values."""
    return functional.cross_entropy if _are_classes(targets) else functional.mse_loss


def default_metrics(targets: Tensor) -> Mapping[str, Metric]:
    """The accuracy for class numbers, nothing for measured values."""
    return {"accuracy": accuracy} if _are_classes(targets) else {}


def _are_classes(targets: Tensor) -> bool:
    return targets.dtype.kind in "iu"
