"""`fit` trains, tells how it went, can be stopped, and can be repeated bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.train.runs import LABELS, VALUES, X, adam, measured, network, state
from tinygrad_edu import nn, optim
from tinygrad_edu.data import DataLoader, TensorDataset
from tinygrad_edu.errors import (
    ArgumentError,
    DataError,
    DTypeError,
    ModuleError,
    ShapeError,
    TrainingError,
)
from tinygrad_edu.graph.creation import random_state
from tinygrad_edu.optim.lr_scheduler import LambdaLR
from tinygrad_edu.train import accuracy, evaluate, fit


class Noise(nn.Module):
    """Draws in training mode only, like dropout."""

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x + 0.1 * tg.randn(x.shape) if self.training else x


# ------------------------------------------------------------------------------ training


def test_classification_by_default() -> None:
    model = network()
    history = fit(model, (X, LABELS), epochs=25, batch_size=10, optimizer=adam(0.05))
    assert len(history) == 25
    assert history.columns == ["loss", "accuracy", "lr", "seconds"]
    assert history.loss[-1] < 0.3 * history.loss[0]
    assert history.accuracy[-1] > 0.9
    assert history.lr == [0.05] * 25
    assert min(history.seconds) > 0
    assert not history.interrupted


def test_regression_by_default() -> None:
    history = fit(network(1), (X, VALUES), epochs=30, optimizer=adam(0.05))
    assert history.columns == ["loss", "lr", "seconds"]
    assert history.loss[-1] < 0.1 * history.loss[0]


def test_loss_optimizer_metrics_and_schedule_as_given() -> None:
    model = network(1)
    signs = (2 * LABELS[:, None] - 1).astype(np.float32)
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    history = fit(
        model,
        (X, signs),
        loss=nn.HingeLoss(),
        optimizer=optimizer,
        schedule=LambdaLR(optimizer, lambda epoch: 0.5**epoch),
        metrics={"right": accuracy, "size": lambda outputs, targets: len(targets)},
        validation=(X, signs),
        epochs=4,
        batch_size=20,
    )
    assert history.columns == [
        "loss", "right", "size", "val_loss", "val_right", "val_size", "lr", "seconds",
    ]  # fmt: skip
    assert history.lr == [0.5, 0.25, 0.125, 0.0625]
    assert history["right"][-1] > 0.85
    assert history["size"] == [20] * 4


def test_makers_of_optimizer_and_schedule() -> None:
    history = fit(
        network(),
        (X, LABELS),
        optimizer=optim.Adam,
        schedule=lambda optimizer: LambdaLR(optimizer, lambda epoch: 1 - epoch),
        epochs=2,
    )
    assert history.lr == [1e-3, 0]


def test_one_epoch_is_the_loop_written_by_hand() -> None:
    model, by_hand = network(), network()
    history = fit(
        model, (X, LABELS), optimizer=adam(0.01), epochs=1, batch_size=25, seed=4, compiled=False
    )
    optimizer, losses, sizes = optim.AdamW(by_hand.parameters(), lr=0.01), [], []
    for x, y in DataLoader(TensorDataset(X, LABELS), 25, shuffle=True, seed=4):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(by_hand(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        sizes.append(len(x))
    assert state(model) == state(by_hand)
    assert history.loss == [pytest.approx(np.average(losses, weights=sizes), rel=1e-12)]


@pytest.mark.parametrize(
    "data", [TensorDataset(X, LABELS), DataLoader(TensorDataset(X, LABELS), 15), [(X[0], 1)] * 4]
)
def test_other_forms_of_data(data: Any) -> None:
    assert len(fit(network(), data, epochs=2, validation=data).val_accuracy) == 2


def test_frozen_parameters_stay() -> None:
    model = network()
    model[0].requires_grad_(False)
    before = state(model)
    fit(model, (X, LABELS), epochs=1)
    after = state(model)
    changed = [key for key in before if before[key] != after[key]]
    assert changed == ["2.weight", "2.bias"]


def test_seeds_repeat_a_run_bit_for_bit() -> None:
    def run(seed: int, draws_before: int = 0) -> tuple[Any, Any]:
        model = network().append(Noise())
        for _ in range(draws_before):
            tg.randn(1)
        history = fit(model, (X, LABELS), epochs=3, batch_size=7, seed=seed)
        return measured(history), state(model)

    first = run(1)
    assert run(1, draws_before=5) == first
    assert run(2) != first


def test_draws_while_training_are_not_those_of_the_weights() -> None:
    """Under one seed for everything, noise must not repeat the first layer's weights."""
    tg.manual_seed(0)
    weights, seen = tg.randn(20), []
    model = nn.Sequential(nn.Linear(4, 2))
    model.register_forward_hook(lambda m, a, o: seen.append(tg.randn(20)))
    fit(model, (X, LABELS), epochs=1, seed=0)
    assert seen[0].tolist() != weights.tolist()


def test_wrong_use() -> None:
    with pytest.raises(ArgumentError, match="epochs"):
        fit(network(), (X, LABELS), epochs=-1)
    with pytest.raises(DataError):
        fit(network(), (X, LABELS), seed=-1)
    with pytest.raises(ShapeError):
        fit(network(), (X[:, :3], LABELS))
    with pytest.raises(ArgumentError, match="no parameters"):
        fit(nn.ReLU(), (X, LABELS))
    assert len(fit(network(), (X, LABELS), epochs=0)) == 0


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 1.5},
        {"epochs": "3"},
        {"checkpoint_every": 0.5},
        {"optimizer": "adam"},
        {"loss": "mse"},
        {"schedule": 3},
        {"callback": 3},
        {"metrics": 3},
        {"metrics": {"accuracy": 3}},
    ],
    ids=str,
)
def test_wrong_arguments_change_nothing(options: dict[str, Any]) -> None:
    model = network()
    before, draws = state(model), random_state()
    with pytest.raises(ArgumentError, match=r"^fit: "):
        fit(model, (X, LABELS), seed=1, **options)
    assert state(model) == before
    assert random_state() == draws


@pytest.mark.parametrize("model", [3, None, nn.Linear])
def test_what_is_no_module_is_named(model: Any) -> None:
    for act in (fit, evaluate):
        with pytest.raises(ModuleError, match="needs a module"):
            act(model, (X, LABELS))


def test_a_loss_that_is_no_tensor() -> None:
    with pytest.raises(DTypeError, match="the loss is a tensor"):
        fit(network(), (X, LABELS), loss=lambda outputs, targets: 3.0, compiled=False)


@pytest.mark.parametrize("compiled", [None, True, False])
def test_nan_in_the_first_batch_is_told(compiled: bool | None) -> None:
    """No step was taken, so there is no mean to show yet."""
    model = network()
    before = state(model)
    with pytest.raises(TrainingError, match=r"became nan in epoch 1.*NaN in the data"):
        fit(model, (X * np.nan, LABELS), compiled=compiled)
    assert state(model) == before


# ------------------------------------------------------------------------------ measuring


def test_evaluate() -> None:
    model = network()
    fit(model, (X, LABELS), epochs=5)
    scores = X.astype(np.float64)
    for layer in (model[0], None, model[2]):
        if layer is None:
            scores = np.tanh(scores)
        else:
            weight, bias = (p.detach().numpy() for p in layer.parameters())
            scores = scores @ weight.T + bias
    right = np.mean(scores.argmax(1) == LABELS)
    result = evaluate(model, (X, LABELS), batch_size=7)  # the last batch is smaller
    assert result["accuracy"] == pytest.approx(right, abs=1e-12)
    expected = np.mean(np.log(np.exp(scores).sum(1)) - scores[np.arange(60), LABELS])
    assert result["loss"] == pytest.approx(expected, rel=1e-5)


def test_evaluate_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(network(), Noise(), nn.Identity())
    model[2].eval()
    first = evaluate(model, (X, LABELS))
    assert evaluate(model, (X, LABELS)) == first  # no noise
    assert [module.training for module in model] == [True, True, False]
    with pytest.raises(ShapeError):
        evaluate(model, (X[:, :2], LABELS))
    assert model.training


def test_validation_is_measured_after_each_epoch() -> None:
    model, seen = network(), []
    history = fit(
        model,
        (X[:40], LABELS[:40]),
        validation=(X[40:], LABELS[40:]),
        epochs=3,
        callback=lambda h: seen.append(evaluate(model, (X[40:], LABELS[40:]))),
    )
    assert history.val_loss == [result["loss"] for result in seen]
    assert history.val_accuracy == [result["accuracy"] for result in seen]


# ------------------------------------------------------------------------------ progress


def test_progress_is_off_where_nobody_watches(capfd: pytest.CaptureFixture[str]) -> None:
    fit(network(), (X, LABELS), epochs=1)
    assert capfd.readouterr() == ("", "")
    fit(network(), (X, LABELS), epochs=1, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "epoch 1/1" in err
