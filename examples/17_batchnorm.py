"""17 Batch norm's four equations, its gradient, and its moving averages (claims 17 and 18).

python examples/17_batchnorm.py --plot batchnorm.png
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import BLUE, GREY, ORANGE, Result, derived, panels, tell

import tinygrad_edu as tg
from tinygrad_edu import nn

LECTURE = """Batch norm standardises each feature by the batch's mean and variance (with eps
against a division by 0) and gives it a learned scale gamma and shift beta. At inference the
statistics are fixed population statistics, usually a decaying moving average."""

EXACTLY = """The four equations as they stand, with the variance divided by m; the running
variance is that divided by m - 1. eps is not only against 0: a feature of variance comparable to
eps comes out with variance v/(v + eps). The average a <- (1 - alpha) a + alpha b is right in
expectation but never comes to rest: its variance stays alpha/(2 - alpha) times that of one
batch's statistic (derivation `moving-average`). momentum=None takes the mean of all batches,
which converges. In evaluation an output does not depend on the batch it is in."""

FEATURES, BATCH = 4, 16


def worst_equation() -> float:
    """The largest difference of the layer from the four equations."""
    rng = np.random.default_rng(0)
    y = rng.normal(3, 2, (BATCH, FEATURES))
    layer: Any = nn.BatchNorm1d(FEATURES, dtype=tg.float64)
    nn.init.uniform_(layer.weight)
    nn.init.uniform_(layer.bias)
    mean, variance = y.mean(axis=0), y.var(axis=0)
    standardised = (y - mean) / np.sqrt(variance + layer.eps)
    expected = layer.weight.detach().numpy() * standardised + layer.bias.detach().numpy()
    return float(np.abs(layer(tg.tensor(y)).detach().numpy() - expected).max())


def averages(momentum: float | None, steps: int, runs: int) -> Any:
    """The running mean of a feature of variance 1, step by step, for independent runs (columns)."""
    rng = np.random.default_rng(0)
    layer: Any = nn.BatchNorm1d(runs, momentum=momentum, affine=False)
    found = []
    for _ in range(steps):
        layer(tg.tensor(rng.normal(size=(BATCH, runs)).astype(np.float32)))
        found.append(layer.running_mean.numpy().copy())
    return np.array(found)


def experiment(quick: bool) -> Result:
    """The equations, the gradient against differences, and what the averages converge to."""
    steps, runs = 200, 200 if quick else 2000
    result: Result = {"largest difference from the four equations": worst_equation()}
    tg.manual_seed(0)
    y = tg.randn(6, 3, dtype=tg.float64, requires_grad=True)
    layer = nn.BatchNorm1d(3, dtype=tg.float64, track_running_stats=False)
    result["gradient agrees with differences, both orders (1: yes)"] = int(
        tg.autograd.gradcheck(layer, (y,)) and tg.autograd.gradgradcheck(layer, (y,))
    )
    small = nn.BatchNorm1d(1, eps=1e-5)
    x = np.random.default_rng(0).normal(0, 1e-5**0.5, (10_000, 1)).astype(np.float32)
    result["variance behind it of a feature of variance eps"] = float(
        small(tg.tensor(x)).detach().numpy().var()
    )
    decaying, cumulative = (averages(m, steps, runs) for m in (0.1, None))
    result["decaying average, alpha = 0.1: its variance, in units of a batch's"] = float(
        decaying[-1].var() * BATCH
    )
    result["derived, alpha/(2 - alpha)"] = derived(
        "moving-average", **{"alpha": 0.1, "Var(b)": 1.0}
    )
    result[f"cumulative average of {steps} batches: the same"] = float(cumulative[-1].var() * BATCH)
    layer = nn.BatchNorm1d(FEATURES)
    for _ in range(20):
        layer(tg.randn(BATCH, FEATURES))
    layer.eval()
    batch = tg.randn(BATCH, FEATURES)
    alone = layer(batch[:1]).detach().numpy()
    result["evaluation: an example's output alone and in a batch, difference"] = float(
        np.abs(alone - layer(batch).detach().numpy()[:1]).max()
    )
    return {**result, "decaying": decaying, "cumulative": cumulative}


def figure(result: Result) -> object:
    """A few runs of both averages, with the deviations of all."""
    drawn, axes = panels(2, f"running mean of a feature of mean 0, batches of {BATCH}", 4.8)
    limit = (derived("moving-average", **{"alpha": 0.1, "Var(b)": 1.0}) / BATCH) ** 0.5
    for ax, name, colour in zip(axes, ("decaying", "cumulative"), (ORANGE, BLUE), strict=True):
        runs = result[name]
        ax.plot(runs[:, :5], color=colour, lw=0.7, alpha=0.6)
        ax.plot(runs.std(axis=1), color="black", lw=1.5, label="deviation over all runs")
        if name == "decaying":
            ax.axhline(limit, color=GREY, ls="--", label="derived")
        ax.set(title=f"{name} average", xlabel="batch", ylim=(-0.3, 0.3))
        ax.legend(frameon=False, loc="lower right")
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
