"""The default network learns the digits, and its test data has no part in it."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_edu.data import Digits, load_digits
from tinygrad_edu.train.digits import Recipe, network, prepared, run, train_on


def test_network() -> None:
    model = network(3)
    shapes = [tuple(p.shape) for p in model.parameters()]
    assert shapes == [(128, 64), (128,), (64, 128), (64,), (10, 64), (10,)]
    laws = [p.law for p in model.parameters()]
    assert all(law is not None for law in laws)
    assert [law.variance for law in laws if law] == pytest.approx(
        [2 / 64, 0, 2 / 128, 0, 2 / 64, 0]
    )
    assert [type(m).__name__ for m in model] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert network(3)[0].weight.tolist() == model[0].weight.tolist()
    assert network(4)[0].weight.tolist() != model[0].weight.tolist()


def test_reaches_97_percent() -> None:
    """The median of three seeds; all ten: python -m tinygrad_edu.train --seeds 0-9."""
    accuracies = [run(seed, progress=False).test_accuracy for seed in range(3)]
    assert np.median(accuracies) >= 0.97


def test_a_run_can_be_repeated() -> None:
    first, second = (run(5, Recipe(epochs=2), progress=False) for _ in range(2))
    assert first.history.loss == second.history.loss
    assert (first.test_loss, first.test_accuracy) == (second.test_loss, second.test_accuracy)
    assert run(6, Recipe(epochs=2), progress=False).test_loss != first.test_loss


@pytest.mark.parametrize("standardize", [True, False])
def test_test_data_has_no_influence_on_training(standardize: bool) -> None:
    train, test = load_digits().split(0.25, 0)
    other = Digits(1 - test.images, test.labels[::-1].copy())
    recipe = Recipe(epochs=1, standardize=standardize)
    histories = [train_on(train, held_out, 0, recipe, False).history for held_out in (test, other)]
    assert histories[0].loss == histories[1].loss
    if standardize:
        scaled = prepared(train, test, True)[0].images
        assert np.abs(scaled.mean(0)).max() < 1e-5
