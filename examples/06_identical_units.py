"""06 Identical units stay identical; what rounding makes of that; and all weights zero.

python examples/06_identical_units.py --plot identical.png
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import COLOURS, GREY, Result, digits, mlp, pairs, panels, tell

import analysis
import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.train import fit

LECTURE = """If all units of a layer start with the same weights, they compute the same, get the
same gradient and stay the same, so that many units are no better than one. That explains why
nothing is learned from weights that are all zero."""

EXACTLY = """Two units stay equal if their incoming AND outgoing weights are equal (the
derivation `identical-units`); with different outgoing weights they separate in the first step.
In real arithmetic and on the scalar engine the difference is exactly 0. A blocked matrix product
adds up equal columns in different orders, so they differ by a rounding error, and training is
free to amplify it. From all zeros relu and tanh put out 0 and only the last bias learns; sigmoid
puts out 1/2, so it does learn: no better than its one unit can, until rounding has told its
units apart."""

UNITS, RATE = 37, 0.5


def scalar_difference(steps: int) -> float:
    """The largest difference of two equal units of a scalar network after training."""
    net = tg.scalar.MLP(2, [3, 1])
    for neuron in net.layers[0].neurons:
        neuron.w = [tg.Value(0.3), tg.Value(-0.7)]
    net.layers[1].neurons[0].w = [tg.Value(0.4) for _ in range(3)]
    examples = [((0.5, 1.0), 1.0), ((-1.0, 0.3), -1.0), ((0.2, -1.5), 0.5)]
    for _ in range(steps):
        net.zero_grad()
        loss = sum(((net(x) - y) ** 2 for x, y in examples), tg.Value(0.0))
        loss.backward()
        for p in net.parameters():
            p.data -= 0.01 * p.grad
    a, b, _ = net.layers[0].neurons
    return max(abs(p.data - q.data) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def identical(outgoing_too: bool = True) -> Any:
    """A tanh network on the digits with equal units."""
    model = mlp([64, UNITS, 10], nn.Tanh, nn.init.lecun_normal_)
    first, last = (model[0], model[2])
    first.weight = nn.Parameter(first.weight.detach()[:1].expand(UNITS, 64))
    if outgoing_too:
        last.weight = nn.Parameter(last.weight.detach()[:, :1].expand(10, UNITS) / UNITS**0.5)
    return model


def spreads(model: Any, data: Any, steps: int) -> list[float]:
    """The largest difference of a unit's weights from the first unit's, step by step."""
    optimizer, loss = optim.SGD(model.parameters(), lr=RATE), nn.CrossEntropyLoss()
    x, y = (tg.tensor(a) for a in data)
    found = []
    for _ in range(steps):
        weight = model[0].weight.detach().numpy()
        found.append(float(np.abs(weight - weight[0]).max()))
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
    return found


def experiment(quick: bool) -> Result:
    """Equal units on floats, in matrix products, and the training curves from all zeros."""
    train, _ = digits()
    images, labels = pairs(train)
    part = images[:256], labels[:256]
    steps = 200 if quick else 1500
    result: Result = {
        "two equal units of a scalar network after 100 steps: difference": scalar_difference(100),
        "derived difference of their gradients": int(analysis.derive("identical-units").result),
    }
    result["equal"] = spreads(identical(), part, steps)
    result["outgoing differ"] = spreads(identical(False), part, 50)
    result["equal columns of a matrix product: largest difference after 10 steps"] = result[
        "equal"
    ][10]
    result[f"the same after {steps} steps"] = result["equal"][-1]
    result["outgoing weights differ: after 1 step"] = result["outgoing differ"][1]
    for name, activation in (("tanh", nn.Tanh), ("relu", nn.ReLU), ("sigmoid", nn.Sigmoid)):
        model = mlp([64, UNITS, 10], activation, nn.init.zeros_)
        history = fit(
            model,
            (images, labels),
            optimizer=lambda p: optim.SGD(p, lr=RATE),
            epochs=4 if quick else 25,
        )
        result[f"zeros {name}"] = history.loss
        weight = model[0].weight.detach().numpy()
        spread = float(np.abs(weight - weight[0]).max())
        result[f"all zeros, {name}: training accuracy after 2 epochs"] = history.accuracy[1]
        result[f"all zeros, {name}: after {len(history)}"] = history.accuracy[-1]
        result[f"all zeros, {name}: largest difference of its units then"] = spread
    good = mlp([64, UNITS, 10], nn.Tanh, nn.init.lecun_normal_)
    fitted = fit(good, (images, labels), optimizer=lambda p: optim.SGD(p, lr=RATE), epochs=4)
    result["random weights, tanh: training accuracy after 4 epochs"] = fitted.accuracy[-1]
    return result


def figure(result: Result) -> object:
    """The growth of rounding errors; the loss from all zeros."""
    drawn, (left, right) = panels(2, "identical units", 4.8)
    left.loglog(np.maximum(result["equal"], 1e-9), color=COLOURS[0], label="all weights equal")
    left.loglog(
        np.maximum(result["outgoing differ"], 1e-9), color=COLOURS[1], label="outgoing differ"
    )
    left.set(xlabel="step", title=f"largest difference among {UNITS} equal units")
    for colour, name, style in zip(
        COLOURS, ("tanh", "relu", "sigmoid"), ("-", "--", "-"), strict=False
    ):
        right.plot(result[f"zeros {name}"], style, color=colour, label=name)
    right.axhline(np.log(10), color=GREY, lw=0.8, ls=":", label="ln 10: guessing")
    right.set(xlabel="epoch", title="loss from weights that are all zero")
    for ax in (left, right):
        ax.legend(frameon=False)
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
