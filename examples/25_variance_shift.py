"""25 Batch norm and dropout disagree: the variance shift (Li et al. 2018).

python examples/25_variance_shift.py --plot shift.png
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import BLUE, GREY, ORANGE, Result, derived, digits, pairs, panels, tell

import analysis
import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.data import Digits
from tinygrad_edu.train import evaluate, fit

LECTURE = """Dropout makes the batch statistics of training differ from the population
statistics, so that test data do not have the distribution that was used in training."""

EXACTLY = """Inverted dropout has variance v/(1 - p) + m^2 p/(1 - p) in training and v in
evaluation (derivation `dropout`); its mean is the same. Batch norm BEHIND it divides by the
former in evaluation, so it puts out variance (1 - p) v/(p m^2 + v) instead of 1
(`variance-shift`), through a linear layer in between as well. Dropout behind the LAST batch norm
shifts nothing that is normalised. Statistics that are collected once more without dropout remove
the shift, and cost one pass over the data."""

RATES = (0.1, 0.3, 0.5, 0.7, 0.9)
MEAN, VARIANCE = (float(getattr(analysis.moments("relu"), n)) for n in ("mean", "variance"))


def shifted(p: float, norm_last: bool, batches: int) -> float:
    """Variance in evaluation over that in training, of what comes out of both layers."""
    tg.manual_seed(0)
    features = 64
    norm, dropout = nn.BatchNorm1d(features, affine=False, momentum=None), nn.Dropout(p)
    pair = nn.Sequential(dropout, norm) if norm_last else nn.Sequential(norm, dropout)
    with tg.no_grad():
        trained = [pair(tg.randn(256, features).relu()).numpy() for _ in range(batches)]
        pair.eval()
        evaluated = [pair(tg.randn(256, features).relu()).numpy() for _ in range(batches)]
    return float(np.var(evaluated) / np.var(trained))


def network(p: float, norm_last: bool) -> Any:
    """Three hidden layers, each with dropout in front of batch norm, or only behind the last."""
    tg.manual_seed(0)
    model = nn.Sequential()
    for layer, fan_in in enumerate((64, 128, 128)):
        model.append(nn.Linear(fan_in, 128))
        if norm_last:
            model.append(nn.Dropout(p))
        model.append(nn.BatchNorm1d(128)).append(nn.ReLU())
        if layer == 2 and not norm_last:
            model.append(nn.Dropout(p))
    return model.append(nn.Linear(128, 10))


def recollect(model: Any, data: Digits) -> None:
    """The running statistics once more, of one pass in which dropout drops nothing."""
    model.train()
    for module in model:
        if isinstance(module, nn.BatchNorm1d):
            module.reset_running_stats()
            module.momentum = None  # the mean of all batches
        module.train(not isinstance(module, nn.Dropout))
    with tg.no_grad():
        for start in range(0, len(data), 128):
            model(tg.tensor(data.images[start : start + 128]))


def experiment(quick: bool) -> Result:
    """The shift for both orders; what it does to a network on the digits."""
    batches = 20 if quick else 200
    result: Result = {"measured": {}, "derived": []}
    values = {"E[Y]": MEAN, "Var(Y)": VARIANCE}
    for order in ("dropout, batch norm", "batch norm, dropout"):
        result["measured"][order] = [shifted(p, order[0] == "d", batches) for p in RATES]
        result[f"{order}, p = 0.5: variance in evaluation over training"] = result["measured"][
            order
        ][2]
    result["derived"] = [derived("variance-shift", p=p, **values) for p in RATES]
    result["dropout, batch norm, p = 0.5: derived"] = result["derived"][2]
    result["batch norm, dropout, p = 0.5: derived, 1 - p"] = 1 / derived(
        "dropout", p=0.5, **{"E[Y]": 0.0, "Var(Y)": 1.0}
    )
    train, test = digits()
    for order, norm_last in (("in front of each norm", True), ("behind the last", False)):
        model = network(0.7, norm_last)
        fit(
            model,
            pairs(train),
            optimizer=lambda p: optim.SGD(p, lr=0.05),
            epochs=3 if quick else 12,
        )
        before = evaluate(model, pairs(test))["loss"]
        recollect(model, train)
        result[f"digits, dropout 0.7 {order}: test loss"] = before
        result[f"digits, dropout 0.7 {order}: with statistics collected anew"] = evaluate(
            model, pairs(test)
        )["loss"]
    return result


def figure(result: Result) -> object:
    """The ratio of variances by the dropout rate, for both orders."""
    drawn, (ax,) = panels(
        1, "variance in evaluation over variance in training, behind a relu", 6.4, 4
    )
    orders = list(result["measured"])
    ax.plot(RATES, result["derived"], color=BLUE, label=f"{orders[0]}: derived")
    ax.plot(RATES, [1 - p for p in RATES], color=ORANGE, label=f"{orders[1]}: 1 − p")
    for order, colour in zip(orders, (BLUE, ORANGE), strict=True):
        ax.plot(RATES, result["measured"][order], "o", color=colour)
    ax.axhline(1, color=GREY, lw=0.5)
    ax.set(xlabel="dropout rate p", ylim=(0, 1.05))
    ax.legend(frameon=False)
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
