"""05 A large negative bias makes a dead unit, and a dead unit of the first layer stays dead.

python examples/05_dead_units.py --plot dead.png
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import BLUE, GREY, ORANGE, Result, derived, digits, mlp, pairs, panels, tell

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.data import Digits
from tinygrad_edu.train import fit

LECTURE = """A unit with a large negative bias sits where the gradient is zero. Its bias gets no
update, so it stays dead and does not help to tell examples apart."""

EXACTLY = """Right for a relu of the first layer that is inactive on the whole training set,
under plain SGD without momentum or weight decay: its weights and its bias do not change by a
bit. Behind other layers a unit can come back, since its inputs still learn; momentum and decay
move its weights without any gradient; a leaky relu has a slope of 0.01 there and recovers. At
random initialisation without biases a layer of n relus is dead on one input with probability
2^-n, and some layer of a network is with probability 1 - prod(1 - 2^-n_l)."""

BIASES = (0.0, -1.0, -2.0, -4.0, -8.0, -16.0, -32.0)
UNITS, PENALTY, RATE = 32, -20.0, 1.0
WIDTHS = (2, 3, 4)


def dead_share(images: Any, bias: float, units: int = 2000) -> float:
    """Of relus with He's weights and this bias: how many are 0 on all images."""
    layer = mlp([64, units], nn.ReLU, nn.init.kaiming_normal_)[0]
    nn.init.constant_(layer.bias, bias)
    return float(1 - (layer(tg.tensor(images)).relu().detach().numpy() > 0).any(axis=0).mean())


def revive(train: Digits, activation: Any, epochs: int) -> tuple[list[float], float, bool]:
    """Train with all hidden biases at `PENALTY`: the share of the images on which the units are
    active, epoch by epoch, the accuracy, and whether they are still the same to the bit."""
    model = mlp([64, UNITS, 10], activation, nn.init.kaiming_normal_)
    hidden: Any = model[0]
    nn.init.constant_(hidden.bias, PENALTY)
    before = hidden.weight.detach().numpy().copy()
    shares: list[float] = []

    def watch(history: object) -> None:
        shares.append(float((hidden(tg.tensor(train.images)).detach().numpy() > 0).mean()))

    history = fit(
        model,
        pairs(train),
        optimizer=lambda p: optim.SGD(p, lr=RATE),
        epochs=epochs,
        callback=watch,
    )
    same = np.array_equal(before, hidden.weight.detach().numpy())
    same = same and bool((hidden.bias.detach().numpy() == PENALTY).all())
    return shares, history.accuracy[-1], same


def dead_networks(networks: int) -> float:
    """The share of networks of `WIDTHS` relus, without biases, that are 0 for one input."""
    x = tg.tensor(np.random.default_rng(0).normal(size=(1, 5)).astype(np.float32))
    dead = 0
    for seed in range(networks):
        layers = mlp([5, *WIDTHS, 1], nn.ReLU, nn.init.kaiming_normal_, seed=seed)[:-1]
        dead += not layers(x).detach().numpy().any()
    return dead / networks


def experiment(quick: bool) -> Result:
    """Death by bias, no return, and death by chance."""
    train, _ = digits()
    result: Result = {}
    result["dead share"] = [dead_share(train.images, bias) for bias in BIASES]
    for bias in (0.0, -8.0, -32.0):
        share = result["dead share"][BIASES.index(bias)]
        result[f"share of relus that are dead on all digits at bias {bias:g}"] = share
    epochs = 8 if quick else 40
    for name, activation in (("relu", nn.ReLU), ("leaky relu", nn.LeakyReLU)):
        shares, accuracy, unchanged = revive(train, activation, epochs)
        result[f"{name}, a dead layer: unchanged to the bit after training (1: yes)"] = int(
            unchanged
        )
        result[f"{name}, a dead layer: active share after training"] = shares[-1]
        result[f"{name}, a dead layer: training accuracy"] = accuracy
        result[name] = shares
    result[f"networks of widths {WIDTHS} that are dead on an input"] = dead_networks(
        500 if quick else 4000
    )
    each = [derived("dead-units", n=n) for n in WIDTHS]
    result["predicted, 1 - prod(1 - 2^-n)"] = float(1 - np.prod(1 - np.array(each)))
    return result


def figure(result: Result) -> object:
    """Dead relus by bias; the killed units while the network trains."""
    drawn, (left, right) = panels(2, "dead units in the first layer, on the digits", 4.8)
    left.plot([-b for b in BIASES], result["dead share"], "o-", color=ORANGE)
    left.set(xlabel="−bias", ylabel="share of relus dead on all images", title="at initialisation")
    right.plot(result["relu"], color=ORANGE, label="relu")
    right.plot(result["leaky relu"], color=BLUE, label="leaky relu")
    right.axhline(0, color=GREY, lw=0.5)
    right.set(xlabel="epoch", ylabel="share of images they are active on")
    right.set(title=f"a layer started at bias {PENALTY:g}")
    right.legend(frameon=False)
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
