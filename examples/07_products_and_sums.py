"""07 The variance of a product, and of a sum of products, the pre-activation (claims 7, 8).

python examples/07_products_and_sums.py --plot products.png
"""

from __future__ import annotations

import numpy as np
from common import BLUE, GREY, ORANGE, Result, derived, panels, tell

import analysis
import tinygrad_edu as tg
from tinygrad_edu import nn

LECTURE = """Var(Y W) = E(Y)^2 Var(W) + E(W)^2 Var(Y) + Var(Y) Var(W) for independent Y and W.
With E(Y) = E(W) = 0 a pre-activation, a sum of n products, has variance n Var(W) Var(Y)."""

EXACTLY = """The product rule holds for any laws that have variances (derivation
`product-variance`). The sum needs E[W] = 0, and then has the variance n Var(W) E[Y^2]: the
second moment of the inputs, not their variance (`dense-forward`). The two agree only if E[Y] =
0, which fails after the first relu or sigmoid. Behind a relu of standard normal values E[Y^2] =
1/2 and Var(Y) = 1/2 - 1/(2 pi), so that with He's weights the lecture's form predicts 0.682
where 1 is measured."""

WIDTH = 200


def experiment(quick: bool) -> Result:
    """Three products of different laws; the pre-activations behind a relu layer."""
    rng = np.random.default_rng(0)
    n = 20_000 if quick else 400_000
    laws = {
        "uniform * exponential": (rng.uniform(-1, 3, n), rng.exponential(2.0, n)),
        "Poisson * coin": (rng.poisson(3.0, n), rng.integers(0, 2, n)),
        "normal * normal": (rng.normal(0.5, 1, n), rng.normal(-0.5, 0.3, n)),
    }
    result: Result = {}
    for name, (y, w) in laws.items():
        pair = {"Y": y, "W": w}
        moments = {f"Var({v})": float(x.var()) for v, x in pair.items()}
        moments |= {f"E[{v}]": float(x.mean()) for v, x in pair.items()}
        result[f"Var of {name}: derived"] = derived("product-variance", **moments)
        result[f"Var of {name}: measured"] = float((y * w).var())
    measured = []
    for seed in range(20 if quick else 200):
        tg.manual_seed(seed)
        layer = nn.Linear(WIDTH, WIDTH, bias=False)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        measured.append(layer(tg.randn(100, WIDTH).relu()).detach().numpy())
    result["behind a relu: measured variance of a pre-activation"] = float(np.var(measured))
    relu, he = analysis.moments("relu"), 2 / WIDTH
    result["behind a relu: n Var(W) E[Y^2]"] = WIDTH * he * float(relu.second)
    result["behind a relu: n Var(W) Var(Y), as in the lecture"] = WIDTH * he * float(relu.variance)
    result["derivation dense-forward with these numbers"] = derived(
        "dense-forward", **{"n_in": WIDTH, "Var(W)": he, "E[Y**2]": float(relu.second)}
    )
    result["samples"] = np.concatenate(measured).ravel()[:100_000]
    return result


def figure(result: Result) -> object:
    """Pre-activations behind a relu, and the two normal laws that the formulas stand for."""
    drawn, (ax,) = panels(1, "a pre-activation behind a relu layer, He's weights", 6)
    ax.hist(result["samples"], 120, density=True, color=GREY, alpha=0.4, label="measured")
    z = np.linspace(-4, 4, 300)
    for label, colour, name in (
        ("variance n Var(W) E[Y²] = {:.3f}", BLUE, "n Var(W) E[Y^2]"),
        ("variance n Var(W) Var(Y) = {:.3f}", ORANGE, "n Var(W) Var(Y), as in the lecture"),
    ):
        v = result[f"behind a relu: {name}"]
        density = np.exp(-(z**2) / 2 / v) / np.sqrt(2 * np.pi * v)
        ax.plot(z, density, color=colour, label=label.format(v))
    ax.set(xlim=(-4, 4), yticks=[], xlabel="z")
    ax.legend(frameon=False, loc="upper right", fontsize="small")
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
