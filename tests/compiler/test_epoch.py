"""An epoch in one call is the loop over its batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.compiler import epoch
from tinygrad_edu.errors import ArgumentError, IndexingError, ShapeError

X = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 50)


def training(clear: str = "before") -> tuple[Any, Any]:
    tg.manual_seed(3)
    model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.2), nn.ReLU(), nn.Linear(8, 3))
    optimizer = optim.Adam(model.parameters(), lr=0.01)

    def step(x: tg.Tensor, y: tg.Tensor) -> dict[str, Any]:
        if clear == "before":
            optimizer.zero_grad()
        scores = model(x)
        loss = nn.functional.cross_entropy(scores, y)
        loss.backward()
        optimizer.step()
        return {"loss": loss, "right": (scores.argmax(1) == y).sum(), "kind": "adam"}

    return model, tg.compile(step)


def by_hand(batch: int, order: np.ndarray, drop_last: bool, **options: Any) -> tuple[Any, Any]:
    model, step = training(**options)
    found: dict[str, list[Any]] = {"loss": [], "right": []}
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        if len(rows) == batch or not drop_last:
            told = step(X[rows], Y[rows])
            for name, values in found.items():
                values.append(told[name].numpy())
    return model, found


@pytest.mark.parametrize("batch", [10, 16, 50, 64])
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_is_the_loop(batch: int, shuffled: bool, drop_last: bool) -> None:
    if batch > 50 and drop_last:
        return
    order = np.random.default_rng(2).permutation(50) if shuffled else np.arange(50)
    other, expected = by_hand(batch, order, drop_last)
    model, step = training()
    told = step.epoch(
        X, tg.tensor(Y), batch_size=batch, order=order if shuffled else None, drop_last=drop_last
    )
    assert told["kind"] == "adam"
    for name, values in expected.items():
        assert isinstance(told[name], tg.Tensor)
        np.testing.assert_array_equal(told[name].numpy(), np.stack(values))
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_gradients_that_add_up() -> None:
    """Each step finds what the one before left: the first has a program of its own."""
    other, expected = by_hand(10, np.arange(50), False, clear="never")
    model, step = training("never")
    told = step.epoch(X, Y, batch_size=10)
    np.testing.assert_array_equal(told["loss"].numpy(), np.stack(expected["loss"]))
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), q.grad.numpy())


def test_some_rows_and_rows_from_the_end() -> None:
    double = tg.compile(lambda x: 2 * x.sum())
    told = double.epoch(tg.arange(6.0), batch_size=2, order=tg.tensor([0, 1, -1, 3]))
    assert told.tolist() == [2, 16]


def test_calls_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C waits for a call of the plan only."""
    f = tg.compile(lambda x: x.sum())
    monkeypatch.setattr(epoch, "CALL_SECONDS", 0.0)
    assert f.epoch(np.ones((40, 2)), batch_size=2).tolist() == [4] * 20


def test_what_does_not_fit() -> None:
    f = tg.compile(lambda x: x * 2)
    with pytest.raises(ShapeError, match=r"drop_last=True"):
        f.epoch(X, batch_size=20)
    assert f.epoch(X, batch_size=20, drop_last=True).shape == (2, 20, 6)
    with pytest.raises(ArgumentError, match="no batch"):
        f.epoch(X, batch_size=51, drop_last=True)
    with pytest.raises(ArgumentError, match="at least 1"):
        f.epoch(X, batch_size=0)
    with pytest.raises(ArgumentError, match="row numbers"):
        f.epoch(X, batch_size=2, order=[0.5, 1])
    with pytest.raises(IndexingError, match=r"0 \.\. 49"):
        f.epoch(X, batch_size=2, order=[0, 50])
    with pytest.raises(ShapeError, match="one length"):
        f.epoch(X, Y[:3], batch_size=2)
    with pytest.raises(ShapeError, match="no rows"):
        f.epoch(np.float32(1), batch_size=2)
