"""Cross-entropy: what scores, or log-probabilities, cost the true labels, given as class numbers or
as probabilities."""

from __future__ import annotations

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError, describe
from tinygrad_edu.graph.functions import as_tensor, log_softmax, where
from tinygrad_edu.graph.node import Abstract, tracing
from tinygrad_edu.graph.reader import apply, compose
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.nn.reduction import check_reduction, reduce
from tinygrad_edu.ops.dtypes import is_float
from tinygrad_edu.ops.positions import are_known, out_of_range


def cross_entropy(
    input: Operand,
    target: Operand,
    weight: Operand | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(input) at the target class.

    Args:
        input: Scores (logits), shape (classes,), (n, classes) or (n, classes, ...).
        target: Class numbers, one for each set of scores: integers of shape (), (n,) or (n, ...).
            Or probabilities of the classes: floats in the shape of `input`.
        weight: A factor for each class, shape (classes,).
        ignore_index: Class numbers equal to it cost nothing and count for nothing.
        reduction: "mean" divides by the sum of the weights of the target classes (for
            probabilities, by their number); "sum"; "none" for one value each.
        label_smoothing: The share s of the target that is spread over all classes:
            (1 - s) * target + s / classes. Szegedy et al. 2016.

    Raises:
        DTypeError: Scores that are no floats, or class numbers that are no integers.
        ShapeError: A target or weight that does not belong to scores of this shape.
        ArgumentError: A class number outside 0 ... classes - 1, another reduction, or a
            label_smoothing outside [0, 1].
    """
    scores, target = as_tensor(input), as_tensor(target)
    if weight is None and not label_smoothing and _are_plain(scores, target, ignore_index):
        if reduction == "mean":
            return compose(ops.mean_cross_entropy, scores, target)
        check_reduction("cross_entropy", reduction)
        return reduce(compose(ops.cross_entropy, scores, target), reduction)
    check_reduction("cross_entropy", reduction)
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(f"cross_entropy: label_smoothing is {label_smoothing}, not in [0, 1].")
    if not scores.shape or not is_float(scores.dtype):
        raise DTypeError(f"cross_entropy: scores are vectors of floats, not {describe([scores])}.")
    factors = None if weight is None else _class_weights("cross_entropy", scores, weight)
    if is_float(target.dtype) and target.shape == scores.shape:
        losses = _with_probabilities(scores, target, factors, label_smoothing)
        return reduce(losses, reduction)
    usual = scores.ndim == 2 and factors is None and not label_smoothing
    usual = usual and target.node.is_abstract and tracing() is not None
    target, counted = _class_numbers("cross_entropy", scores, target, ignore_index)
    if usual:
        return _of_rows(scores, target, counted, reduction)
    log_probabilities = log_softmax(scores, _class_axis(scores))
    return _with_class_numbers(
        log_probabilities, target, counted, factors, reduction, label_smoothing
    )


def nll_loss(
    input: Operand,
    target: Operand,
    weight: Operand | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-input at the target class: `cross_entropy` of log-probabilities (what log_softmax returns)
    instead of scores.

    Args:
        input: Log-probabilities, shape (classes,), (n, classes) or (n, classes, ...).
        target: Class numbers, integers of shape (), (n,) or (n, ...).
        weight: A factor for each class, shape (classes,).
        ignore_index: Class numbers equal to it cost nothing and count for nothing.
        reduction: "mean" divides by the sum of the weights of the target classes.

    Raises:
        As `cross_entropy`.
    """
    check_reduction("nll_loss", reduction)
    x, target = as_tensor(input), as_tensor(target)
    if not x.shape or not is_float(x.dtype):
        raise DTypeError(f"nll_loss: log-probabilities are vectors of floats, not {describe([x])}.")
    factors = None if weight is None else _class_weights("nll_loss", x, weight)
    target, counted = _class_numbers("nll_loss", x, target, ignore_index)
    return _with_class_numbers(x, target, counted, factors, reduction, 0.0)


def _are_plain(scores: Tensor, target: Tensor, ignore_index: int) -> bool:
    """Whether the scores are a matrix of floats, and the target is known to name a class in each
    row and nothing to be ignored: the usual case, asked in few steps."""
    if target.node.is_abstract or scores.node.data.__class__ is Abstract:
        return False
    rows, labels = scores.node.data, target.node.data
    if len(rows.shape) != 2 or labels.shape != rows.shape[:1] or rows.dtype.kind != "f":
        return False
    if not labels.size or not are_known(labels, rows.shape[1]):
        return False
    return ignore_index < 0 or not (labels == ignore_index).any()


def _of_rows(scores: Tensor, classes: Tensor, counted: Tensor, reduction: str) -> Tensor:
    """The usual case, in a step that is traced: the short derivative, and what does not count is
    left out afterwards."""
    losses = where(counted, compose(ops.cross_entropy, scores, classes), 0)
    if reduction != "mean":
        return reduce(losses, reduction)
    return losses.sum() / counted.sum().to(losses.dtype)


def _class_axis(scores: Tensor) -> int:
    return 1 if scores.ndim > 1 else 0


def _along_classes(scores: Tensor, values: Tensor) -> Tensor:
    """One value a class, shaped to broadcast against the scores."""
    return values.reshape(-1, *[1] * (scores.ndim - _class_axis(scores) - 1))


def _with_probabilities(
    scores: Tensor, target: Tensor, factors: Tensor | None, smoothing: float
) -> Tensor:
    axis = _class_axis(scores)
    shares = target.to(scores.dtype)
    if smoothing:
        shares = (1 - smoothing) * shares + smoothing / scores.shape[axis]
    terms = shares * log_softmax(scores, axis)
    return -(terms if factors is None else terms * factors).sum(axis)


def _with_class_numbers(
    log_probabilities: Tensor,
    target: Tensor,
    counted: Tensor,
    factors: Tensor | None,
    reduction: str,
    smoothing: float,
) -> Tensor:
    axis = _class_axis(log_probabilities)
    classes = log_probabilities.shape[axis]
    counted = counted.unsqueeze(axis)
    numbers = _along_classes(log_probabilities, as_tensor(np.arange(classes)))
    chosen = (target.unsqueeze(axis) == numbers) & counted
    # Selected, not multiplied by 0 and 1: a class ruled out by a score of -inf has 0 * -inf = nan.
    terms = where(chosen, log_probabilities, 0)
    if smoothing:
        spread = where(counted, log_probabilities, 0) / classes
        terms = (1 - smoothing) * terms + smoothing * spread
    losses = -(terms if factors is None else terms * factors).sum(axis)
    if reduction != "mean":
        return reduce(losses, reduction)
    shares = counted.to(losses.dtype) if factors is None else where(chosen, factors, 0)
    return losses.sum() / shares.sum()


def _class_weights(name: str, scores: Tensor, weight: Operand) -> Tensor:
    weight = as_tensor(weight)
    classes = scores.shape[_class_axis(scores)]
    if weight.shape != (classes,):
        raise ShapeError(
            f"{name}: weight has shape {weight.shape}; {classes} classes need one factor "
            f"each, shape ({classes},)."
        )
    return _along_classes(scores, weight.to(scores.dtype))


def _class_numbers(
    name: str, scores: Tensor, target: Tensor, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """The class numbers, and which of them count."""
    _check_class_numbers(name, scores, target, ignore_index)
    target = target.long()  # beside uint8, ignore_index would not be a number
    counted = target != ignore_index
    if target.node.is_abstract and tracing() is not None:  # looked at in each call of the step
        how = {"size": scores.shape[_class_axis(scores)], "wraps": False, "ignored": ignore_index}
        target = apply(ops.positions, target, name=name, where="", **how)
    return target, counted


def _check_class_numbers(name: str, scores: Tensor, target: Tensor, ignore_index: int) -> None:
    axis = _class_axis(scores)
    wanted = scores.shape[:axis] + scores.shape[axis + 1 :]
    if target.dtype.kind not in "iu":
        raise DTypeError(
            f"{name}: the target is {describe([target])}. Class numbers are integers of "
            f"shape {wanted} (convert with .long()); probabilities are floats of shape "
            f"{scores.shape}."
        )
    if target.shape != wanted:
        raise ShapeError(
            f"{name}: scores of shape {scores.shape} need class numbers of shape {wanted}, "
            f"got {target.shape}."
        )
    if target.node.is_abstract or not target.numel():
        return
    labels, classes = target.node.data, scores.shape[axis]
    lowest, highest = np.minimum.reduce(labels, axis=None), np.maximum.reduce(labels, axis=None)
    if lowest < 0 or highest >= classes:
        real = labels[labels != ignore_index]
        if real.size and (real.min() < 0 or real.max() >= classes):
            raise out_of_range(int(real.min()), int(real.max()), classes, False, name, "")
