"""Random numbers by a law of tensors: frequencies are the probabilities, within 5 standard errors,
and a compiled step draws what the eager one draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError

N = 20000


def near(counted: Any, p: Any) -> None:
    """Shares of N independent trials."""
    error = np.sqrt(np.asarray(p) * (1 - np.asarray(p)) / N)
    assert (np.abs(np.asarray(counted) - p) <= 5 * error).all()


def test_coins() -> None:
    tg.manual_seed(0)
    p = np.array([0.0, 0.1, 0.7, 1.0])
    drawn = tg.bernoulli(tg.tensor(np.tile(p, (N, 1))))
    assert drawn.dtype == tg.float64
    near(drawn.mean(0).numpy(), p)
    assert tg.bernoulli(tg.zeros(N).long(), 0.3).dtype == tg.int64
    near(tg.bernoulli(tg.ones(N), 0.3).mean().item(), 0.3)


def test_dice() -> None:
    tg.manual_seed(1)
    weights = tg.tensor([[1.0, 0.0, 3.0], [0.0, 2.0, 2.0]])
    drawn = tg.multinomial(weights, N, replacement=True)
    assert drawn.shape == (2, N)
    for row, p in zip(drawn, ([0.25, 0, 0.75], [0, 0.5, 0.5]), strict=True):
        near(tg.bincount(row, minlength=3).numpy() / N, np.array(p))


def test_without_replacement() -> None:
    """The second of two draws: class j with probability sum over i != j of w_i w_j / (1 - w_i)."""
    tg.manual_seed(2)
    w = np.array([0.5, 0.3, 0.2, 0.0])
    drawn = tg.multinomial(tg.tensor(np.tile(w, (N, 1))), 2).numpy()
    assert (drawn[:, 0] != drawn[:, 1]).all()
    near(np.bincount(drawn[:, 0], minlength=4) / N, w)
    second = [sum(w[i] * w[j] / (1 - w[i]) for i in range(4) if i != j) for j in range(4)]
    near(np.bincount(drawn[:, 1], minlength=4) / N, np.array(second))
    assert sorted(tg.multinomial(tg.tensor([1.0, 2.0]), 2).tolist()) == [0, 1]


def test_normal() -> None:
    tg.manual_seed(3)
    x = tg.normal(tg.tensor([0.0, 5.0]).expand(N, 2), tg.tensor([1.0, 0.0]))
    assert x.dtype == tg.float32
    assert abs(x[:, 0].mean().item()) < 5 / N**0.5
    assert (x[:, 1] == 5).all()
    assert tg.normal(2.0, 0.0, (2, 3)).tolist() == [[2] * 3] * 2


def test_compiled() -> None:
    p = tg.tensor([0.3, 0.7, 0.5])

    def draws(p: tg.Tensor) -> tuple[tg.Tensor, ...]:
        return tg.bernoulli(p), tg.multinomial(p, 2), tg.multinomial(p, 4, True), tg.normal(p, p)

    tg.manual_seed(4)
    wanted = [[t.tolist() for t in draws(p)] for _ in range(2)]
    tg.manual_seed(4)
    step = tg.compile(draws)
    found = [[t.tolist() for t in step(p)] for _ in range(2)]
    assert [row[:3] for row in found] == [row[:3] for row in wanted]
    np.testing.assert_allclose([row[3] for row in found], [row[3] for row in wanted], rtol=1e-6)
    assert found[0] != found[1]


MISTAKES: list[Any] = [
    (lambda: tg.bernoulli(tg.tensor([1.5])), ArgumentError),
    (lambda: tg.bernoulli(tg.tensor([1])), DTypeError),
    (lambda: tg.bernoulli(tg.ones(2), -0.5), ArgumentError),
    (lambda: tg.multinomial(tg.ones(2, 2, 2), 1), ShapeError),
    (lambda: tg.multinomial(tg.tensor([1, 2]), 1), DTypeError),
    (lambda: tg.multinomial(tg.ones(2), 0), ArgumentError),
    (lambda: tg.multinomial(tg.ones(2), 3), ArgumentError),
    (lambda: tg.multinomial(tg.tensor([1.0, 0.0]), 2), ArgumentError),
    (lambda: tg.multinomial(tg.tensor([1.0, -1.0]), 1), ArgumentError),
    (lambda: tg.multinomial(tg.zeros(2), 1, True), ArgumentError),
    (lambda: tg.normal(0.0, 1.0), ArgumentError),
    (lambda: tg.normal(tg.zeros(2), -1.0), ArgumentError),
]


@pytest.mark.parametrize(("call", "error"), MISTAKES)
def test_mistakes(call: Any, error: Any) -> None:
    with pytest.raises(error):
        call()
