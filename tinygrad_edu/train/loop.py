"""The training loop: `fit`, and `evaluate` for data that was not trained on."""

from __future__ import annotations

import contextlib
import math
import numbers
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tinygrad_edu.data import DataLoader
from tinygrad_edu.errors import ArgumentError, DTypeError, TrainingError
from tinygrad_edu.graph.creation import manual_seed
from tinygrad_edu.graph.modes import no_grad
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.kernels.threads import fitting
from tinygrad_edu.nn import Module, Parameter
from tinygrad_edu.optim import AdamW, Optimizer
from tinygrad_edu.optim.lr_scheduler import LRScheduler
from tinygrad_edu.train.batches import EVALUATION_BATCH, Data, batches_of, pairs
from tinygrad_edu.train.checkpoint import PathLike
from tinygrad_edu.train.compiled import CompiledSteps, compiled_steps
from tinygrad_edu.train.history import History, Means
from tinygrad_edu.train.interrupt import Interrupt
from tinygrad_edu.train.metrics import Loss, Metric, default_loss, default_metrics
from tinygrad_edu.train.progress import Bar, progress_bar
from tinygrad_edu.train.resume import Checkpoints, State

OptimizerOrMaker = Optimizer | Callable[[Iterable[Parameter]], Optimizer]
ScheduleOrMaker = LRScheduler | Callable[[Optimizer], LRScheduler]
Callback = Callable[[History], object]
Resume = bool | Literal["auto"]

_DRAWS = 1
"""The stream of a seed that belongs to draws made while training."""


def fit(
    model: Module,
    data: Data,
    *,
    loss: Loss | None = None,
    optimizer: OptimizerOrMaker | None = None,
    epochs: int = 10,
    batch_size: int = 32,
    schedule: ScheduleOrMaker | None = None,
    validation: Data | None = None,
    metrics: Mapping[str, Metric] | None = None,
    seed: int | None = 0,
    progress: bool | None = None,
    callback: Callback | None = None,
    checkpoint: PathLike | None = None,
    checkpoint_every: int = 1,
    resume: Resume = False,
    compiled: bool | None = None,
) -> History:
    """Train a model, and tell how it went. ::

        history = tg.train.fit(model, (x, y), epochs=20, validation=(x_test, y_test))

    Ctrl-C ends training after the batch in progress: what has been trained so far is kept, and the
    history says ``interrupted``. (A second Ctrl-C does not wait, and is raised.)

    With a `checkpoint`, a run that ended for whatever reason goes on from the last epoch stored
    there, when it is set up in the same way and called with `resume`. On the same machine with the
    same number of threads, parameters and history (but for its seconds) are then bit for bit those
    of a run that never stopped, if both are compiled or neither is. Stored are the states of model,
    optimizer and schedule, the history, and where the shuffling and the engine's random draws are;
    not what else a data set, a callback or a module of one's own remembers.
    ``tg.load(checkpoint)["model"]`` is the model's state.

    Args:
        model: Trained in place, in training mode, and left in it.
        data: What to train on: a pair (inputs, targets) of arrays or tensors, a data set of such
            pairs, or a `DataLoader` of them. The floats of a pair of arrays are converted to the
            model's dtype.
        loss: A function (or module) of outputs and targets. None: cross-entropy where targets are
            integers, else the mean squared error.
        optimizer: An optimizer, or a function that makes one of the parameters (a class will do).
            None: AdamW with its defaults.
        epochs: How often to go through the data.
        batch_size: Examples in a step; a `DataLoader` has its own.
        schedule: A learning rate schedule, or a function that makes one of the optimizer; it steps
            after each epoch.
        validation: Data to measure on after each epoch.
        metrics: Functions of (outputs, targets) by name, each the mean over a batch. None: the
            accuracy where targets are integers.
        seed: Decides the order of the examples (a `DataLoader` has its own) and the random draws of
            the model (dropout), so that a run can be repeated bit for bit. None: an order nobody
            chose, and draws that go on where they are.
        progress: Whether to show a bar on standard error. None: if that is a terminal.
        callback: Called with the history after each epoch; if what it returns is true, training
            ends. It is asked again when a run that it has ended is resumed.
        checkpoint: A file to store the run in, after the callback: every `checkpoint_every` epochs
            and after the last. It is replaced as a whole, see `tinygrad_edu.save`.
        checkpoint_every: A number of epochs.
        resume: Whether to go on with the run in `checkpoint`; "auto" does so if there is one. More
            `epochs` than before may be asked for; they count from the start.
        compiled: Whether to run steps as a compiled program, many in one call (`tg.compile`). The
            numbers are the same up to rounding. True raises where the step cannot be compiled;
            None compiles it if it can be and no module has a hook other than a `Probe`'s, which
            would not be called at every step; where it cannot, a warning gives the reason. A run
            that is resumed goes on as it was with None, and warns if another way is asked for.

    Raises:
        TrainingError: The loss became infinite or NaN. The step that would have followed is not
            taken, and the error's `history` has what was measured.
        CheckpointError: The run to resume is damaged, has more than these epochs behind it, or is
            set up with another model, optimizer, schedule, loss, data or options, as far as these
            can be told apart (functions only by name); the message lists what differs. The model is
            untouched.
        DataError: Batches that are not pairs. ArgumentError: epochs < 0, checkpoint_every < 1,
            `resume` without a checkpoint, or a checkpoint that would not hold all that is trained.
            OSError: The checkpoint cannot be read or written.
    """
    _check_arguments(epochs, checkpoint, checkpoint_every, resume)
    _check_functions(loss=loss, optimizer=optimizer, schedule=schedule, callback=callback)
    if metrics is not None and not isinstance(metrics, Mapping):
        raise ArgumentError(f"fit: metrics are functions by name, not {metrics!r}.")
    _check_functions(**(metrics or {}))
    batches = batches_of(data, model, batch_size, shuffle=True, seed=seed)
    validation_batches = None if validation is None else batches_of(validation, model)
    if seed is not None:
        manual_seed(seed_apart(seed, _DRAWS))
    if not isinstance(optimizer, Optimizer):
        optimizer = (optimizer or AdamW)([p for p in model.parameters() if p.requires_grad])
    if schedule is not None and not isinstance(schedule, LRScheduler):
        schedule = schedule(optimizer)
    measure = _Measure(loss, metrics)
    state = State(model, optimizer, schedule, batches, validation_batches, History())
    checkpoints = None
    if checkpoint is not None:
        order = batches.seed if isinstance(data, DataLoader) else seed
        settings = state.settings(loss, metrics, seed, order)
        checkpoints = Checkpoints(checkpoint, checkpoint_every, state, settings)
        if resume is True or (resume and os.path.exists(checkpoint)):
            checkpoints.resume(epochs)
    model.train()
    with (
        fitting(largest_product(model, batches.batch_size)),
        Interrupt() as interrupt,
        progress_bar(progress, epochs, len(batches), done=len(state.history)) as bar,
    ):
        try:
            steps = compiled_steps(compiled, state, loss, metrics)
            _Run(state, measure, interrupt, bar, steps).train(epochs, callback, checkpoints)
        except KeyboardInterrupt:
            if interrupt.insisted:
                raise
            state.history.interrupted = True
    return state.history


def _check_arguments(
    epochs: int, checkpoint: PathLike | None, checkpoint_every: int, resume: Resume
) -> None:
    if not isinstance(epochs, numbers.Integral) or epochs < 0:
        raise ArgumentError(f"fit: needs a whole number of epochs >= 0, got {epochs!r}.")
    if not isinstance(checkpoint_every, numbers.Integral) or checkpoint_every < 1:
        raise ArgumentError(f"fit: needs checkpoint_every >= 1, got {checkpoint_every!r}.")
    if resume not in (True, False, "auto"):
        raise ArgumentError(f'fit: resume is True, False or "auto", not {resume!r}.')
    if resume and checkpoint is None:
        raise ArgumentError("fit: resume needs a checkpoint, the file to go on from.")


def _check_functions(**given: Any) -> None:
    """Refuse what is neither a function nor an optimizer or schedule that is made already."""
    for role, what in given.items():
        if (
            what is not None
            and not callable(what)
            and not isinstance(what, Optimizer | LRScheduler)
        ):
            raise ArgumentError(
                f"fit: {role} is a function, or what it makes or computes; not {what!r}."
            )


def evaluate(
    model: Module,
    data: Data,
    loss: Loss | None = None,
    *,
    metrics: Mapping[str, Metric] | None = None,
    batch_size: int = EVALUATION_BATCH,
) -> dict[str, float]:
    """Loss and metrics of a model on data, as means over the examples: {"loss": ..., ...}.

    The model computes in evaluation mode, without recording, and is left as it was. Data, loss and
    metrics: as for `fit`.

    Raises:
        DataError: Batches that are not pairs.
    """
    batches = batches_of(data, model, batch_size)
    return _evaluate(model, batches, _Measure(loss, metrics), check=lambda: None)


def _evaluate(
    model: Module, batches: DataLoader, measure: _Measure, check: Callable[[], None]
) -> dict[str, float]:
    means = Means()
    threads = fitting(largest_product(model, batches.batch_size))
    with evaluation_mode(model), no_grad(), threads:
        for x, y in pairs(batches):
            outputs = model(x)
            means.add(len(x), measure(outputs, y, measure.loss(outputs, y)))
            check()
    return means.result()


def largest_product(model: Module, examples: int) -> float:
    """FLOP of the largest product of weights with a batch, as far as shapes of weights tell."""
    weights = [parameter.numel() for parameter in model.parameters() if parameter.ndim > 1]
    return 2.0 * examples * max(weights, default=0)


@contextlib.contextmanager
def evaluation_mode(model: Module) -> Iterator[None]:
    """Evaluation mode for a while; then each module is in the mode it was in before."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


class _Measure:
    """The loss and the metrics, as given or as fits the targets."""

    def __init__(self, loss: Loss | None, metrics: Mapping[str, Metric] | None) -> None:
        self._loss = loss
        self._metrics = metrics

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of a batch."""
        loss = (self._loss or default_loss(targets))(outputs, targets)
        if not isinstance(loss, Tensor):
            raise DTypeError(f"fit: the loss is a tensor of one element, not {loss!r}.")
        return loss

    def __call__(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> dict[str, float]:
        """Loss and metrics of a batch as numbers."""
        metrics = default_metrics(targets) if self._metrics is None else self._metrics
        with no_grad():
            measured = {name: float(metric(outputs, targets)) for name, metric in metrics.items()}
        return {"loss": float(loss.item()), **measured}


@dataclass
class _Run:
    """A training run, all its parts made."""

    state: State
    measure: _Measure
    interrupt: Interrupt
    bar: Bar
    steps: CompiledSteps | None

    def train(
        self, epochs: int, callback: Callback | None, checkpoints: Checkpoints | None
    ) -> None:
        """Go on until so many epochs are done, or the callback ends it."""
        state = self.state
        if state.stopped:  # as stored; who resumes may ask for more
            state.stopped = callback is not None and bool(callback(state.history))
        while len(state.history) < epochs and not state.stopped:
            self.epoch()
            if state.schedule is not None:
                state.schedule.step()
            state.stopped = callback is not None and bool(callback(state.history))
            if checkpoints is not None:
                checkpoints.after_epoch(last=state.stopped or len(state.history) >= epochs)
            if not state.stopped:
                self.interrupt.check()

    def epoch(self) -> None:
        """Go through the data once and add a row to the history, also if it is interrupted."""
        state = self.state
        started, means = time.perf_counter(), Means()
        row = {"lr": float(state.optimizer.param_groups[0]["lr"])}
        validated: dict[str, float] = {}
        try:
            if self.steps is None:
                self._batches(means)
            else:
                self._compiled(self.steps, means)
            if state.validation is not None:
                measured = _evaluate(
                    state.model, state.validation, self.measure, self.interrupt.check
                )
                validated = {f"val_{name}": value for name, value in measured.items()}
        finally:
            if means.examples:
                row["seconds"] = time.perf_counter() - started
                state.history.rows.append({**means.result(), **validated, **row})

    def _batches(self, means: Means) -> None:
        """An epoch, batch by batch."""
        for x, y in pairs(self.state.batches):
            means.add(len(x), self.step(x, y))
            self.bar.advance(len(self.state.history) + 1, means.result())
            self.interrupt.check()

    def _compiled(self, steps: CompiledSteps, means: Means) -> None:
        """An epoch, many batches at a time."""
        for examples, measured in steps.epoch(self.state.batches):
            means.add_each(examples, measured)
            count = len(measured["loss"])
            self.bar.advance(len(self.state.history) + 1, means.result(), count)
            if steps.failed is not None:
                raise self._diverged(steps.failed)
            self.interrupt.check()

    def _diverged(self, loss: float) -> TrainingError:
        optimizer, history = self.state.optimizer, self.state.history
        return TrainingError(
            f"fit: the loss became {loss} in epoch {len(history) + 1}, at learning rate "
            f"{optimizer.param_groups[0]['lr']:.3g}. The parameters are those that gave it. A "
            "lower learning rate, tg.optim.clip_grad_norm_ or another initialisation may help; in "
            "the first step, look for NaN in the data and for labels that are no class.",
            history,
        )

    def step(self, x: Tensor, y: Tensor) -> dict[str, float]:
        """One update, and what was measured before it."""
        optimizer = self.state.optimizer
        outputs = self.state.model(x)
        loss = self.measure.loss(outputs, y)
        measured = self.measure(outputs, y, loss)
        if not math.isfinite(measured["loss"]):
            raise self._diverged(measured["loss"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return measured


def seed_apart(seed: int, stream: int) -> int:
    """A seed apart from the one itself, under which the model may have been initialised: else the
    first dropout mask would be made of the numbers that made the first weights."""
    sequence = np.random.SeedSequence(seed, spawn_key=(stream,))
    return int(sequence.generate_state(1, np.uint64)[0])
