"""11 Glorot's variance: what tanh loses, the way back, and what is averaged (claims 11 to 13).

python examples/11_glorot.py --plot glorot.png
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from common import BLUE, GREEN, ORANGE, Result, derived, mlp, panels, tell

import analysis
from tinygrad_edu import nn

LECTURE = """tanh and sigmoid are about linear, so with unit input their output has unit
variance, too. Backward the factor is 1/sqrt(n_out) instead of 1/sqrt(n_in); averaging the two
scaling factors gives sqrt(2/(n_in + n_out))."""

EXACTLY = """E[tanh(z)^2] = 0.394294 for z ~ N(0, 1): 61 % are lost in the first layer, less in
each one after it, as a smaller signal is more nearly linear. sigmoid(0) = 1/2 is not even
centred. Backward a layer multiplies by n_out Var(W) E[phi'^2] (derivation `dense-backward`).
sqrt(2/(n_in + n_out)) averages the FANS; averaging the two scaling factors literally gives
another number: for fans 1 and 4 the variance is (1 + 1/2)^2/4 = 9/16 and not 2/5. Neither keeps
either direction in a network whose widths change."""

WIDTHS = (64, 100, 200, 100, 50, 25, 10)
RULES = {
    "1/n_in": nn.init.lecun_normal_,
    "2/(n_in + n_out)": nn.init.xavier_normal_,
    "1/n_out": lambda w: nn.init.normal_(w, std=w.shape[0] ** -0.5),
}


def experiment(quick: bool) -> Result:
    """The loss of tanh; both directions under three variances; the two averages."""
    result: Result = {"E[tanh(z)^2] at unit input, derived and certified": derived("tanh-loss")}
    model = mlp([100, 100, 100], nn.Tanh, nn.init.xavier_normal_)
    measured = analysis.measure(model, networks=20 if quick else 200, progress=False)
    result["E[tanh(z)^2], measured behind Glorot's weights"] = measured.forward("1").value
    result["E[sigmoid(z)]"] = derived("sigmoid")
    n_in, n_out = 1, 4
    result["fans 1 and 4: Glorot's variance"] = derived("glorot", n_in=n_in, n_out=n_out)
    result["fans 1 and 4: average of 1/sqrt(n_in) and 1/sqrt(n_out), squared"] = (
        (n_in**-0.5 + n_out**-0.5) / 2
    ) ** 2
    result["curves"] = {}
    for name, init in RULES.items():
        report: Any = analysis.analyze(mlp(WIDTHS, nn.Identity, init))
        linear = [row for row in report.layers if row.op == "Linear"]
        forward = [row.forward.second for row in linear]
        backward = [row.backward.second for row in linear]
        result["curves"][name] = forward, backward
        result[f"widths {WIDTHS[0]} to {WIDTHS[-1]}, Var(W) = {name}: forward, last layer"] = (
            forward[-1]
        )
        result[f"Var(W) = {name}: backward, layer 1 over the last"] = backward[0] / backward[-1]
    return {**result, "fans": list(pairwise(WIDTHS))}


def figure(result: Result) -> object:
    """The signal and the gradient through linear layers of changing width."""
    drawn, (left, right) = panels(2, "linear layers of widths " + "-".join(map(str, WIDTHS)), 4.8)
    layers = range(1, len(WIDTHS))
    for colour, (name, (forward, backward)) in zip(
        (BLUE, GREEN, ORANGE), result["curves"].items(), strict=True
    ):
        left.semilogy(layers, forward, "o-", color=colour, label=f"Var(W) = {name}")
        right.semilogy(layers, backward, "o-", color=colour)
    left.set(title="forward, E[y²]", xlabel="layer")
    right.set(title="backward, E[(∂s/∂y)²]", xlabel="layer")
    left.legend(frameon=False)
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
