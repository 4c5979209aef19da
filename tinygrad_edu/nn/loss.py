"""Losses as modules; what they compute is in `nn.functional`."""

from __future__ import annotations

from tinygrad_edu.graph.functions import as_tensor
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.nn import functional
from tinygrad_edu.nn.module import Module
from tinygrad_edu.nn.reduction import check_reduction


class _Loss(Module):
    """What losses share: the reduction."""

    def __init__(self, reduction: str = "mean") -> None:
        check_reduction(type(self).__name__, reduction)
        self.reduction = reduction


class CrossEntropyLoss(_Loss):
    """-log softmax(scores) at the target class; see `functional.cross_entropy` for the shapes.

    Args:
        weight: A factor for each class, kept as a buffer.
        ignore_index: Targets equal to it cost nothing.
        reduction: "mean", "sum" or "none".
        label_smoothing: The share of the target spread over all classes.

    Raises:
        ArgumentError: Another reduction. Called: as `functional.cross_entropy`.
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Operand | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", None if weight is None else as_tensor(weight).detach())
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Operand, target: Operand) -> Tensor:
        """Scores (n, classes, ...) and class numbers (n, ...), or probabilities, to the loss."""
        return functional.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class MSELoss(_Loss):
    """(input - target)^2, for input and target of one shape."""

    def forward(self, input: Operand, target: Operand) -> Tensor:
        """Both of one shape; see `functional.mse_loss`."""
        return functional.mse_loss(input, target, self.reduction)


class HingeLoss(_Loss):
    """max(0, 1 - target * score), for targets -1 and +1 in the shape of the scores."""

    def forward(self, input: Operand, target: Operand) -> Tensor:
        """Both of one shape; see `functional.hinge_loss`."""
        return functional.hinge_loss(input, target, self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Cross-entropy of two classes from one score each; see
    `functional.binary_cross_entropy_with_logits`. `weight` and `pos_weight` are buffers."""

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Operand | None = None,
        *,
        reduction: str = "mean",
        pos_weight: Operand | None = None,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", None if weight is None else as_tensor(weight))
        self.register_buffer("pos_weight", None if pos_weight is None else as_tensor(pos_weight))

    def forward(self, input: Operand, target: Operand) -> Tensor:
        """Scores and targets in [0, 1], both of one shape."""
        return functional.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )
