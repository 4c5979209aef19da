"""27 Transfer: a base trained on the digits 0 to 4, frozen, under a new head for 5 to 9.

python examples/27_transfer.py --plot transfer.png
"""

from __future__ import annotations

from statistics import fmean
from typing import Any

import numpy as np
from common import BLUE, ORANGE, Result, mlp, panels, tell

from tinygrad_edu import nn, optim
from tinygrad_edu.data import load_digits
from tinygrad_edu.train import evaluate, fit

LECTURE = """Freeze the weights of a base that was trained on a source task with many examples,
and train only new layers on a small number of examples of the target task: less effort than from
scratch."""

EXACTLY = """It pays if the source teaches what the few target examples cannot. On the plain
digits it does not: they are centred, a few examples say nearly all, and a frozen base that tells
0 to 4 apart has thrown away what tells 5 to 9 apart, so it is WORSE than a network trained from
scratch. With the digits at random places of a larger image, the base has learned from hundreds
of examples that the place does not matter, which a few examples do not show: then it is better."""

SIDE = 12
COUNTS = (1, 2, 4, 8, 16)


def at_random_places(images: Any, rng: np.random.Generator) -> Any:
    """Each 8 x 8 image somewhere in an image of SIDE x SIDE."""
    placed = np.zeros((len(images), SIDE, SIDE), np.float32)
    corners = rng.integers(0, SIDE - 8 + 1, (len(images), 2))
    for target, image, (row, column) in zip(placed, images, corners, strict=True):
        target[row : row + 8, column : column + 8] = image.reshape(8, 8)
    return placed.reshape(len(images), -1)


def network(inputs: int, seed: int) -> Any:
    """Two hidden layers, the base, and a head of five classes."""
    return mlp((inputs, 100, 50, 5), nn.ReLU, nn.init.kaiming_normal_, seed=seed)


def task(placed: bool, seed: int) -> tuple[Any, Any]:
    """(images, labels) of the source, digits 0 to 4, and of the target, 5 to 9, in random order."""
    rng = np.random.default_rng(seed)
    data = load_digits()
    order = rng.permutation(len(data))
    images, labels = data.images[order], data.labels[order]
    if placed:
        low = labels < 5  # the source has many examples: each at several places
        images = np.concatenate(
            [at_random_places(images, rng), *(at_random_places(images[low], rng) for _ in range(4))]
        )
        labels = np.concatenate([labels, *[labels[low]] * 4])
    source = labels < 5
    return (images[source], labels[source]), (images[~source], labels[~source] - 5)


def few(data: Any, count: int) -> tuple[Any, Any]:
    """So many examples of each class, and all others."""
    images, labels = data
    chosen = np.concatenate([np.flatnonzero(labels == c)[:count] for c in range(5)])
    rest = np.setdiff1d(np.arange(len(labels)), chosen)
    return (images[chosen], labels[chosen]), (images[rest], labels[rest])


def compare(placed: bool, counts: Any, seed: int, epochs: int) -> list[tuple[float, float]]:
    """Target accuracy with the frozen base and from scratch, for each number of examples."""
    source, target = task(placed, seed)
    inputs = source[0].shape[1]
    base = network(inputs, seed)
    fit(base, source, epochs=epochs, optimizer=lambda p: optim.Adam(p, lr=0.003), seed=seed)
    found = []
    for count in counts:
        train, test = few(target, count)
        frozen = nn.Sequential(base[:-1].freeze(), nn.Linear(50, 5))
        pair = []
        for model in (frozen, network(inputs, seed + 100)):
            fit(model, train, epochs=100, optimizer=lambda p: optim.Adam(p, lr=0.003), seed=seed)
            pair.append(evaluate(model, test)["accuracy"])
        found.append((pair[0], pair[1]))
    return found


def experiment(quick: bool) -> Result:
    """Both tasks, means over several draws of the examples and the weights."""
    seeds, counts = (range(2), (4,)) if quick else (range(5), COUNTS)
    result: Result = {"curves": {}, "counts": counts}
    for name, placed in (("plain digits", False), (f"at random places of {SIDE} x {SIDE}", True)):
        runs = [compare(placed, counts, seed, 8 if quick else 15) for seed in seeds]
        curves = np.mean(runs, axis=0)
        result["curves"][name] = curves
        four = list(counts).index(4)
        result[f"{name}, 4 examples a class: frozen base"] = float(curves[four, 0])
        result[f"{name}, 4 examples a class: from scratch"] = float(curves[four, 1])
        result[f"{name}: draws in which the frozen base is better, of {len(seeds)}"] = sum(
            run[four][0] > run[four][1] for run in runs
        )
        result[f"{name}: mean advantage of the frozen base"] = fmean(
            run[four][0] - run[four][1] for run in runs
        )
    return result


def figure(result: Result) -> object:
    """Accuracy on the target by the number of examples."""
    drawn, axes = panels(2, "digits 0–4 to digits 5–9", 4.6)
    for ax, (name, curves) in zip(axes, result["curves"].items(), strict=True):
        for column, (label, colour) in enumerate((("frozen base", BLUE), ("from scratch", ORANGE))):
            ax.semilogx(
                result["counts"], curves[:, column], "o-", color=colour, base=2, label=label
            )
        ax.set(title=name, xlabel="examples a class", ylim=(0.2, 1))
        ax.set_xticks(result["counts"], [str(c) for c in result["counts"]])
    axes[0].set_ylabel("target accuracy")
    axes[0].legend(frameon=False)
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
