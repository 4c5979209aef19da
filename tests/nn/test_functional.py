"""Losses of pairs against their definitions, and the mistakes they name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_edu.nn import functional as F

RNG = np.random.default_rng(1)
X = RNG.normal(size=(4, 3))
Y = RNG.normal(size=(4, 3))


def test_linear() -> None:
    weight, bias = RNG.normal(size=(2, 3)), RNG.normal(size=2)
    np.testing.assert_allclose(F.linear(X, weight, bias).numpy(), X @ weight.T + bias, rtol=1e-14)
    np.testing.assert_allclose(F.linear(X, weight).numpy(), X @ weight.T, rtol=1e-14)
    with pytest.raises(ShapeError):
        F.linear(X, weight.T)


def test_mse_loss() -> None:
    assert F.mse_loss(X, Y).item() == pytest.approx(((X - Y) ** 2).mean(), rel=1e-14)
    np.testing.assert_allclose(F.mse_loss(X, Y, "none").numpy(), (X - Y) ** 2, rtol=1e-14)
    assert F.mse_loss(X.astype(np.float32), np.zeros((4, 3), int)).dtype == tg.float32


def test_hinge_loss() -> None:
    scores, labels = np.array([2.0, 0.5, -0.5, 1.0]), np.array([1, 1, 1, -1])
    assert F.hinge_loss(scores, labels, "none").tolist() == [0, 0.5, 1.5, 2]
    assert F.hinge_loss(scores, labels).item() == 1


def test_gradient_of_hinge_at_the_margin_is_zero() -> None:
    x = tg.tensor([1.0, 0.5, 3.0], requires_grad=True)
    F.hinge_loss(x, np.array([1.0, 1.0, 1.0]), "sum").backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, -1, 0]


def test_binary_cross_entropy_with_logits() -> None:
    p = 1 / (1 + np.exp(-X))
    t = RNG.uniform(size=X.shape)
    expected = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    each = F.binary_cross_entropy_with_logits(X, t, reduction="none")
    np.testing.assert_allclose(each.numpy(), expected, rtol=1e-12)
    huge = F.binary_cross_entropy_with_logits([-1e3, 1e3], np.array([1, 0]), reduction="none")
    assert huge.tolist() == [1e3, 1e3]


MISTAKES: dict[str, tuple[Any, tuple[Any, ...], type[Exception], str]] = {
    "column against vector": (F.mse_loss, (X[:, :1], X[:, 0]), ShapeError, r"\(4, 1\).*\(4,\)"),
    "hinge shapes": (F.hinge_loss, (X, np.ones(3)), ShapeError, "must agree"),
    "hinge labels 0 and 1": (F.hinge_loss, (X[0], np.array([0, 1, 1])), ArgumentError, r"2 \* y"),
    "hinge labels nan": (F.hinge_loss, (X[0], np.full(3, math.nan)), ArgumentError, "nan"),
    "target above 1": (
        F.binary_cross_entropy_with_logits,
        (X[0], np.array([0, 1, 2])),
        ArgumentError,
        "run from 0 to 2",
    ),
    "labels of two moons": (
        F.binary_cross_entropy_with_logits,
        (X[0], np.array([-1, 1, 1])),
        ArgumentError,
        r"run from -1 to 1\. Labels -1 and \+1 become 0 and 1 by \(y \+ 1\) / 2",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_named(case: str) -> None:
    function, arguments, error, message = MISTAKES[case]
    with pytest.raises(error, match=message):
        function(*arguments)


@pytest.mark.parametrize("loss", [F.mse_loss, F.hinge_loss, F.binary_cross_entropy_with_logits])
def test_reductions(loss: Any) -> None:
    target = np.ones_like(X)
    each = loss(X, target, reduction="none")
    assert each.shape == X.shape
    assert loss(X, target).item() == each.mean().item()
    assert loss(X, target, reduction="sum").item() == each.sum().item()
    with pytest.raises(ArgumentError, match=f"{loss.__name__}: reduction is 'mean', 'sum', 'none'"):
        loss(X, target, reduction="max")


def test_activations_are_here_too() -> None:
    for name in F.__all__:
        assert callable(getattr(F, name))
    with pytest.raises(DTypeError):
        F.softmax(np.array([1, 2]), 0)


@pytest.mark.parametrize("bias", [None, 5, 4])
def test_a_weight_that_does_not_fit(bias: int | None) -> None:
    shift = None if bias is None else tg.zeros(bias)
    with pytest.raises(ShapeError, match=r"\(2, 3\) @ \(4, 5\)"):
        tg.nn.functional.linear(tg.zeros(2, 3), tg.zeros(5, 4), shift)
