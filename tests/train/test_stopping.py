"""How a run ends before its last epoch: by a callback, Ctrl-C or a loss that is no number."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.train.runs import LABELS, VALUES, X, adam, measured, network, state
from tinygrad_edu import nn, optim
from tinygrad_edu.data import DataLoader, TensorDataset
from tinygrad_edu.errors import TrainingError
from tinygrad_edu.train import History, fit


def test_a_callback_may_end_training() -> None:
    history = fit(network(), (X, LABELS), epochs=9, callback=lambda h: len(h) == 2)
    assert len(history) == 2
    assert not history.interrupted


def test_ctrl_c_in_a_callback() -> None:
    def stop(history: History) -> None:
        if len(history) == 3:
            raise KeyboardInterrupt

    model, same = network(), network()
    history = fit(model, (X, LABELS), epochs=9, callback=stop)
    assert history.interrupted
    assert measured(history) == measured(fit(same, (X, LABELS), epochs=3))
    assert state(model) == state(same)


def interrupted_in_batch(number: int, by: Any) -> tuple[History, nn.Sequential]:
    """A run of 6 batches an epoch in which something happens in the forward of one."""
    model, calls = network(), []

    def hook(module: Any, args: Any, output: Any) -> None:
        calls.append(1)
        if len(calls) == number:
            by()

    with model.register_forward_hook(hook):
        return fit(model, (X, LABELS), epochs=3, batch_size=10, optimizer=adam(0.01)), model


def press() -> None:
    """Ctrl-C, delivered to this process."""
    signal.raise_signal(signal.SIGINT)


def steps_by_hand(number: int) -> tuple[nn.Sequential, list[float]]:
    """The same run without interruption, for so many steps."""
    model = network()
    optimizer, losses = optim.AdamW(model.parameters(), lr=0.01), []
    batches = DataLoader(TensorDataset(X, LABELS), 10, shuffle=True, seed=0)
    for _ in range(3):
        for x, y in batches:
            if len(losses) == number:
                return model, losses
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return model, losses


@pytest.mark.parametrize("batch", [2, 6, 9])
def test_ctrl_c_lets_the_step_finish_and_keeps_what_was_measured(batch: int) -> None:
    history, model = interrupted_in_batch(batch, press)
    expected, losses = steps_by_hand(batch)
    assert history.interrupted
    assert state(model) == state(expected)
    assert len(history) == (batch + 5) // 6
    assert history.loss[-1] == pytest.approx(np.mean(losses[6 * (len(history) - 1) :]), rel=1e-12)


def raise_interrupt() -> None:
    """An interrupt from code that does not wait."""
    raise KeyboardInterrupt


def test_an_interrupt_raised_within_a_step_drops_that_step() -> None:
    history, model = interrupted_in_batch(9, raise_interrupt)
    expected, losses = steps_by_hand(8)
    assert history.interrupted
    assert state(model) == state(expected)
    assert history.loss[1] == pytest.approx(np.mean(losses[6:]), rel=1e-12)


def test_an_interrupt_before_anything_was_measured_leaves_no_row() -> None:
    history, model = interrupted_in_batch(1, raise_interrupt)
    assert len(history) == 0
    assert history.interrupted
    assert state(model) == state(network())


def test_a_second_ctrl_c_is_raised() -> None:
    def twice() -> None:
        press()
        press()

    with pytest.raises(KeyboardInterrupt):
        interrupted_in_batch(2, twice)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_real_ctrl_c_from_outside() -> None:
    program = textwrap.dedent("""
        import numpy as np
        import tinygrad_edu as tg

        x, y = np.ones((512, 32), np.float32), np.zeros(512, int)
        model = tg.nn.Sequential(tg.nn.Linear(32, 64), tg.nn.ReLU(), tg.nn.Linear(64, 2))

        def tell(history):
            if len(history) == 1:
                print("training", flush=True)

        history = tg.train.fit(model, (x, y), epochs=10**9, callback=tell)
        finite = all(np.isfinite(p.numpy()).all() for p in model.state_dict().values())
        print(history.interrupted, 1 <= len(history) < 10**9, finite)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "training\n"
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("True True True\n", "", 0)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_before_its_step(wrong: float) -> None:
    calls: list[int] = []

    def loss(outputs: tg.Tensor, targets: tg.Tensor) -> tg.Tensor:
        calls.append(1)
        value = nn.functional.cross_entropy(outputs, targets)
        return value * wrong if len(calls) == 9 else value

    model = network()
    with pytest.raises(TrainingError, match=r"became (nan|inf) in epoch 2.*learning rate") as error:
        fit(model, (X, LABELS), loss=loss, epochs=3, batch_size=10, optimizer=adam(0.01))
    assert isinstance(error.value.history, History)
    assert len(error.value.history) == 2
    assert state(model) == state(steps_by_hand(8)[0])


def test_diverging_training_is_told() -> None:
    with pytest.raises(TrainingError, match="learning rate 1e"):
        fit(network(1), (X, VALUES), optimizer=lambda ps: optim.SGD(ps, lr=1e20), epochs=5)
