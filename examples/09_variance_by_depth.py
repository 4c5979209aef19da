"""09 The second moment layer by layer, predicted and measured; LeCun's variance (claims 9 and 10).

python examples/09_variance_by_depth.py --plot depth.png
"""

from __future__ import annotations

from common import BLUE, COLOURS, GREY, Result, mlp, panels, tell

import analysis
from tinygrad_edu import nn

LECTURE = """The variance of the pre-activations is multiplied by n Var(W) in each layer, so it
grows with depth, into saturation. Scaling by 1/sqrt(n_in) gives unit variance."""

EXACTLY = """q -> n Var(W) E[phi(sqrt(q) z)^2], z ~ N(0, 1): the factor n Var(W) belongs to a
linear layer; the activation has its own. It grows only if n Var(W) > 1 (from 1/n_in on it stays
or shrinks), and a bounded activation bounds it: tanh's q comes to rest at a fixed point, in
saturation if n Var(W) is large. 1/sqrt(n_in) is right for the first layer with inputs of second
moment 1 (derivation `lecun`); for those behind it only if the activation keeps the second
moment, as the identity and selu do."""

WIDTH, DEPTH = 100, 12
CASES = {
    "linear, n Var(W) = 2": (nn.Identity, 2.0),
    "tanh, n Var(W) = 9": (nn.Tanh, 9.0),
    "tanh, n Var(W) = 1": (nn.Tanh, 1.0),
    "selu, n Var(W) = 1": (nn.SELU, 1.0),
}


def experiment(quick: bool) -> Result:
    """Reports of four networks: the report's prediction beside many networks' measurement."""
    networks = 20 if quick else 200
    result: Result = {"curves": {}}
    for name, (activation, variance) in CASES.items():

        def init(w: nn.Parameter, gain: float = variance**0.5) -> None:
            nn.init.lecun_normal_(w, gain=gain)

        model = mlp([WIDTH] * (DEPTH + 2), activation, init)
        report = analysis.analyze(model)
        measured = analysis.measure(model, networks=networks, progress=False)
        verdicts = analysis.verify(report, measured)
        linear = [v for v in verdicts if v.direction == "forward" and int(v.layer) % 2 == 0]
        result["curves"][name] = linear
        result[f"{name}: E[z^2] in layer {DEPTH}, predicted"] = linear[DEPTH - 1].predicted
        result[f"{name}: the same, measured"] = linear[DEPTH - 1].measured
        result[f"{name}: predictions that fail their measurement"] = sum(
            not v.agrees for v in verdicts
        )
    rest = analysis.maps("tanh").fixed_point(9.0)
    result["tanh, n Var(W) = 9: fixed point of q"] = float(rest.q)
    return result


def figure(result: Result) -> object:
    """Second moments of the pre-activations, by layer."""
    drawn, (ax,) = panels(1, f"E[z²] by layer, {WIDTH} units", 7, 4.4)
    for colour, (name, verdicts) in zip(COLOURS, result["curves"].items(), strict=False):
        layers = range(1, len(verdicts) + 1)
        ax.semilogy(layers, [v.predicted for v in verdicts], color=colour, label=name)
        ax.errorbar(
            layers,
            [v.measured for v in verdicts],
            [3 * v.standard_error for v in verdicts],
            color=colour,
            fmt="o",
            ms=4,
            capsize=2,
        )
    ax.axhline(result["tanh, n Var(W) = 9: fixed point of q"], color=GREY, ls=":", lw=1)
    ax.plot([], [], "o", color=BLUE, label="points: measured, ± 3 standard errors")
    ax.set(xlabel="layer")
    ax.legend(frameon=False, fontsize="small")
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
