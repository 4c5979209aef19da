"""Going on where a training run stopped: the state of a run, stored after an epoch and restored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinygrad_edu.data import DataLoader
from tinygrad_edu.errors import CheckpointError
from tinygrad_edu.graph.creation import random_state, set_random_state
from tinygrad_edu.nn import Module
from tinygrad_edu.optim import Optimizer
from tinygrad_edu.optim.lr_scheduler import LRScheduler
from tinygrad_edu.train.checkpoint import PathLike, load, remove_leftovers, save
from tinygrad_edu.train.history import History
from tinygrad_edu.train.metrics import Loss, Metric
from tinygrad_edu.train.settings import (
    Settings,
    differences,
    gathered,
    of_function,
    of_loader,
    of_model,
    of_object,
    of_optimizer,
)

KIND = "tinygrad_edu.train.fit"
"""Tells these checkpoints from others."""


@dataclass
class State:
    """All of a run that changes from one epoch to the next."""

    model: Module
    optimizer: Optimizer
    schedule: LRScheduler | None
    batches: DataLoader
    validation: DataLoader | None
    history: History
    stopped: bool = False
    """Whether the callback has ended the run."""
    compiled: bool | None = None
    """Whether its steps are run as a compiled program; None: that is not known yet."""

    def settings(
        self,
        loss: Loss | None,
        metrics: Mapping[str, Metric] | None,
        seed: int | None,
        order: int | None,
    ) -> Settings:
        """What a run has in common with one that goes on from it. `order` is the seed that the user
        chose for the order of the examples.

        Raises:
            ArgumentError: The optimizer trains what the model does not hold.
        """
        metrics = {} if metrics is None else metrics
        return gathered(
            model=of_model(self.model),
            optimizer=of_optimizer(self.optimizer, self.model),
            schedule={} if self.schedule is None else of_object(self.schedule),
            loss=of_function(loss),
            metrics=gathered(**{name: of_function(metric) for name, metric in metrics.items()}),
            data=of_loader(self.batches, order),
            validation={}
            if self.validation is None
            else of_loader(self.validation, self.validation.seed),
            draws={"seed": seed},
        )

    def collect(self) -> dict[str, Any]:
        """What `restore` needs, fit for `save`."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "batches": _position(self.batches),
            "validation": None if self.validation is None else _position(self.validation),
            "random": random_state(),
            "history": self.history.rows,
            "stopped": self.stopped,
            "compiled": self.compiled,
        }

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Go back to what was collected from a run with the same settings."""
        self.model.load_state_dict(stored["model"])
        if self.schedule is not None:
            self.schedule.load_state_dict(stored["schedule"])
        # After the schedule, which has set the rates its formula gives: a callback may have set
        # others.
        self.optimizer.load_state_dict(stored["optimizer"])
        self.batches.seed, self.batches.epoch = stored["batches"]
        if self.validation is not None:
            self.validation.seed, self.validation.epoch = stored["validation"]
        set_random_state(stored["random"])
        self.history.rows[:] = stored["history"]
        self.stopped = stored["stopped"]
        self.compiled = stored.get("compiled")


def _position(loader: DataLoader) -> tuple[int, int]:
    return loader.seed, loader.epoch


class Checkpoints:
    """The file that a run is stored in.

    Args:
        path: Where. What killed processes left beside it is removed.
        every: After how many epochs.
        state: The run.
        settings: What it is set up with, before its first epoch.
    """

    def __init__(self, path: PathLike, every: int, state: State, settings: Settings) -> None:
        self._path = path
        self._every = every
        self._state = state
        self._settings = settings
        remove_leftovers(path)

    def after_epoch(self, last: bool) -> None:
        """Store the run if it is time, and in any case after its last epoch."""
        if last or len(self._state.history) % self._every == 0:
            save({"kind": KIND, "settings": self._settings, **self._state.collect()}, self._path)

    def resume(self, epochs: int) -> None:
        """Bring the run to where the stored one is.

        Raises:
            CheckpointError: The file is damaged, or holds something else, or a run that is set up
                in another way or has more than these epochs behind it. Nothing has been changed
                then.
            OSError: The file is not there, or cannot be read.
        """
        stored = load(self._path)
        if not isinstance(stored, dict) or stored.get("kind") != KIND:
            raise CheckpointError(
                f"fit: {self._path} holds no training run to resume, but something else that was "
                "given to tg.save. Nothing was changed."
            )
        changed = differences(stored["settings"], self._settings)
        if changed:
            raise CheckpointError(
                f"fit: the run in {self._path} is set up in another way, so it was not resumed and "
                "nothing was changed. Set it up as it was, or start over with resume=False and "
                "another file.\n  " + "\n  ".join(changed)
            )
        done = len(stored["history"])
        if done > epochs:
            raise CheckpointError(
                f"fit: the run in {self._path} has {done} epochs behind it, more than "
                f"epochs={epochs}. Nothing was changed."
            )
        self._state.restore(stored)
