"""Vectors compared; against torch in `tests/peers`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError, TraceError
from tinygrad_edu.nn import functional as F

X = np.array([[3.0, 4.0], [0.0, 0.0]])


def test_normalize() -> None:
    x = tg.tensor(X, requires_grad=True)
    y = F.normalize(x)
    np.testing.assert_allclose(y.detach().numpy(), [[0.6, 0.8], [0, 0]])
    y.sum().backward()
    assert x.grad is not None
    assert np.isfinite(x.grad.numpy()).all()


def test_cosine_and_distance() -> None:
    across = np.array([[4.0, -3.0], [1.0, 1.0]])
    assert F.cosine_similarity(X, across).tolist() == pytest.approx([0, 0], abs=1e-15)
    assert F.cosine_similarity(X[:1], 5 * X[:1]).item() == pytest.approx(1)
    assert F.pairwise_distance(X[0], X[1], eps=0).item() == 5


def test_one_hot() -> None:
    assert F.one_hot(tg.tensor([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert F.one_hot(tg.tensor(1), 3).tolist() == [0, 1, 0]
    numbers = tg.tensor([1, 0])
    assert tg.compile(lambda n: F.one_hot(n, 2))(numbers).tolist() == [[0, 1], [1, 0]]
    with pytest.raises(TraceError):
        tg.compile(lambda n: F.one_hot(n))(numbers)


def test_margins() -> None:
    a, b, signs = np.array([1.0, 1.0]), np.array([0.0, 3.0]), np.array([1.0, -1.0])
    ranking = F.margin_ranking_loss(a, b, signs, margin=0.5, reduction="none")
    assert ranking.tolist() == [0, 0]
    assert F.margin_ranking_loss(a, b, -signs, margin=0.5, reduction="none").tolist() == [1.5, 2.5]
    both = F.cosine_embedding_loss(X[[0, 0]], X[[0, 0]], signs, 0.25, reduction="none")
    np.testing.assert_allclose(both.numpy(), [0, 0.75], atol=1e-12)
    near, far = X[:1] + 1.0, X[:1] - 3.0
    assert F.triplet_margin_loss(X[:1], near, far, eps=0).item() == 0
    assert F.triplet_margin_loss(X[:1], far, near, eps=0).item() == pytest.approx(1 + 8**0.5)


MISTAKES: list[Any] = [
    (lambda: F.one_hot(tg.tensor([0.5])), DTypeError),
    (lambda: F.one_hot(tg.tensor([-1])), ArgumentError),
    (lambda: F.one_hot(tg.tensor([3]), 3), ArgumentError),
    (lambda: F.one_hot(np.zeros(0, np.int64)), ArgumentError),
    (lambda: F.cosine_embedding_loss(X, X, np.ones(3)), ShapeError),
    (lambda: F.margin_ranking_loss(X, X, np.ones(2)), ShapeError),
    (lambda: F.triplet_margin_loss(X, X, X, margin=0), ArgumentError),
    (lambda: F.triplet_margin_loss(X, X, X, reduction="x"), ArgumentError),
]


@pytest.mark.parametrize(("call", "error"), MISTAKES)
def test_mistakes(call: Any, error: Any) -> None:
    with pytest.raises(error):
        call()
