"""Accuracy, and what is measured when nothing else is asked for."""

from __future__ import annotations

import pytest

import tinygrad_edu as tg
from tinygrad_edu.errors import ShapeError
from tinygrad_edu.nn import functional as F
from tinygrad_edu.train.metrics import accuracy, default_loss, default_metrics


def test_accuracy_of_classes() -> None:
    scores = tg.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 1.0], [1.0, 0.0]])
    assert accuracy(scores, tg.tensor([0, 1, 1, 0])) == 0.75
    pixels = scores.reshape(2, 2, 2).transpose(1, 2)  # (n, classes, ...)
    assert accuracy(pixels, tg.tensor([[0, 1], [1, 0]])) == 0.75


def test_accuracy_of_signs() -> None:
    scores = tg.tensor([2.0, -1.0, 0.5, -3.0])
    assert accuracy(scores, tg.tensor([1, -1, -1, -1])) == 0.75
    assert accuracy(scores, tg.tensor([1, 0, 0, 0])) == 0.75
    assert accuracy(tg.zeros(3), tg.tensor([1, 0, 0])) == pytest.approx(2 / 3)  # 0 is not positive


def test_accuracy_of_other_shapes() -> None:
    with pytest.raises(ShapeError, match="class axis"):
        accuracy(tg.zeros(4, 3), tg.zeros(4, 2))
    with pytest.raises(ShapeError):
        accuracy(tg.zeros(4, 3), tg.zeros(5))


def test_defaults_follow_the_targets() -> None:
    classes, values = tg.tensor([1, 0]), tg.tensor([1.0, 0.0])
    assert default_loss(classes) is F.cross_entropy
    assert default_loss(values) is F.mse_loss
    assert default_metrics(classes) == {"accuracy": accuracy}
    assert default_metrics(values) == {}
