"""The progress bar of a training run, on standard error."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol


class Bar(Protocol):
    """What the training loop tells after each batch, or after several."""

    def advance(self, epoch: int, measured: dict[str, float], batches: int = 1) -> None:
        """More batches are done, in the epoch of that number."""


class NoBar:
    """Shows nothing."""

    def advance(self, epoch: int, measured: dict[str, float], batches: int = 1) -> None:
        """Nothing."""


class RichBar:
    """A line of Rich's: epoch, bar, time left, and the means of the epoch so far."""

    def __init__(self, epochs: int, batches: int, done: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._epochs = epochs
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[measured]}"),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task(
            "training", total=epochs * batches, completed=done * batches, measured=""
        )

    def __enter__(self) -> RichBar:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def advance(self, epoch: int, measured: dict[str, float], batches: int = 1) -> None:
        """Move on by so many batches."""
        shown = "  ".join(f"{name} {value:.4g}" for name, value in measured.items())
        self._progress.update(
            self._task, advance=batches, description=f"epoch {epoch}/{self._epochs}", measured=shown
        )


def progress_bar(
    wanted: bool | None, epochs: int, batches: int, done: int = 0
) -> AbstractContextManager[Bar]:
    """The bar, or one that shows nothing: None means when standard error is a terminal. `done`
    epochs are behind a run that is resumed."""
    shown = sys.stderr.isatty() if wanted is None else wanted
    bar: AbstractContextManager[Any] = (
        RichBar(epochs, batches, done) if shown else nullcontext(NoBar())
    )
    return bar
