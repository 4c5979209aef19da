"""03 Features of unequal variance learn at unequal rates; standardising equalises them.

python examples/03_unequal_variances.py --plot rates.png
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import COLOURS, Result, panels, tell

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.data import Standardize

LECTURE = """If the variances of features j and j' differ, their updates happen at different
rates."""

EXACTLY = """Under squared loss the error of weight j of a linear unit with independent, centred
features shrinks by 1 - eta Var(x_j) a step, so its half-life is ln 2/(-ln(1 - eta Var(x_j))),
and the largest variance limits eta to below 2/Var. The rates are the eigenvalues of E[x x^T];
with dependent features they belong to its eigenvectors, not to single weights, and dividing each
feature by its deviation makes the diagonal 1 but does not remove the correlations (it does so
here, where the features are independent)."""

DEVIATIONS = (0.1, 0.3, 1.0, 3.0)
EXAMPLES = 4000


def rate(x: Any) -> float:
    """A learning rate: half of 1/(largest curvature)."""
    return 0.5 / float(np.linalg.eigvalsh(x.T @ x / len(x))[-1])


def train(x: Any, steps: int) -> Any:
    """The errors of the weights, which shall become 1, step by step, at half of 1/curvature."""
    unit = nn.Linear(x.shape[1], 1, bias=False, dtype=tg.float64)
    nn.init.zeros_(unit.weight)
    optimizer = optim.SGD(unit.parameters(), lr=rate(x))
    inputs, targets = tg.tensor(x), tg.tensor(x.sum(axis=1, keepdims=True))
    errors = []
    for _ in range(steps):
        errors.append(1 - unit.weight.detach().numpy()[0])
        optimizer.zero_grad()
        (((unit(inputs) - targets) ** 2).mean() / 2).backward()
        optimizer.step()
    return np.abs(errors)


def half_life(errors: Any) -> int:
    """Steps until the error has halved, at most as many as were made."""
    return int(np.argmax(errors <= 0.5)) if (errors <= 0.5).any() else len(errors)


def experiment(quick: bool) -> Result:
    """Each weight's error as it shrinks, with raw and with standardised features."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(EXAMPLES, len(DEVIATIONS)))
    x, _ = np.linalg.qr(x - x.mean(axis=0))  # exactly uncorrelated
    x *= EXAMPLES**0.5 * np.array(DEVIATIONS)
    raw, standardised = train(x, 300 if quick else 3000), train(Standardize.fit(x)(x), 15)
    result: Result = {"raw": raw, "standardised": standardised}
    for j, deviation in list(enumerate(DEVIATIONS))[1 if quick else 0 :]:
        predicted = np.log(2) / -np.log(1 - rate(x) * deviation**2)
        result[f"deviation {deviation}: steps to half the error"] = half_life(raw[:, j])
        result[f"deviation {deviation}: predicted ln 2/(-ln(1 - eta Var x))"] = float(predicted)
    result["first update, largest feature over smallest"] = float((1 - raw[1, 3]) / (1 - raw[1, 0]))
    result["standardised: steps to half the error, slowest weight"] = max(
        half_life(standardised[:, j]) for j in range(len(DEVIATIONS))
    )
    return result


def figure(result: Result) -> object:
    """Both runs, one line a weight."""
    drawn, axes = panels(2, "error of each weight of a linear unit, |w − w*|", 4.8)
    for ax, name in zip(axes, ("raw", "standardised"), strict=True):
        for j, deviation in enumerate(DEVIATIONS):
            label = f"deviation {deviation:g}" if name == "raw" else f"was {deviation:g}"
            ax.semilogy(np.maximum(result[name][:, j], 1e-6), color=COLOURS[j], label=label)
        ax.set(title=f"{name} features", xlabel="step", ylim=(1e-4, 1.5))
        ax.legend(frameon=False)
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
