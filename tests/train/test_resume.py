"""A run that is resumed is the run that never stopped, or it is refused."""

from __future__ import annotations

import math
import os
import pathlib
import signal
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.train.nestings import same
from tinygrad_edu import nn, optim
from tinygrad_edu.data import DataLoader, TensorDataset
from tinygrad_edu.errors import ArgumentError, CheckpointError
from tinygrad_edu.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR
from tinygrad_edu.train import History, fit

Path = pathlib.Path
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
EPOCHS, BATCH = 5, 16


class Noise(nn.Module):
    """Draws in training mode only, like dropout."""

    def __init__(self, size: float = 0.1) -> None:
        self.size = size

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x + self.size * tg.randn(x.shape) if self.training else x


def network(width: int = 8, layout: str = "C", noise: float = 0.1) -> nn.Sequential:
    """The same small network at every call, its weights in C or Fortran order."""
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, width), nn.Tanh(), Noise(noise), nn.Linear(width, 2))
    model[0].weight = nn.Parameter(np.asarray(model[0].weight.detach(), order=layout))
    model.register_buffer("calls", tg.tensor(0))
    model.register_forward_hook(lambda module, args, output: count(model))
    return model


def count(model: nn.Module) -> None:
    """Advance the model's buffer."""
    model.calls = model.calls + 1


def sgd(**options: Any) -> Any:
    """Makes SGD with momentum."""
    return lambda ps: optim.SGD(ps, **{"lr": 0.1, "momentum": 0.9, **options})


def adamw(ps: Any) -> optim.Optimizer:
    """AdamW with two groups."""
    weights = list(ps)
    return optim.AdamW([{"params": weights[:1], "lr": 0.05}, {"params": weights[1:]}], lr=0.01)


def cosine(optimizer: optim.Optimizer) -> Any:
    """A schedule over all epochs."""
    return CosineAnnealingLR(optimizer, EPOCHS)


SETUPS: dict[str, dict[str, Any]] = {
    "momentum": {"optimizer": sgd(), "schedule": cosine},
    "nesterov in Fortran order": {"optimizer": sgd(nesterov=True), "layout": "F"},
    "adamw": {"optimizer": adamw, "schedule": cosine, "validation": (X[:20], Y[:20])},
    "rmsprop, no seed": {"optimizer": optim.RMSprop, "seed": None},
    "a loader": {"data": lambda: DataLoader(TensorDataset(X, Y), 7, shuffle=True, seed=3)},
}


def run(setup: dict[str, Any], **options: Any) -> tuple[History, nn.Module]:
    """A run of five epochs with this setup. (What kills runs here is a hook that counts, which
    cannot be compiled, and other ways to add differ in the last bit. Compiled runs are resumed in
    test_compiled.py.)"""
    setup = {"epochs": EPOCHS, "batch_size": BATCH, "compiled": False, **setup, **options}
    data, layout = setup.pop("data", lambda: (X, Y))(), setup.pop("layout", "C")
    model = setup.pop("model", None) or network(layout=layout)
    return fit(model, data, **setup), model


def measured(history: History) -> list[dict[str, float]]:
    """The rows without the time they took."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


class Killed(Exception):
    """Ends a run in the middle of a step."""


def kill_in_epoch(number: int, setup: dict[str, Any], path: Path) -> None:
    """A run that ends in its third batch of an epoch."""
    calls, model = [], network(layout=setup.get("layout", "C"))

    def hook(module: Any, args: Any, output: Any) -> None:
        if module.training:
            calls.append(1)
        if len(calls) == batches * (number - 1) + 3:
            raise Killed

    batches = math.ceil(60 / (7 if "data" in setup else BATCH))
    model.register_forward_hook(hook)
    with pytest.raises(Killed):
        run({**setup, "model": model}, checkpoint=path)


# ------------------------------------------------------------------------------ going on


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("epoch", [2, 4])
def test_resumed_to_the_bit(setup: str, epoch: int, tmp_path: Path) -> None:
    tg.manual_seed(5)  # for the run without a seed, whose order and noise are drawn from here
    history, model = run(SETUPS[setup])
    kill_in_epoch(epoch, SETUPS[setup], tmp_path / "a")
    assert len(tg.load(tmp_path / "a")["history"]) == epoch - 1
    tg.randn(7)  # other draws in between
    resumed, again = run(SETUPS[setup], checkpoint=tmp_path / "a", resume=True)
    assert measured(resumed) == measured(history)
    assert same(again.state_dict(), model.state_dict())
    assert os.listdir(tmp_path) == ["a"]


def test_states_come_back_as_they_lie_in_memory(tmp_path: Path) -> None:
    """What a product of matrices rounds to may depend on it."""
    model, again = network(layout="F"), network(layout="C")
    for network_ in (model, again):
        network_[0].requires_grad_(False)
    run({"model": model}, checkpoint=tmp_path / "a", epochs=2)
    run({"model": again}, checkpoint=tmp_path / "a", resume=True)
    for weight in (network_[0].weight.detach().numpy() for network_ in (model, again)):
        assert weight.flags.f_contiguous
        assert not weight.flags.c_contiguous


def test_with_and_without_checkpoints_a_run_is_the_same(tmp_path: Path) -> None:
    history, model = run({"optimizer": sgd()})
    stored, same_model = run({"optimizer": sgd()}, checkpoint=tmp_path / "a", checkpoint_every=2)
    assert measured(stored) == measured(history)
    assert same(model.state_dict(), same_model.state_dict())


def test_more_epochs(tmp_path: Path) -> None:
    history, model = run({"optimizer": sgd()}, epochs=7)
    run({"optimizer": sgd()}, epochs=4, checkpoint=tmp_path / "a")
    resumed, again = run({"optimizer": sgd()}, epochs=7, checkpoint=tmp_path / "a", resume=True)
    assert measured(resumed) == measured(history)
    assert same(again.state_dict(), model.state_dict())


def test_a_finished_run_is_not_trained_further(tmp_path: Path) -> None:
    history, model = run({}, checkpoint=tmp_path / "a")
    resumed, again = run({}, checkpoint=tmp_path / "a", resume=True)
    assert resumed.rows == history.rows  # with its seconds
    assert same(again.state_dict(), model.state_dict())
    with pytest.raises(CheckpointError, match="5 epochs behind it, more than epochs=3"):
        run({}, epochs=3, checkpoint=tmp_path / "a", resume=True)


@pytest.mark.parametrize(("every", "stored"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (9, [5])])
def test_stored_every_few_epochs_and_at_the_end(
    every: int, stored: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    save = tg.train.resume.save
    monkeypatch.setattr(
        tg.train.resume,
        "save",
        lambda obj, path: (found.append(len(obj["history"])), save(obj, path)),
    )
    run({}, checkpoint=tmp_path / "a", checkpoint_every=every)
    assert found == stored


def test_auto_starts_where_there_is_nothing(tmp_path: Path) -> None:
    first, _ = run({}, epochs=2, checkpoint=tmp_path / "a", resume="auto")
    second, _ = run({}, epochs=3, checkpoint=tmp_path / "a", resume="auto")
    assert second.rows[:2] == first.rows
    anew, _ = run({}, epochs=1, checkpoint=tmp_path / "a", resume=False)
    assert len(tg.load(tmp_path / "a")["history"]) == len(anew) == 1


def test_a_callback_that_ended_the_run_is_asked_again(tmp_path: Path) -> None:
    ended, model = run({}, callback=lambda h: len(h) == 2, checkpoint=tmp_path / "a")
    again, same_model = run(
        {}, callback=lambda h: len(h) == 2, checkpoint=tmp_path / "a", resume=True
    )
    assert again.rows == ended.rows
    assert same(model.state_dict(), same_model.state_dict())
    longer, _ = run({}, callback=lambda h: len(h) == 4, checkpoint=tmp_path / "a", resume=True)
    assert len(longer) == 4
    whole, _ = run({}, checkpoint=tmp_path / "a", resume=True)
    assert measured(whole) == measured(run({})[0])


def test_what_a_callback_does_to_the_rate_is_kept(tmp_path: Path) -> None:
    """The schedule's formula must not undo it."""

    def train(**options: Any) -> History:
        optimizers: list[optim.Optimizer] = []

        def make(ps: Any) -> optim.Optimizer:
            optimizers.append(sgd()(ps))
            return optimizers[0]

        def lower(history: History) -> None:
            optimizers[0].param_groups[0]["lr"] *= 0.5

        return run({"optimizer": make, "schedule": cosine, "callback": lower}, **options)[0]

    train(epochs=2, checkpoint=tmp_path / "a")
    assert measured(train(checkpoint=tmp_path / "a", resume=True)) == measured(train())


def test_the_model_alone_can_be_taken_from_it(tmp_path: Path) -> None:
    _, model = run({}, checkpoint=tmp_path / "a")
    other = network()
    other.load_state_dict(tg.load(tmp_path / "a")["model"])
    assert same(other.state_dict(), model.state_dict())


# ------------------------------------------------------------------------------ refusing


BASE: dict[str, Any] = {"optimizer": sgd(), "schedule": cosine, "validation": (X[:9], Y[:9])}
LOADER = DataLoader(TensorDataset(X, Y), BATCH, shuffle=True, seed=1)
CHANGED: dict[str, tuple[dict[str, Any], str]] = {
    "width": ({"model": network(9)}, r"model.0.weight: was float32 \(8, 4\), is float32 \(9, 4\)"),
    "layer": (
        {"model": nn.Sequential(nn.Linear(4, 8), nn.ReLU(), Noise(), nn.Linear(8, 2))},
        "model.1.class: was Tanh, is ReLU",
    ),
    "an option of a layer": ({"model": network(noise=0.2)}, "model.2.size: was 0.1, is 0.2"),
    "dtype": ({"model": network().double()}, r"is float64 \(8, 4\)"),
    "frozen": ({"optimizer": lambda ps: sgd()(list(ps)[1:])}, r"optimizer.groups.0.params: was"),
    "optimizer": ({"optimizer": optim.Adam}, "optimizer.class: was SGD, is Adam"),
    "rate": ({"optimizer": sgd(lr=0.2)}, "optimizer.groups.0.lr: was 0.1, is 0.2"),
    "momentum": ({"optimizer": sgd(momentum=0.8)}, "groups.0.momentum: was 0.9, is 0.8"),
    "groups": ({"optimizer": adamw}, r"schedule.base_lrs: was \[0.1\], is \[0.05, 0.01\]"),
    "no schedule": ({"schedule": None}, "schedule.class: was CosineAnnealingLR, is absent"),
    "schedule": ({"schedule": LinearLR}, "schedule.class: was CosineAnnealingLR, is LinearLR"),
    "length of the schedule": (
        {"schedule": lambda o: CosineAnnealingLR(o, 9)},
        "schedule.T_max: was 5, is 9",
    ),
    "batch size": ({"batch_size": 8}, "data.batch_size: was 16, is 8"),
    "seed": ({"seed": 1}, "data.seed: was 0, is 1"),
    "data": ({"data": lambda: (X + 1, Y)}, "data.arrays.0: was float32"),
    "targets": ({"data": lambda: (X, 1 - Y)}, "data.arrays.1: was int64"),
    "examples": ({"data": lambda: (X[:50], Y[:50])}, "data.examples: was 60, is 50"),
    "form of the data": ({"data": lambda: [(X[0], 1)] * 60}, "data.dataset: was TensorDataset"),
    "seed of a loader": ({"data": lambda: LOADER}, "data.seed: was 0, is 1"),
    "validation": ({"validation": (X[:8], Y[:8])}, "validation.examples: was 9, is 8"),
    "no validation": ({"validation": None}, "validation.examples: was 9, is absent"),
    "loss": ({"loss": nn.functional.cross_entropy}, "loss.name: was .*, is cross_entropy"),
    "metrics": ({"metrics": {"size": lambda o, t: len(t)}}, "metrics.size.name: was absent"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_another_setup_is_refused_and_changes_nothing(case: str, tmp_path: Path) -> None:
    change, message = CHANGED[case]
    path = tmp_path / "a"
    run(BASE, epochs=2, checkpoint=path)
    setup = {"model": network(), **BASE, **change}
    before, stored = setup["model"].state_dict(), path.read_bytes()
    with pytest.raises(CheckpointError, match=message):
        run(setup, checkpoint=path, resume=True)
    assert same(setup["model"].state_dict(), before)
    assert path.read_bytes() == stored


def test_all_that_differs_is_listed_up_to_ten(tmp_path: Path) -> None:
    run(BASE, epochs=1, checkpoint=tmp_path / "a")
    setup = {"model": network(9), "optimizer": adamw, "batch_size": 7}
    with pytest.raises(CheckpointError) as error:
        run(setup, checkpoint=tmp_path / "a", resume=True)
    for part in ("0.weight", "optimizer.class", "and ", " more"):
        assert part in str(error.value)
    assert len(str(error.value).splitlines()) == 12


def test_functions_and_progress_are_no_setting(tmp_path: Path) -> None:
    """Functions without a name cannot be told apart, and must not be refused."""
    schedule: Any = lambda o: LambdaLR(o, lambda epoch: 0.9**epoch)  # noqa: E731
    options = {"loss": lambda o, t: nn.functional.cross_entropy(o, t), "schedule": schedule}
    run(options, epochs=1, checkpoint=tmp_path / "a")
    options["loss"] = lambda o, t: nn.functional.cross_entropy(o, t)
    assert len(run(options, progress=True, checkpoint=tmp_path / "a", resume=True)[0]) == EPOCHS


@pytest.mark.parametrize(
    ("obj", "message"),
    [(network().state_dict(), "no training run"), ([1], "no training run"), (None, "no training")],
)
def test_a_checkpoint_of_something_else(obj: Any, message: str, tmp_path: Path) -> None:
    tg.save(obj, tmp_path / "a")
    model = network()
    before = model.state_dict()
    for resume in (True, "auto"):
        with pytest.raises(CheckpointError, match=message):
            run({"model": model}, checkpoint=tmp_path / "a", resume=resume)
    assert same(model.state_dict(), before)


def test_a_damaged_file_is_no_reason_to_start_over(tmp_path: Path) -> None:
    run({}, epochs=1, checkpoint=tmp_path / "a")
    os.truncate(tmp_path / "a", 900)
    for resume in (True, "auto"):
        with pytest.raises(CheckpointError, match="truncated"):
            run({}, checkpoint=tmp_path / "a", resume=resume)


def test_wrong_use(tmp_path: Path) -> None:
    for options, message in [
        ({"resume": True}, "resume needs a checkpoint"),
        ({"resume": "auto"}, "resume needs a checkpoint"),
        ({"resume": "yes", "checkpoint": tmp_path / "a"}, "not 'yes'"),
        ({"checkpoint": tmp_path / "a", "checkpoint_every": 0}, "checkpoint_every >= 1"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            run({}, **options)
    with pytest.raises(FileNotFoundError):
        run({}, checkpoint=tmp_path / "a", resume=True)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        run({}, checkpoint=tmp_path / "absent" / "a")
    outside = optim.SGD([nn.Parameter([1.0])])
    with pytest.raises(ArgumentError, match="no part of the model"):
        run({"optimizer": outside}, checkpoint=tmp_path / "a")
    assert os.listdir(tmp_path) == []


# ------------------------------------------------------------------------------ being stopped


def press() -> None:
    """Ctrl-C, delivered to this process."""
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("batch", [1, 3, 4, 6, 8])
def test_ctrl_c_leaves_the_last_whole_epoch(batch: int, tmp_path: Path) -> None:
    """Four batches an epoch."""
    model, calls = network(), []

    def hook(module: Any, args: Any, output: Any) -> None:
        calls.append(1)
        if len(calls) == batch:
            press()

    model.register_forward_hook(hook)
    stopped, _ = run({"model": model}, checkpoint=tmp_path / "a")
    assert stopped.interrupted
    stored = len(tg.load(tmp_path / "a")["history"]) if (tmp_path / "a").exists() else 0
    assert stored == (batch - 1) // 4  # the check comes before the end of an epoch
    resumed, again = run({}, checkpoint=tmp_path / "a", resume="auto")
    history, through = run({})
    assert measured(resumed) == measured(history)
    assert not resumed.interrupted
    assert same(again.state_dict(), through.state_dict())


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_while_storing(
    presses: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first waits until the file is complete; the second does not, and the old one stays."""
    run({}, epochs=2, checkpoint=tmp_path / "a")
    fsync, left = os.fsync, [press] * presses

    def interrupted(descriptor: int) -> None:
        while left:
            left.pop()()
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        if presses == 1:
            assert run({}, checkpoint=tmp_path / "a", resume=True)[0].interrupted
        else:
            with pytest.raises(KeyboardInterrupt):
                run({}, checkpoint=tmp_path / "a", resume=True)
    assert os.listdir(tmp_path) == ["a"]
    assert len(tg.load(tmp_path / "a")["history"]) == (3 if presses == 1 else 2)
