"""Losses as modules; what they compute is in `nn.functional`."""

from __future__ import annotations

from dataclasses import dataclass

from tinygrad_edu.errors import ArgumentError
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


class _OfClasses(_Loss):
    """Losses of class numbers: a weight for each class, kept as a buffer, and one to ignore."""

    weight: Tensor | None

    def __init__(
        self, weight: Operand | None = None, *, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", None if weight is None else as_tensor(weight).detach())
        self.ignore_index = ignore_index


class CrossEntropyLoss(_OfClasses):
    """-log softmax(scores) at the target class; see `functional.cross_entropy` for the shapes.

    Args:
        weight: A factor for each class, kept as a buffer.
        ignore_index: Targets equal to it cost nothing.
        reduction: "mean", "sum" or "none".
        label_smoothing: The share of the target spread over all classes.

    Raises:
        ArgumentError: Another reduction. Called: as `functional.cross_entropy`.
    """

    def __init__(
        self,
        weight: Operand | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, ignore_index=ignore_index, reduction=reduction)
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


class NLLLoss(_OfClasses):
    """-input at the target class, of log-probabilities (after a LogSoftmax); see
    `functional.nll_loss`. The arguments are those of `CrossEntropyLoss`."""

    def forward(self, input: Operand, target: Operand) -> Tensor:
        """Log-probabilities (n, classes, ...) and class numbers (n, ...) to the loss."""
        return functional.nll_loss(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class L1Loss(_Loss):
    """|input - target|, for input and target of one shape."""

    def forward(self, input: Operand, target: Operand) -> Tensor:
        """Both of one shape; see `functional.l1_loss`."""
        return functional.l1_loss(input, target, self.reduction)


class SmoothL1Loss(_Loss):
    """Quadratic below a difference of beta, linear beyond; see `functional.smooth_l1_loss`."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Operand, target: Operand) -> Tensor:
        """Both of one shape."""
        return functional.smooth_l1_loss(input, target, self.reduction, self.beta)


class HuberLoss(_Loss):
    """Half the square up to a difference of delta, linear beyond; see `functional.huber_loss`."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Operand, target: Operand) -> Tensor:
        """Both of one shape."""
        return functional.huber_loss(input, target, self.reduction, self.delta)


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


class SoftMarginLoss(_Loss):
    """log(1 + exp(-target * score)), for targets -1 and +1 in the shape of the scores."""

    def forward(self, input: Operand, target: Operand) -> Tensor:
        """Both of one shape; see `functional.soft_margin_loss`."""
        return functional.soft_margin_loss(input, target, self.reduction)


class KLDivLoss(_Loss):
    """target (log target - input) of log-probabilities; see `functional.kl_div`. The reduction
    "batchmean" gives the divergence of a distribution, averaged over the first axis."""

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__("sum" if reduction == "batchmean" else reduction)
        self.reduction = reduction
        self.log_target = log_target

    def forward(self, input: Operand, target: Operand) -> Tensor:
        """Log-probabilities and probabilities of one shape."""
        return functional.kl_div(input, target, self.reduction, self.log_target)


class BCELoss(_Loss):
    """Cross-entropy of two classes from one probability each; see
    `functional.binary_cross_entropy`. `weight` is a buffer."""

    weight: Tensor | None

    def __init__(self, weight: Operand | None = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", None if weight is None else as_tensor(weight).detach())

    def forward(self, input: Operand, target: Operand) -> Tensor:
        """Probabilities and targets in [0, 1], both of one shape."""
        return functional.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


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


# ------------------------------------------------------------------------------ of vectors


class _WithMargin(_Loss):
    """Losses that a margin makes 0."""

    def __init__(self, margin: float, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin


class HingeEmbeddingLoss(_WithMargin):
    """Distances that should be small where the target is 1, beyond the margin where it is -1; see
    `functional.hinge_embedding_loss`."""

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(margin, reduction)

    def forward(self, input: Operand, target: Operand) -> Tensor:
        """Both of one shape."""
        return functional.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class CosineEmbeddingLoss(_WithMargin):
    """Pairs of vectors that should point one way where the target is 1, and not where it is -1;
    see `functional.cosine_embedding_loss`."""

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(margin, reduction)

    def forward(self, input1: Operand, input2: Operand, target: Operand) -> Tensor:
        """(n, width) twice and (n,)."""
        return functional.cosine_embedding_loss(
            input1, input2, target, self.margin, reduction=self.reduction
        )


class MarginRankingLoss(_WithMargin):
    """max(0, margin - target (input1 - input2)); see `functional.margin_ranking_loss`."""

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(margin, reduction)

    def forward(self, input1: Operand, input2: Operand, target: Operand) -> Tensor:
        """Three of one shape."""
        return functional.margin_ranking_loss(
            input1, input2, target, self.margin, reduction=self.reduction
        )


class TripletMarginLoss(_WithMargin):
    """max(0, margin + distance to the positive - distance to the negative); see
    `functional.triplet_margin_loss`."""

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        *,
        reduction: str = "mean",
    ) -> None:
        if not margin > 0:
            raise ArgumentError(f"TripletMarginLoss: margin must be above 0, got {margin}.")
        super().__init__(margin, reduction)
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Operand, positive: Operand, negative: Operand) -> Tensor:
        """(..., width) three times."""
        return functional.triplet_margin_loss(
            anchor,
            positive,
            negative,
            self.margin,
            self.p,
            self.eps,
            self.swap,
            reduction=self.reduction,
        )


@dataclass(eq=False, repr=False)
class CosineSimilarity(Module):
    """`functional.cosine_similarity` along `dim`."""

    dim: int = 1
    eps: float = 1e-8

    def forward(self, x1: Operand, x2: Operand) -> Tensor:
        """Two shapes that broadcast, to that shape without `dim`."""
        return functional.cosine_similarity(x1, x2, self.dim, self.eps)


@dataclass(eq=False, repr=False)
class PairwiseDistance(Module):
    """`functional.pairwise_distance`."""

    p: float = 2.0
    eps: float = 1e-6
    keepdim: bool = False

    def forward(self, x1: Operand, x2: Operand) -> Tensor:
        """(..., width) twice, to (...)."""
        return functional.pairwise_distance(x1, x2, self.p, self.eps, self.keepdim)
