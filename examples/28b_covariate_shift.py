"""28b Covariate shift, and what the learned shift and scale of batch norm are for.

python examples/28b_covariate_shift.py --plot covariate.png
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import BLUE, GREY, ORANGE, Result, digits, mlp, pairs, panels, tell

import analysis
import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.train import fit

LECTURE = """Batch norm avoids the problems caused by covariate shift. The standardised values
may wind up in a linear region of the activation; the learned shift may move them to a non-linear
part, which is more powerful."""

EXACTLY = """That the means of a layer's inputs move less with batch norm is measured here (they
are beta); that this is WHY it helps is contested: Santurkar et al. 2018 add noise behind batch
norm, so that the inputs move more than without it, and training is as good; their explanation is
a smoother loss. The second claim is right: a line explains 98 % of a sigmoid of standardised
values, and less once gamma and beta are learned, so the network uses the freedom. The mean of
phi''^2 need not grow with it: a scale above 1 takes values past the bends, to where the sigmoid
is flat."""

WIDTHS = (64, 64, 64, 64, 10)


def curvature(z: Any) -> float:
    """The mean of phi''^2 of a sigmoid over values z."""
    y = 1 / (1 + np.exp(-z.astype(float)))
    return float(((y * (1 - y) * (1 - 2 * y)) ** 2).mean())


def explained(z: Any) -> float:
    """How much of a sigmoid's output a line explains: the squared correlation, mean over units."""
    y = 1 / (1 + np.exp(-z.astype(float)))
    units = zip(z.T, y.T, strict=True)
    return float(np.mean([np.corrcoef(a, b)[0, 1] ** 2 for a, b in units]))


def inputs_over_training(norm: Any, epochs: int, data: Any) -> tuple[Any, Any, Any]:
    """Mean and deviation of each input of the third layer's sigmoid over all examples, by epoch."""
    model = mlp(WIDTHS, nn.Sigmoid, nn.init.xavier_normal_, norm)
    before = model[: 8 if norm else 5]
    means, deviations = [], []

    def look(history: object = None) -> None:
        with tg.no_grad():
            values = before(tg.tensor(data[0])).numpy()
        means.append(values.mean(axis=0))
        deviations.append(values.std(axis=0))

    look()
    fit(
        model,
        data,
        optimizer=lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
        epochs=epochs,
        callback=look,
    )
    return np.array(means), np.array(deviations), model


def experiment(quick: bool) -> Result:
    """How far the inputs of a layer move, with and without; the curvature that is used."""
    data = pairs(digits()[0])
    epochs = 6 if quick else 30
    result: Result = {}
    for name, norm in (("without", None), ("with", nn.BatchNorm1d)):
        means, deviations, model = inputs_over_training(norm, epochs, data)
        moved = np.abs(np.diff(means[1:], axis=0)) / deviations[1:-1]
        result[f"{name} batch norm: shift of an input's mean an epoch, in deviations"] = float(
            moved.mean()
        )
        result[name] = means
    with tg.no_grad():
        model.train()
        z = model[:8](tg.tensor(data[0])).numpy()
    gamma, beta = (p.detach().numpy() for p in (model[7].weight, model[7].bias))
    standardised = (z - beta) / gamma
    result["a line explains of a sigmoid of N(0, 1)"] = float(analysis.regions("sigmoid").alignment)
    result["a line explains of the standardised values"] = explained(standardised)
    result["a line explains with the learned gamma and beta"] = explained(z)
    result["E[phi''^2] of the standardised values"] = curvature(standardised)
    result["E[phi''^2] with the learned gamma and beta"] = curvature(z)
    result["largest |gamma| after training"] = float(np.abs(gamma).max())
    return {**result, "standardised": standardised.ravel(), "shifted": z.ravel()}


def figure(result: Result) -> object:
    """Means of some units by epoch, and where the sigmoid works."""
    drawn, axes = panels(3, "inputs of the third layer of sigmoids", 4.2)
    for ax, name, colour in zip(axes, ("without", "with"), (ORANGE, BLUE), strict=False):
        ax.plot(result[name][:, :12], color=colour, lw=0.8)
        ax.set(title=f"means of 12 inputs, {name} batch norm", xlabel="epoch", ylim=(-2.5, 2.5))
    bins = np.linspace(-8, 8, 121)
    axes[2].hist(
        result["standardised"], bins, density=True, color=GREY, alpha=0.5, label="standardised"
    )
    axes[2].hist(
        result["shifted"], bins, density=True, color=BLUE, histtype="step", label="with γ and β"
    )
    axes[2].set(title="after training", yticks=[], xlabel="input of the sigmoid")
    axes[2].legend(frameon=False, fontsize="small")
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
