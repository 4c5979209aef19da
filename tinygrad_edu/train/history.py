"""What a training run measured, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinygrad_edu.errors import ArgumentError

ROWS_SHOWN = 10
NOT_PLOTTED = ("lr", "seconds")


class Means:
    """Running means over examples of what is measured batch by batch."""

    def __init__(self) -> None:
        self.examples = 0
        self._totals: dict[str, float] = {}

    def add(self, examples: int, values: dict[str, float]) -> None:
        """The means of one batch of so many examples."""
        self.examples += examples
        for name, value in values.items():
            self._totals[name] = self._totals.get(name, 0.0) + examples * value

    def add_each(self, examples: int, values: dict[str, Any]) -> None:
        """The means of several batches of so many examples, one after another."""
        for name, column in values.items():
            total = self._totals.get(name, 0.0)
            for value in column:
                total += examples * float(value)
            self._totals[name] = total
        self.examples += examples * max(map(len, values.values()), default=0)

    def result(self) -> dict[str, float]:
        """The means over all examples so far; nothing before the first."""
        if not self.examples:
            return {}
        return {name: total / self.examples for name, total in self._totals.items()}


class History:
    """One row an epoch, read by columns: ``history.loss`` or ``history["loss"]``.

    Columns are loss, accuracy (or what the metrics are called), the same with "val_" before it for
    the validation data, lr and seconds. Loss and metrics are means over the epoch's examples, each
    measured on its batch just before the update it caused.

    Attributes:
        rows: A dictionary for each epoch. The last one may cover a part of an epoch, if training
            was stopped in it.
        interrupted: Whether Ctrl-C ended the training.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.interrupted = False

    def __len__(self) -> int:
        """The number of epochs."""
        return len(self.rows)

    @property
    def columns(self) -> list[str]:
        """The names of what was measured, in order."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def __getitem__(self, column: str) -> list[float]:
        """One value an epoch, NaN where an interrupted epoch has none."""
        if column not in self.columns:
            raise ArgumentError(f"History: no {column!r} was measured, but {self.columns}.")
        return [row.get(column, math.nan) for row in self.rows]

    def _column(self, name: str) -> list[float]:
        return self[name] if name in self.columns else []

    @property
    def loss(self) -> list[float]:
        """The mean training loss of each epoch."""
        return self._column("loss")

    @property
    def accuracy(self) -> list[float]:
        """The share of training examples classified rightly, while training; [] if not measured."""
        return self._column("accuracy")

    @property
    def val_loss(self) -> list[float]:
        """The mean loss on the validation data after each epoch; [] without such data."""
        return self._column("val_loss")

    @property
    def val_accuracy(self) -> list[float]:
        """The share of validation examples classified rightly; [] if not measured."""
        return self._column("val_accuracy")

    @property
    def lr(self) -> list[float]:
        """The learning rate in each epoch (of the first parameter group)."""
        return self._column("lr")

    @property
    def seconds(self) -> list[float]:
        """The wall time of each epoch, validation included."""
        return self._column("seconds")

    @property
    def last(self) -> dict[str, float]:
        """The latest row; empty before the first epoch."""
        return dict(self.rows[-1]) if self.rows else {}

    def __repr__(self) -> str:
        ended = ", interrupted" if self.interrupted else ""
        title = f"History of {len(self)} epoch{'' if len(self) == 1 else 's'}{ended}"
        if not self.rows:
            return title
        shown = spread(len(self), ROWS_SHOWN)
        rows = [[str(i + 1), *(f"{self[c][i]:.4g}" for c in self.columns)] for i in shown]
        return "\n".join([title, as_table(["epoch", *self.columns], rows)])

    def plot(self) -> Any:
        """A matplotlib figure: the losses on a logarithmic scale, and each metric beside them.

        Raises:
            ImportError: matplotlib is not installed; the extra "plots" brings it.
        """
        panels = [c for c in self.columns if not c.startswith("val_") and c not in NOT_PLOTTED]
        figure = figure_class()(figsize=(4.5 * max(len(panels), 1), 3.2), layout="constrained")
        epochs = range(1, len(self) + 1)
        for number, name in enumerate(panels, start=1):
            axes = figure.add_subplot(1, len(panels), number)
            for column, label in ((name, "training"), (f"val_{name}", "validation")):
                if column in self.columns:
                    axes.plot(epochs, self[column], label=label)
            axes.set(xlabel="epoch", title=name, yscale="log" if name == "loss" else "linear")
            axes.legend()
        return figure


def figure_class() -> Any:
    """matplotlib's Figure, which draws without a display.

    Raises:
        ImportError: It is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "plot: needs matplotlib; install it with pip install 'tinygrad-edu[plots]'."
        ) from None
    return Figure


def as_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells in columns, each as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in [header, *rows]
    )


def spread(n: int, at_most: int) -> list[int]:
    """Up to `at_most` of the numbers 0 ... n - 1, evenly spread, first and last among them."""
    if n <= at_most:
        return list(range(n))
    return [round(i * (n - 1) / (at_most - 1)) for i in range(at_most)]
