"""`fit` with compiled steps: the history, checkpoints and ends of a run are those without."""

from __future__ import annotations

import signal
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.compiler import epoch
from tinygrad_edu.errors import TinygradError, TraceError, TrainingError
from tinygrad_edu.train import Probe
from tinygrad_edu.train import compiled as steps
from tinygrad_edu.train.history import History

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 6)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)


def fit(compiled: bool | None, **options: Any) -> tuple[nn.Module, History]:
    """50 examples in batches of 8: the last of an epoch has 2."""
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    chosen = {
        "epochs": 3,
        "batch_size": 8,
        "optimizer": partial(optim.Adam, lr=0.01),
        "schedule": partial(optim.lr_scheduler.CosineAnnealingLR, T_max=3),
        **options,
    }
    data = chosen.pop("data", (X, Y))
    return model, tg.train.fit(model, data, compiled=compiled, **chosen)


def state(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: t.numpy() for name, t in model.state_dict().items()}


def agree(first: tuple[nn.Module, History], second: tuple[nn.Module, History]) -> None:
    assert first[1].columns == second[1].columns
    assert len(first[1]) == len(second[1])
    for column in first[1].columns:
        if column != "seconds":
            np.testing.assert_allclose(first[1][column], second[1][column], rtol=1e-5)
    for name, array in state(first[0]).items():
        np.testing.assert_allclose(array, state(second[0])[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", [optim.SGD, optim.AdamW, optim.RMSprop])
def test_same_numbers(optimizer: Any) -> None:
    options = {"optimizer": partial(optimizer, lr=0.01), "validation": (X[:9], Y[:9])}
    agree(fit(True, **options), fit(False, **options))


def test_losses_metrics_and_data_sets() -> None:
    targets = X[:, :3] * 2
    measure = {"largest": lambda z, y: (z - y).abs().max()}
    options: dict[str, Any] = {"metrics": measure, "loss": nn.MSELoss()}

    class Pairs:
        def __len__(self) -> int:
            return 20

        def __getitem__(self, i: int) -> Any:
            return X[i], targets[i]

    for data in ((X, targets), Pairs(), tg.data.DataLoader(Pairs(), 6, shuffle=True, seed=3)):
        seed = {"epoch": 0}
        found = []
        for compiled in (True, False):
            if isinstance(data, tg.data.DataLoader):
                data.epoch = seed["epoch"]
            found.append(fit(compiled, data=data, **options))
        agree(*found)


def test_many_steps_a_call_and_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch, "CALL_SECONDS", 1e-9)
    one = fit(True)
    monkeypatch.setattr(epoch, "CALL_SECONDS", 100.0)
    many = fit(True)
    for name, array in state(one[0]).items():
        np.testing.assert_array_equal(array, state(many[0])[name])
    assert one[1].loss == many[1].loss


def test_a_resumed_run_is_the_run(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    whole = fit(True, epochs=4)
    fit(True, epochs=2, checkpoint=path)
    resumed = fit(True, epochs=4, checkpoint=path, resume=True)
    for name, array in state(whole[0]).items():
        np.testing.assert_array_equal(array, state(resumed[0])[name])
    assert whole[1].loss == resumed[1].loss


@pytest.mark.parametrize("mode", [True, False])
def test_a_run_goes_on_in_the_mode_it_was_in(mode: bool, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    whole = fit(mode, epochs=4)
    fit(mode, epochs=2, checkpoint=path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resumed = fit(None, epochs=3, checkpoint=path, resume=True)
    assert resumed[1].loss == whole[1].loss[:3]
    with pytest.warns(UserWarning, match=f"up to rounding, not to the bit; compiled={mode}"):
        other = fit(not mode, epochs=4, checkpoint=path, resume=True)
    agree(whole, other)
    with pytest.warns(UserWarning, match=f"compiled={not mode}"):  # it is in the other mode now
        fit(mode, epochs=5, checkpoint=path, resume=True)


def test_a_loss_that_is_no_number() -> None:
    """The model is that which gave it, as without compiling."""
    x = X.copy()
    x[29] = 1e30  # its square is infinite
    found = []
    for compiled in (True, False):
        tg.manual_seed(0)
        model = nn.Linear(6, 1)
        with pytest.raises(TrainingError, match="loss became inf in epoch 1") as caught:
            tg.train.fit(
                model,
                (x, X[:, :1]),
                optimizer=partial(optim.SGD, lr=0.01, momentum=0.9),
                batch_size=4,
                compiled=compiled,
                seed=1,
            )
        assert caught.value.history.loss  # type: ignore[attr-defined]  # it did not happen at once
        found.append((model, caught.value.history))
    agree(*found)  # type: ignore[arg-type]


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch, "CALL_SECONDS", 1e-9)
    count = 0
    run = steps.CompiledSteps._call

    def call(self: Any, *args: Any) -> Any:
        nonlocal count
        count += 1
        if count == 3:
            signal.raise_signal(signal.SIGINT)
        return run(self, *args)

    monkeypatch.setattr(steps.CompiledSteps, "_call", call)
    _, history = fit(True)
    assert history.interrupted
    assert len(history) == 1
    assert count == 3


def test_what_cannot_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = {"first": lambda z, y: float(z.detach().numpy()[0, 0])}
    with pytest.raises(TraceError, match="numpy"):
        fit(True, metrics=metrics)
    monkeypatch.setattr(steps, "BY_DEFAULT", True)
    with pytest.warns(UserWarning, match="without compiling, since"):
        told = fit(None, metrics=metrics)
    agree(told, fit(False, metrics=metrics))
    assert issubclass(TraceError, TinygradError)


def test_the_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    fit(True, progress=True)
    assert "epoch 3/3" in capsys.readouterr().err


# ------------------------------------------------------------------------------ with a probe


@pytest.mark.parametrize("compiled", [True, None])
def test_a_probe(compiled: bool | None) -> None:
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = partial(optim.Adam, lr=0.01)
    with Probe(model, every=5) as probe:
        history = tg.train.fit(
            model, (X, Y), optimizer=optimizer, epochs=3, batch_size=8, compiled=compiled
        )
    agree((model, history), fit(False, optimizer=optimizer, schedule=None))
    assert probe.steps == 21
    noted = [record.step for record in probe.layer("1")]
    assert noted == [0, 5, 10, 15, 20]
    assert all(record.gradient is not None for record in probe.records)
    probe.plot()


def test_a_probe_tells_the_same_as_without_compiling() -> None:
    found = []
    for compiled in (True, False):
        tg.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
        with Probe(model, every=4) as probe:
            tg.train.fit(model, (X, Y), epochs=3, batch_size=8, compiled=compiled)
        found.append(probe.records)
    for one, other in zip(*found, strict=True):
        assert (one.layer, one.step) == (other.layer, other.step)
        assert one.activation.variance == pytest.approx(other.activation.variance, rel=1e-4)
        assert one.gradient is not None
        assert other.gradient is not None
        assert one.gradient.rms == pytest.approx(other.gradient.rms, rel=1e-4)


def test_compiled_steps_are_noted_seldom_in_the_long_run() -> None:
    model = nn.Linear(6, 3)
    optimizer = optim.SGD(model.parameters(), lr=0.01)

    @tg.compile
    def step(x: tg.Tensor) -> None:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    with Probe(model) as probe:
        for _ in range(3100):
            step(X)
    assert [r.step for r in probe.layer("")] == [*range(0, 1000, 100), 1000, 2000, 3000]


def test_a_loss_that_is_no_number_at_a_step_that_is_noted() -> None:
    x = X.copy()
    x[29] = 1e30
    found = []
    for compiled in (True, False):
        tg.manual_seed(0)
        model = nn.Linear(6, 1)
        options: dict[str, Any] = {"batch_size": 4, "compiled": compiled, "seed": 1}
        sgd = partial(optim.SGD, lr=0.01, momentum=0.9)
        with Probe(model, every=1) as probe, pytest.raises(TrainingError, match="inf in") as caught:
            tg.train.fit(model, (x, X[:, :1]), optimizer=sgd, **options)
        found.append((model, caught.value.history))
        assert probe.steps >= 2
    agree(*found)  # type: ignore[arg-type]


def test_other_hooks_are_called_at_every_step() -> None:
    model, calls = nn.Linear(6, 3), []
    with model.register_forward_hook(lambda *call: calls.append(1)):
        tg.train.fit(model, (X, Y), epochs=2, batch_size=10)
    assert len(calls) == 10
