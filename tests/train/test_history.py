"""A history is a table read by columns."""

from __future__ import annotations

import math
import sys

import pytest

from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.train.history import History, Means, spread


def history(epochs: int) -> History:
    """A loss that halves and an accuracy that grows."""
    made = History()
    for i in range(epochs):
        made.rows.append(
            {"loss": 0.5**i, "accuracy": i / epochs, "val_loss": 1.0, "lr": 0.1, "seconds": 2.0}
        )
    return made


def test_columns() -> None:
    made = history(3)
    assert len(made) == 3
    assert made.loss == made["loss"] == [1, 0.5, 0.25]
    assert made.accuracy == [0, 1 / 3, 2 / 3]
    assert (made.val_loss, made.lr, made.seconds) == ([1] * 3, [0.1] * 3, [2] * 3)
    assert made.val_accuracy == []
    assert made.last["loss"] == 0.25
    with pytest.raises(ArgumentError, match="no 'f1'"):
        made["f1"]


def test_columns_of_an_interrupted_epoch_have_a_hole() -> None:
    made = history(1)
    made.rows.append({"loss": 0.5, "lr": 0.1, "seconds": 1.0})
    assert made.loss == [1, 0.5]
    assert made.val_loss[0] == 1
    assert math.isnan(made.val_loss[1])


def test_empty() -> None:
    assert History().loss == []
    assert History().last == {}
    assert repr(History()) == "History of 0 epochs"


def test_printing_is_a_small_table() -> None:
    made = history(2)
    made.interrupted = True
    assert repr(made) == (
        "History of 2 epochs, interrupted\n"
        "epoch  loss  accuracy  val_loss   lr  seconds\n"
        "    1     1         0         1  0.1        2\n"
        "    2   0.5       0.5         1  0.1        2"
    )
    lines = repr(history(1000)).splitlines()
    assert len(lines) == 12
    assert lines[2].split()[0] == "1"
    assert lines[-1].split()[0] == "1000"


def test_plot_draws_each_measure_with_its_validation() -> None:
    figure = history(4).plot()
    loss, accuracy = figure.axes
    assert [line.get_label() for line in loss.get_lines()] == ["training", "validation"]
    assert [line.get_label() for line in accuracy.get_lines()] == ["training"]
    assert loss.get_yscale() == "log"
    assert list(loss.get_lines()[0].get_ydata()) == history(4).loss


def test_plot_names_the_extra_that_brings_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"tinygrad-edu\[plots\]"):
        history(1).plot()


def test_means_weigh_batches_by_their_size() -> None:
    means = Means()
    means.add(3, {"loss": 1.0})
    means.add(1, {"loss": 5.0})
    assert means.result() == {"loss": 2}
    assert means.examples == 4


def test_spread() -> None:
    assert spread(3, 10) == [0, 1, 2]
    assert spread(100, 4) == [0, 33, 66, 99]
    assert spread(0, 4) == []
