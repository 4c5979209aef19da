"""20 The largest learning rate that still trains, with batch norm and without.

python examples/20_learning_rates.py --plot rates.png
"""

from __future__ import annotations

from typing import Any

from common import BLUE, GREY, ORANGE, Result, digits, mlp, pairs, panels, tell

from tinygrad_edu import nn, optim
from tinygrad_edu.errors import TrainingError
from tinygrad_edu.train import fit

LECTURE = """Batch norm allows much higher learning rates, without a loss of accuracy, and
saturating activations."""

EXACTLY = """Found by a sweep of plain SGD: how much higher depends on how good the network was
without. Relus under He's weights gain most, as large steps change the scale of their signal in
all layers; with batch norm outputs do not depend on the weights' scale, and larger weights get
smaller gradients (example 22). Sigmoids train with it alone. A tanh network under Glorot's
weights hardly gains: it has no scale to lose, and at its own best rate it is ahead."""

RATES = tuple(2.0**k for k in range(-7, 5))
ENOUGH = 0.8
"""Training accuracy at which a rate counts as one that trains."""
NETWORKS = {
    "relu": (nn.ReLU, nn.init.kaiming_normal_),
    "tanh": (nn.Tanh, nn.init.xavier_normal_),
    "sigmoid": (nn.Sigmoid, nn.init.xavier_normal_),
}
DEPTH, EPOCHS = 8, 5


def accuracy(rate: float, network: Any, norm: Any, data: Any) -> float:
    """On the training data in the last epoch; 0 where the loss was no longer finite."""
    activation, init = network
    model = mlp((*[64] * (DEPTH + 1), 10), activation, init, norm)
    try:
        history = fit(model, data, optimizer=lambda p: optim.SGD(p, lr=rate), epochs=EPOCHS)
    except TrainingError:
        return 0.0
    return history.accuracy[-1]


def experiment(quick: bool) -> Result:
    """Sweep the rates for each activation, with and without batch norm."""
    data = pairs(digits()[0])
    rates = (0.125, 0.5) if quick else RATES
    names = ("relu",) if quick else tuple(NETWORKS)
    result: Result = {"curves": {}, "rates": rates}
    for name in names:
        for kind, norm in (("without", None), ("with", nn.BatchNorm1d)):
            found = [accuracy(rate, NETWORKS[name], norm, data) for rate in rates]
            result["curves"][name, kind] = found
            good = [rate for rate, share in zip(rates, found, strict=True) if share > ENOUGH]
            result[f"{name} {kind} batch norm: largest rate that trains (0: none)"] = max(
                good, default=0.0
            )
            result[f"{name} {kind} batch norm: best accuracy of all rates"] = max(found)
    return result


def figure(result: Result) -> object:
    """Accuracy against the rate."""
    names = list(dict.fromkeys(name for name, _ in result["curves"]))
    drawn, axes = panels(len(names), f"{DEPTH} hidden layers on the digits, {EPOCHS} epochs of SGD")
    for ax, name in zip(axes, names, strict=True):
        for kind, colour in (("without", ORANGE), ("with", BLUE)):
            found = result["curves"][name, kind]
            ax.semilogx(
                result["rates"], found, "o-", color=colour, base=2, ms=4, label=f"{kind} batch norm"
            )
        ax.axhline(ENOUGH, color=GREY, ls=":", lw=0.8)
        ax.set(title=name, xlabel="learning rate", ylim=(0, 1.03))
    axes[0].set_ylabel("training accuracy")
    axes[0].legend(frameon=False, loc="lower left")
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
