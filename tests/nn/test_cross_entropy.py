"""Cross-entropy against its definition, its gradient against softmax minus target, and its errors.

Values for all options are held against torch in `tests/peers/test_nn_against_torch.py`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_edu.nn.functional import cross_entropy

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(5, 3))
LABELS = np.array([0, 2, 1, 1, 0])


def test_definition() -> None:
    expected = [
        math.log(sum(math.exp(s - row[label]) for s in row))
        for row, label in zip(SCORES.tolist(), LABELS, strict=True)
    ]
    each = cross_entropy(SCORES, LABELS, reduction="none")
    np.testing.assert_allclose(each.numpy(), expected, rtol=1e-14)
    assert cross_entropy(SCORES, LABELS).item() == pytest.approx(np.mean(expected), rel=1e-14)
    total = cross_entropy(SCORES, LABELS, reduction="sum").item()
    assert total == pytest.approx(sum(expected), rel=1e-14)


def test_gradient_is_softmax_minus_target() -> None:
    x = tg.tensor(SCORES, requires_grad=True)
    cross_entropy(x, LABELS, reduction="sum").backward()
    assert x.grad is not None
    expected = np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True) - np.eye(3)[LABELS]
    np.testing.assert_allclose(x.grad.numpy(), expected, atol=1e-14)


def test_class_numbers_are_probabilities_of_one_class() -> None:
    for options in ({}, {"label_smoothing": 0.2}, {"reduction": "none"}):
        hard = cross_entropy(SCORES, LABELS, **options)  # type: ignore[arg-type]
        soft = cross_entropy(SCORES, np.eye(3)[LABELS], **options)  # type: ignore[arg-type]
        np.testing.assert_allclose(hard.numpy(), soft.numpy(), rtol=1e-14)


def test_huge_scores_and_impossible_classes_stay_finite() -> None:
    x = tg.tensor([[1e4, 0.0, -math.inf]], requires_grad=True)
    loss = cross_entropy(x, np.array([1]))
    loss.backward()
    assert loss.item() == 1e4
    assert x.grad is not None
    assert x.grad.tolist() == [[1, -1, 0]]


def test_ignored_targets_cost_nothing_whatever_their_number() -> None:
    kept = LABELS != 1
    expected = cross_entropy(SCORES[kept], LABELS[kept]).item()
    assert cross_entropy(SCORES, LABELS, ignore_index=1).item() == pytest.approx(
        expected, rel=1e-14
    )
    padded = np.where(kept, LABELS, -100)
    assert cross_entropy(SCORES, padded).item() == pytest.approx(expected, rel=1e-14)
    assert math.isnan(cross_entropy(SCORES, np.full(5, -100)).item())  # a mean of nothing
    x = tg.tensor(SCORES, requires_grad=True)
    cross_entropy(x, padded, label_smoothing=0.1).backward()
    assert x.grad is not None
    assert not x.grad.numpy()[~kept].any()


def test_class_axis_comes_second() -> None:
    images = RNG.normal(size=(2, 3, 4, 5))
    labels = RNG.integers(0, 3, (2, 4, 5))
    each = cross_entropy(images, labels, reduction="none")
    flat = cross_entropy(
        np.moveaxis(images, 1, -1).reshape(-1, 3), labels.ravel(), reduction="none"
    )
    assert each.shape == labels.shape
    np.testing.assert_allclose(each.numpy().ravel(), flat.numpy(), rtol=1e-14)
    one = cross_entropy(SCORES[0], np.array(2))
    assert one.item() == pytest.approx(cross_entropy(SCORES[:1], np.array([2])).item())


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_any_integers_are_class_numbers(dtype: Any) -> None:
    expected = cross_entropy(SCORES, LABELS).item()
    assert cross_entropy(SCORES, LABELS.astype(dtype)).item() == expected


def test_keeps_float32() -> None:
    scores = SCORES.astype(np.float32)
    weight = np.ones(3)
    assert cross_entropy(scores, LABELS).dtype == tg.float32
    assert cross_entropy(scores, LABELS, weight, label_smoothing=0.1).dtype == tg.float32
    assert cross_entropy(scores, np.eye(3)[LABELS]).dtype == tg.float32


def test_is_traced_on_shapes_alone() -> None:
    from tinygrad_edu.graph.tensor import abstract

    labels = abstract((5,), tg.int64)
    assert cross_entropy(abstract((5, 3)), labels).shape == ()
    assert cross_entropy(abstract((5, 3)), labels, reduction="none").shape == (5,)


MISTAKES: dict[str, tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = {
    "class too large": (
        (SCORES, LABELS + 1),
        {},
        ArgumentError,
        "run from 1 to 3, but scores for 3 classes allow 0 to 2",
    ),
    "negative class": ((SCORES, LABELS - 1), {}, ArgumentError, "run from -1 to 1"),
    "floats as class numbers": (
        (SCORES, LABELS.astype(float)),
        {},
        DTypeError,
        r"integers of shape \(5,\)",
    ),
    "booleans": ((SCORES, LABELS > 0), {}, DTypeError, "bool"),
    "one-hot integers": ((SCORES, np.eye(3, dtype=int)[LABELS]), {}, ShapeError, r"\(5, 3\)"),
    "too few labels": ((SCORES, LABELS[:4]), {}, ShapeError, r"shape \(5,\), got \(4,\)"),
    "integer scores": ((SCORES.astype(int), LABELS), {}, DTypeError, "vectors of floats"),
    "scalar score": ((np.array(1.0), np.array(0)), {}, DTypeError, "vectors of floats"),
    "weight": ((SCORES, LABELS, np.ones(2)), {}, ShapeError, "3 classes need one factor each"),
    "reduction": ((SCORES, LABELS), {"reduction": "average"}, ArgumentError, "'average'"),
    "smoothing": ((SCORES, LABELS), {"label_smoothing": 1.5}, ArgumentError, r"\[0, 1\]"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_named(case: str) -> None:
    arguments, options, error, message = MISTAKES[case]
    with pytest.raises(error, match=message):
        cross_entropy(*arguments, **options)
