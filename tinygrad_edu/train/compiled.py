"""The steps of `fit` as a compiled program: many batches in one call."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from tinygrad_edu.compiler.compiled import Compiled
from tinygrad_edu.compiler.entry import Entry
from tinygrad_edu.compiler.epoch import at_once
from tinygrad_edu.compiler.feeds import Source, first_of, steps_of
from tinygrad_edu.data import DataLoader, TensorDataset
from tinygrad_edu.errors import TinygradError
from tinygrad_edu.graph import node as graph
from tinygrad_edu.graph.creation import random_state, set_random_state
from tinygrad_edu.graph.hooks import is_observers
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
    """The compiled steps of a run, or None if it is to do without: as its epochs so far, if nothing
    else is asked for. A run that goes on in another way is told so.

    Raises:
        TinygradError: The step cannot be compiled, and `compiled` is True.
    """
    before = state.compiled
    if compiled is None and before is False:
        compiled = False
    steps = _steps(compiled, state, loss, metrics)
    state.compiled = steps is not None
    if before is not None and before != state.compiled:
        was, now = (_MODES[mode] for mode in (before, state.compiled))
        warnings.warn(
            f"fit: the run to resume was {was} and goes on {now}, so its numbers are those of a run"
            f" that never stopped up to rounding, not to the bit; compiled={before} makes them so.",
            stacklevel=3,
        )
    return steps


_MODES = {True: "compiled", False: "without compiling"}


def _steps(
    compiled: bool | None,
    state: State,
    loss: Loss | None,
    metrics: Mapping[str, Metric] | None,
) -> CompiledSteps | None:
    if compiled is False or (compiled is None and not BY_DEFAULT):
        return None
    if graph.watch is not None:
        return None  # detect_anomaly looks at every op
    if compiled is None and _has_hooks(state.model):
        return None  # what is called at every step may be meant to see it
    steps = CompiledSteps(state.model, state.optimizer, loss, metrics)
    try:
        steps.prepare(state.batches)
    except TinygradError as error:
        if compiled:
            raise
        warnings.warn(f"fit: training without compiling, since {error}", stacklevel=4)
        return None
    return steps


def _has_hooks(model: Module) -> bool:
    """Whether anything is called when a module of the model is, which Python would do at the trace
    only. A `Probe` knows how to look at a compiled step."""
    return not all(
        is_observers(hook)
        for module in model.modules()
        for hooks in (module._forward_hooks, module._forward_pre_hooks or {})
        for hook in hooks.values()
    )


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
                yield len(x), self._call([np.asarray(t.detach())[None] for t in (x, y)])
            return
        assert isinstance(data, TensorDataset)
        order, size = batches.begin_epoch(), batches.batch_size
        full = len(order) // size
        rows = order[: full * size].reshape(full, size)
        while len(rows) and self.failed is None:
            measured = self._call([(array, rows) for array in data.arrays])
            yield size, measured
            rows = rows[len(measured["loss"]) :]
        if full < len(batches) and self.failed is None:
            rest = order[None, full * size :]
            yield rest.shape[1], self._call([(array, rest) for array in data.arrays])

    def _call(self, sources: list[Source]) -> Measured:
        """As many next steps as fit into one call; up to the one whose loss is no number, if there
        is one."""
        first = [first_of(source) for source in sources]
        entry = self._compiled.entry_for(*first)
        restore = entry.saved()
        measured = self._run(entry, min(at_once(entry), steps_of(sources[0])), sources)
        finite = np.isfinite(measured["loss"])
        if finite.all():
            return measured
        taken = int(np.argmin(finite))
        self.failed = float(measured["loss"][taken])
        restore()
        if not taken:
            return {name: values[:0] for name, values in measured.items()}
        entry = self._compiled.entry_for(*first)
        return self._run(entry, taken, sources)

    def _run(self, entry: Entry, steps: int, sources: list[Source]) -> Measured:
        """The first so many steps, or fewer."""
        taken, measured = self._compiled.run_many(entry, steps, sources)
        return {name: np.broadcast_to(values, taken) for name, values in measured.items()}
