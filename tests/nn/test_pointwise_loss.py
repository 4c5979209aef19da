"""Losses of pairs, by hand and at the edges; against torch in `tests/peers`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.errors import ArgumentError, ShapeError
from tinygrad_edu.nn import functional as F

D = np.array([-3.0, -0.5, 0.0, 0.5, 1.0, 3.0])
ZERO = np.zeros_like(D)


def each(loss: Any, *args: Any, **options: Any) -> Any:
    return loss(*args, reduction="none", **options).tolist()


def test_absolute_and_nearly_absolute_differences() -> None:
    assert each(F.l1_loss, D, ZERO) == [3, 0.5, 0, 0.5, 1, 3]
    assert each(F.smooth_l1_loss, D, ZERO) == [2.5, 0.125, 0, 0.125, 0.5, 2.5]
    assert each(F.smooth_l1_loss, D, ZERO, beta=0) == each(F.l1_loss, D, ZERO)
    assert each(F.huber_loss, D, ZERO, delta=2.0) == [4, 0.125, 0, 0.125, 0.5, 4]


@pytest.mark.parametrize("loss", [F.l1_loss, F.smooth_l1_loss, F.huber_loss])
def test_no_slope_where_nothing_differs(loss: Any) -> None:
    x = tg.tensor(ZERO, requires_grad=True)
    loss(x, ZERO).backward()
    assert x.grad is not None
    assert not x.grad.numpy().any()


def test_cross_entropy_of_probabilities_and_of_scores_agree() -> None:
    scores, target = tg.tensor(D), np.linspace(0, 1, len(D))
    wanted = F.binary_cross_entropy_with_logits(scores, target).item()
    assert F.binary_cross_entropy(scores.sigmoid(), target).item() == pytest.approx(wanted, 1e-13)


def test_a_factor_for_the_positive_term_alone() -> None:
    """-(w t log p + (1 - t) log(1 - p))"""
    scores, target, w = np.array([0.7, -1.3, 2.0]), np.array([1.0, 0.25, 0.0]), 3.0
    p = 1 / (1 + np.exp(-scores))
    wanted = -(w * target * np.log(p) + (1 - target) * np.log(1 - p))
    found = F.binary_cross_entropy_with_logits(scores, target, reduction="none", pos_weight=w)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-13)


def test_a_wrong_certainty_costs_100_and_has_a_slope() -> None:
    p = tg.tensor([0.0, 1.0, 1.0, 0.0], requires_grad=True)
    target = tg.tensor([1.0, 0.0, 1.0, 0.0])
    assert each(F.binary_cross_entropy, p, target) == [100, 100, 0, 0]
    F.binary_cross_entropy(p, target, reduction="sum").backward()
    assert p.grad is not None
    np.testing.assert_allclose(p.grad.numpy(), [-1e12, 1e12, -1, 1], rtol=1e-6)


def test_divergence() -> None:
    p, q = np.array([[0.5, 0.5, 0.0]]), np.array([[0.25, 0.25, 0.5]])
    wanted = math.log(2)
    assert F.kl_div(np.log(q), p, "batchmean").item() == pytest.approx(wanted)
    assert F.kl_div(np.log(q), p, "sum").item() == pytest.approx(wanted)
    both = F.kl_div(np.log(p[:, :2]), np.log(p[:, :2]), "sum", log_target=True)
    assert both.item() == pytest.approx(0)


def test_signs() -> None:
    signs = np.array([1.0, -1, 1, -1, 1, -1])
    wanted = np.log1p(np.exp(-signs * D))
    np.testing.assert_allclose(each(F.soft_margin_loss, D, signs), wanted, rtol=1e-14)
    assert each(F.hinge_embedding_loss, np.abs(D), signs) == [3, 0.5, 0, 0.5, 1, 0]


MISTAKES: list[Any] = [
    (lambda: F.l1_loss(D, D[:, None]), ShapeError, "l1_loss: the input has shape"),
    (lambda: F.kl_div(D, D, "middle"), ArgumentError, "kl_div: reduction"),
    (lambda: F.smooth_l1_loss(D, D, beta=-1), ArgumentError, "beta"),
    (lambda: F.huber_loss(D, D, delta=0), ArgumentError, "delta"),
    (lambda: F.binary_cross_entropy(D, ZERO), ArgumentError, r"inputs lie in \[0, 1\]"),
    (lambda: F.binary_cross_entropy(ZERO, D), ArgumentError, r"targets lie in \[0, 1\]"),
    (lambda: F.binary_cross_entropy(ZERO * np.nan, ZERO), ArgumentError, "run from nan"),
]


@pytest.mark.parametrize(("call", "error", "message"), MISTAKES)
def test_mistakes(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()
