"""28 Batch norm only every few layers: what it costs and what it brings.

python examples/28_spacing.py --plot spacing.png
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from common import BLUE, GREY, Result, digits, pairs, panels, tell

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.train import fit

LECTURE = """In practice, to mitigate the cost to training and inference, normalisation layers
are only applied every few layers, not for every layer."""

EXACTLY = """A matter of measurement: the cost is the time of a step, the benefit what is learned
in a given number of epochs. In this network of 12 sigmoid layers each batch norm adds its share
of the time, and one in every third layer learns at least as fast as one in all: a norm rescales
what has become too small, but it also multiplies the gradient (example 23) and adds noise. With
too few, what is lost between two norms is a product over the layers between them. At inference
batch norm costs nothing once it is folded into the linear layer before it."""

DEPTH, WIDTH = 12, 64
SPACINGS = (0, 6, 4, 3, 2, 1)
"""A norm behind every so many linear layers; 0: none."""


def network(spacing: int, seed: int = 0) -> nn.Sequential:
    """Sigmoids, with batch norm in front of every `spacing`-th."""
    tg.manual_seed(seed)
    model = nn.Sequential()
    for layer in range(1, DEPTH + 1):
        linear = nn.Linear(64, WIDTH)
        nn.init.xavier_normal_(linear.weight)
        model.append(linear)
        if spacing and layer % spacing == 0:
            model.append(nn.BatchNorm1d(WIDTH))
        model.append(nn.Sigmoid())
    return model.append(nn.Linear(WIDTH, 10))


def step_times(models: dict[int, nn.Sequential], x: Any, y: Any, rounds: int) -> dict[int, float]:
    """Milliseconds of a training step, the least of some rounds in which the models take turns."""
    best = dict.fromkeys(models, float("inf"))
    for _ in range(rounds):
        for spacing, model in models.items():
            started = time.perf_counter()
            nn.CrossEntropyLoss()(model(x), y).backward()
            best[spacing] = min(best[spacing], 1e3 * (time.perf_counter() - started))
    return best


def experiment(quick: bool) -> Result:
    """Time of a step, and the loss after some epochs, for each spacing."""
    train, _ = digits()
    images, labels = pairs(train)
    spacings = (0, 3, 1) if quick else SPACINGS
    x, y = tg.tensor(images[:64]), tg.tensor(labels[:64])
    times = step_times({s: network(s) for s in spacings}, x, y, 10 if quick else 60)
    result: Result = {"times": list(times.values()), "losses": [], "spacings": spacings}
    seeds, epochs = (1, 3) if quick else (3, 8)
    for spacing in spacings:
        losses = [
            fit(
                network(spacing, seed),
                (images, labels),
                optimizer=lambda p: optim.SGD(p, lr=0.2, momentum=0.9),
                epochs=epochs,
                seed=seed,
            ).loss[-1]
            for seed in range(seeds)
        ]
        result["losses"].append(float(np.mean(losses)))
        result[f"norm {name(spacing)}: training loss after {epochs} epochs"] = float(
            np.mean(losses)
        )
    for spacing in spacings:
        result[f"norm {name(spacing)}: milliseconds a pass"] = times[spacing]
    return result


def name(spacing: int) -> str:
    """In words."""
    return {0: "nowhere", 1: "in every layer"}.get(spacing, f"every {spacing} layers")


def figure(result: Result) -> object:
    """Cost and benefit by the spacing."""
    drawn, (left, right) = panels(2, f"{DEPTH} sigmoid layers of {WIDTH} on the digits", 4.6)
    places = np.arange(len(result["spacings"]))
    names = ["none" if s == 0 else str(s) for s in result["spacings"]]
    left.bar(places, result["times"], color=GREY)
    left.set(title="cost: ms a forward and backward pass")
    right.bar(places, result["losses"], color=BLUE)
    right.axhline(np.log(10), color=GREY, ls=":")
    right.set(title="training loss, ln 10 is guessing")
    for ax in (left, right):
        ax.set_xticks(places, names)
        ax.set_xlabel("a batch norm every ... layers")
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
