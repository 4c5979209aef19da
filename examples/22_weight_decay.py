"""22 L2 regularisation in front of batch norm does not regularise; it sets the step size.

python examples/22_weight_decay.py --plot decay.png
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import BLUE, GREY, ORANGE, Result, derived, digits, panels, tell

import tinygrad_edu as tg
from tinygrad_edu import nn, optim

LECTURE = """L2 regularisation has no regularising effect together with batch norm. It affects
the scale of the weights, and thereby the learning rate."""

EXACTLY = """A unit in front of batch norm computes the same for w and for c w, so w . grad = 0
and the gradient shrinks by c: the penalty cannot choose between functions. Without it |w| only
grows. With it |w| comes to rest at |w|^4 = eta g^2/(lambda (2 - eta lambda)), g = |w| |grad|
(derivation `weight-decay-under-batchnorm`: plain SGD, a unit at a time), after about 1/(2 eta
lambda) steps. All this is exact for eps = 0 only: with eps > 0 a smaller w is a (slightly)
smaller output. And it holds for the weights in front of batch norm: those of the last layer,
gamma and beta are regularised as ever."""

UNITS, RATE, DECAY, BATCH = 16, 0.1, 0.05, 128


def network() -> Any:
    """One hidden layer in front of batch norm without eps."""
    tg.manual_seed(0)
    return nn.Sequential(
        nn.Linear(64, UNITS, bias=False),
        nn.BatchNorm1d(UNITS, eps=0.0),
        nn.Tanh(),
        nn.Linear(UNITS, 10),
    )


def train(start: float, decay: float, steps: int, data: Any) -> tuple[Any, Any, float]:
    """Norms of the units' weights step by step, the mean of g^2 over the second half of the steps,
    and the largest cosine of w and its gradient. `start` multiplies the first weights."""
    model, rng, loss = network(), np.random.default_rng(0), nn.CrossEntropyLoss()
    weight = model[0].weight
    nn.init.normal_(weight, std=start / 8)
    rest = [p for p in model.parameters() if p is not weight]
    groups: list[dict[str, Any]] = [{"params": [weight], "weight_decay": decay}, {"params": rest}]
    optimizer = optim.SGD(groups, lr=RATE)
    norms, squares, cosine = [], [], 0.0
    for _ in range(steps):
        rows = rng.integers(len(data), size=BATCH)
        optimizer.zero_grad()
        loss(model(tg.tensor(data.images[rows])), tg.tensor(data.labels[rows])).backward()
        w, g = weight.detach().numpy().astype(float), weight.grad.numpy().astype(float)
        length, slope = np.linalg.norm(w, axis=1), np.linalg.norm(g, axis=1)
        cosine = max(cosine, float(np.abs((w * g).sum(axis=1) / (length * slope)).max()))
        norms.append(length)
        squares.append((length * slope) ** 2)
        optimizer.step()
    return np.array(norms), np.mean(squares[steps // 2 :], axis=0), cosine


def experiment(quick: bool) -> Result:
    """Orthogonality and scale; norms with and without decay from two starts."""
    data, _ = digits()
    steps = 500 if quick else 3000
    model = network()
    x = tg.tensor(data.images[:BATCH])
    before = model(x).detach().numpy()
    model[0].weight = nn.Parameter(model[0].weight.detach() * 10)
    result: Result = {
        "outputs after 10 w for w: largest change": float(
            np.abs(model(x).detach().numpy() - before).max()
        )
    }
    result["norms"] = {}
    for name, start, decay in (
        ("small start", 1.0, DECAY),
        ("large start", 4.0, DECAY),
        ("none", 1.0, 0.0),
    ):
        norms, squares, cosine = train(start, decay, steps, data)
        result["norms"][name] = norms
        if name == "small start":
            result["largest |cos| of w and its gradient"] = cosine
            predicted = [
                derived("weight-decay-under-batchnorm", eta=RATE, g=g, **{"lambda": decay}) ** 0.25
                for g in np.sqrt(squares)
            ]
            result["|w| at rest, mean over units: measured"] = float(norms[steps // 2 :].mean())
            result["|w| at rest, mean over units: derived"] = float(np.mean(predicted))
    result["steps to it, 1/(2 eta lambda)"] = 1 / (2 * RATE * DECAY)
    result["without decay: |w| at the end over |w| at the start"] = float(
        (norms[-1] / norms[0]).mean()
    )
    return result


def figure(result: Result) -> object:
    """Norms of a few units under decay from two starts, and without."""
    drawn, (ax,) = panels(
        1, f"norms of weights in front of batch norm, λ = {DECAY}, η = {RATE}", 6.4, 4
    )
    for (name, norms), colour in zip(result["norms"].items(), (BLUE, ORANGE, GREY), strict=True):
        label = "no decay" if name == "none" else f"decay, {name}"
        ax.plot(norms.mean(axis=1), color=colour, label=label)
    ax.axhline(
        result["|w| at rest, mean over units: derived"],
        color="black",
        ls="--",
        lw=1,
        label="derived",
    )
    ax.set(xlabel="step", ylabel="mean |w| of the units", ylim=(0, None))
    ax.legend(frameon=False)
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
