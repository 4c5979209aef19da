"""21 The noise of batch statistics, and how much it regularises.

python examples/21_batch_noise.py --plot noise.png
"""

from __future__ import annotations

from statistics import fmean
from typing import Any

import numpy as np
from common import BLUE, ORANGE, Result, derived, digits, mlp, pairs, panels, tell

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.train import evaluate, fit

LECTURE = """The mean and variance of a mini-batch are noisy estimates of those of the training
set. The noise acts as a form of regularisation, as in dropout."""

EXACTLY = """The noise is exact: the mean of a batch of m out of N examples has variance Var(y)/m
* (N - m)/(N - 1) (derivation `batch-mean`: drawn without replacement), and that of the batch
variance depends on the kurtosis (`batch-variance`). That it regularises is an observation, and
its size depends on the task. Here, with 200 training digits, a smaller batch is compared with
itself: the same network and the same batches, normalised by the batch or by the whole training
set."""

BATCHES = (4, 8, 16, 32, 64, 128)


class Standardised(nn.Module):
    """Batch norm that normalises batches of `size` rows each for itself, whatever arrives."""

    def __init__(self, features: int, size: int | None = None) -> None:
        self.norm, self.size = nn.BatchNorm1d(features), size

    def forward(self, x: Any) -> Any:
        """Each block of `size` rows by its own statistics, in training."""
        if not self.training or self.size is None:
            return self.norm(x)
        blocks = [x[i : i + self.size] for i in range(0, len(x), self.size)]
        return tg.cat([self.norm(block) for block in blocks])


def gap(size: int | None, seed: int, epochs: int) -> tuple[float, float]:
    """Test accuracy, and test loss less training loss, of a net trained in full batches of 192."""
    train, test = digits(seed)
    images, labels = pairs(train)
    data = images[:192], labels[:192]
    model = mlp((64, 100, 100, 10), nn.ReLU, None, lambda n: Standardised(n, size), seed)
    fit(model, data, optimizer=lambda p: optim.SGD(p, lr=0.2), epochs=epochs, batch_size=192)
    trained, tested = evaluate(model, data), evaluate(model, pairs(test))
    return tested["accuracy"], tested["loss"] - trained["loss"]


def experiment(quick: bool) -> Result:
    """The law of batch statistics on a pixel; the gap of training and test by the noise."""
    pixel = digits()[0].images[:, 20].astype(np.float64)
    rng = np.random.default_rng(0)
    count, variance = len(pixel), float(pixel.var())
    result: Result = {"measured": [], "derived": []}
    for m in BATCHES:
        batches = [rng.choice(pixel, m, replace=False) for _ in range(500 if quick else 10_000)]
        result["measured"].append(float(np.var(np.mean(batches, axis=1))))
        result["derived"].append(derived("batch-mean", **{"N": count, "m": m, "Var(y)": variance}))
    half = rng.permuted(np.tile(pixel, (2000, 1)), axis=1)[:, : count // 2].mean(axis=1)
    result["batches of 32: variance of the mean, measured"] = result["measured"][3]
    result["batches of 32: derived"] = result["derived"][3]
    result["half the data: variance of the mean over Var(y)/m, measured"] = float(
        half.var() / (variance / (count // 2))
    )
    result["half the data: (N - m)/(N - 1)"] = (count - count // 2) / (count - 1)
    seeds, epochs = (range(1), 10) if quick else (range(4), 100)
    result["gaps"] = {}
    for size in (3, 6, 24, 192):
        runs = [gap(size, seed, epochs) for seed in seeds]
        result[f"statistics of {size} examples: test accuracy"] = fmean(run[0] for run in runs)
        result[f"statistics of {size} examples: test loss less training loss"] = fmean(
            run[1] for run in runs
        )
        result["gaps"][size] = fmean(run[1] for run in runs)
    return result


def figure(result: Result) -> object:
    """The noise by the batch size, and the gap by the examples behind each statistic."""
    drawn, (left, right) = panels(2, "the noise of batch statistics", 4.8)
    left.loglog(BATCHES, result["derived"], color=BLUE, label="derived")
    left.loglog(BATCHES, result["measured"], "o", color=ORANGE, label="measured")
    left.set(xlabel="batch size", title="variance of a batch's mean, one pixel")
    left.legend(frameon=False)
    right.semilogx(list(result["gaps"]), list(result["gaps"].values()), "o-", color=BLUE, base=2)
    right.set(xlabel="examples behind each statistic", title="test loss less training loss")
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
