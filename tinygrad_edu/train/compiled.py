"""The steps of `fit` as a compiled program: many batches in one call."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from tinygrad_edu.compiler.compiled import Compiled
from tinygrad_edu.compiler.entry import Entry
from tinygrad_edu.compiler.epoch import CALL_SECONDS
from tinygrad_edu.data import DataLoader, TensorDataset
from tinygrad_edu.errors import TinygradError
from tinygrad_edu.graph import node as graph
from tinygrad_edu.graph.creation import random_state, set_random_state
from tinygrad_edu.graph.modes import no_grad
from tinygrad_edu.graph.tensor import Tensor
from tinygrad_edu.nn import Module
from tinygrad_edu.optim import Optimizer
from tinygrad_edu.train.batches import pairs
from tinygrad_edu.train.metrics import Loss, Metric, default_loss, default_metrics
from tinygrad_edu.train.resume import State

BY_DEFAULT = True
"""Whether `fit(compiled=None)` compiles."""

Measured = dict[str, Any]
"""For each name, what was measured at each of several steps."""


def compiled_steps(
    compiled: bool | None,
    state: State,
    loss: Loss | None,
    metrics: Mapping[str, Metric] | None,
) -> CompiledSteps | None:
    """The compiled steps of a run, or None if it is to do without.

    Raises:
        TinygradError: The step cannot be compiled, and `compiled` is True.
    """
    if compiled is False or (compiled is None and not BY_DEFAULT):
        return None
    if graph.watch is not None:
        return None  # detect_anomaly looks at every op
    if compiled is None and _has_hooks(state.model):
        return None  # a Probe, or whatever else wants to see every step
    steps = CompiledSteps(state.model, state.optimizer, loss, metrics)
    try:
        steps.prepare(state.batches)
    except TinygradError as error:
        if compiled:
            raise
        warnings.warn(f"fit: training without compiling, since {error}", stacklevel=3)
        return None
    return steps


def _has_hooks(model: Module) -> bool:
    """Whether anything is called when a module of the model is: Python would do it at the trace
    only."""
    return any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def train_step(
    model: Module,
    optimizer: Optimizer,
    loss: Loss | None,
    metrics: Mapping[str, Metric] | None,
    x: Tensor,
    y: Tensor,
) -> Measured:
    """One update, and what was measured before it."""
    outputs = model(x)
    cost = (loss or default_loss(y))(outputs, y)
    with no_grad():
        chosen = default_metrics(y) if metrics is None else metrics
        measured = {name: metric(outputs, y) for name, metric in chosen.items()}
    optimizer.zero_grad()
    cost.backward()
    optimizer.step()
    return {"loss": cost.reshape(()), **measured}


class CompiledSteps:
    """Goes through epochs in calls of many steps.

    Attributes:
        failed: The loss that was no number any more. The model is then as before the step that gave
            it.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Loss | None,
        metrics: Mapping[str, Metric] | None,
    ) -> None:
        step = partial(train_step, model, optimizer, loss, metrics)
        self._compiled = Compiled(step, gradients=False)
        self._seconds = CALL_SECONDS  # of one step: as yet unknown, so the first call is short
        self.failed: float | None = None

    def prepare(self, batches: DataLoader) -> None:
        """Compile for batches like the first; nothing of it is counted or changed."""
        position, draws = batches.epoch, random_state()
        try:
            x, y = next(pairs(batches))
        finally:
            batches.epoch = position
            set_random_state(draws)
        self._compiled.entry_for(x, y)

    def epoch(self, batches: DataLoader) -> Iterator[tuple[int, Measured]]:
        """For each call, the number of examples in one of its steps, and what was measured."""
        data = batches.dataset
        whole = isinstance(data, TensorDataset) and len(data.arrays) == 2 and batches.yields_tensors
        if not whole:
            for x, y in pairs(batches):
                sources = [np.asarray(t.detach())[None] for t in (x, y)]
                yield len(x), self._call(1, sources)
            return
        assert isinstance(data, TensorDataset)
        order, size = batches.begin_epoch(), batches.batch_size
        full = len(order) // size
        rows = order[: full * size].reshape(full, size)
        start = 0
        while start < full:
            steps = min(max(int(CALL_SECONDS / self._seconds), 1), full - start)
            part = rows[start : start + steps]
            yield size, self._call(steps, [(array, part) for array in data.arrays])
            start += steps
        if full < len(batches):
            rest = order[None, full * size :]
            yield rest.shape[1], self._call(1, [(array, rest) for array in data.arrays])

    def _call(self, steps: int, sources: list[Any]) -> Measured:
        """So many steps; up to the one whose loss is no number, if there is one."""
        first = [s[0][s[1][0]] if isinstance(s, tuple) else s[0] for s in sources]
        entry = self._compiled.entry_for(*first)
        restore = entry.saved()
        started = time.perf_counter()
        measured = self._run(entry, steps, sources)
        self._seconds = max((time.perf_counter() - started) / steps, 1e-9)
        finite = np.isfinite(measured["loss"])
        if finite.all():
            return measured
        taken = int(np.argmin(finite))
        self.failed = float(measured["loss"][taken])
        restore()
        entry = self._compiled.entry_for(*first)
        return {
            name: values[:taken]
            for name, values in (
                self._run(entry, taken, [_leading(s, taken) for s in sources])
                if taken
                else measured
            ).items()
        }

    def _run(self, entry: Entry, steps: int, sources: list[Any]) -> Measured:
        measured = entry.run_many(steps, sources)
        return {name: np.broadcast_to(values, steps) for name, values in measured.items()}


def _leading(source: Any, steps: int) -> Any:
    """The first steps of a source."""
    return (source[0], source[1][:steps]) if isinstance(source, tuple) else source[:steps]
