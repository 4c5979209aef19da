"""14 He's variance keeps the second moment through relu, for any symmetric law, at any width.

python examples/14_he.py --plot he.png
"""

from __future__ import annotations

import numpy as np
from common import BLUE, GREY, ORANGE, Result, derived, mlp, panels, tell

import analysis
from tinygrad_edu import nn

LECTURE = """The linear half of a relu is what Glorot's method assumes. With half of the relus
active it is as if there were half the inputs, so the scaling factor is sqrt(2/n_in)."""

EXACTLY = """E[relu(z)^2] = E[z^2]/2 for ANY law with z and -z alike: nothing is approximated, z
need not be normal and the layer need not be wide (derivation `he`). It is the second moment that
is kept, not the variance: the mean is not 0, and the pre-activation's variance equals its own
second moment only because E[W] = 0. The average over networks is kept exactly, but single
networks scatter around it, the more the narrower and deeper they are: E[M^2] grows by 1 + 5/n a
layer (derivation `finite-width`). At width 8 and depth 30 the average lives in so few networks
that thousands of draws miss it, and the middle network has lost its signal."""

DEPTH = 30


def experiment(quick: bool) -> Result:
    """Other symmetric laws; narrow and wide networks, their mean and their scatter."""
    rng = np.random.default_rng(0)
    count = 5_000 if quick else 1_000_000
    signs = rng.choice([-1.0, 1.0], count)
    laws = {
        "normal": rng.normal(size=count),
        "uniform": rng.uniform(-1, 1, count),
        "two points": signs,
        "Laplace": rng.laplace(size=count),
    }
    result: Result = {}
    for name, z in laws.items():
        ratio = float((np.maximum(z, 0) ** 2).mean() / (z**2).mean())
        result[f"E[relu(z)^2]/E[z^2], {name}"] = ratio
    result["derived weight variance for n_in = 100"] = derived("he", n_in=100)
    result["curves"] = {}
    for width in (8, 100):
        model = mlp([width] * (DEPTH + 1), nn.ReLU, nn.init.kaiming_normal_)
        measured = analysis.measure(model, networks=40 if quick else 1000, progress=False)
        moments = measured.second[:, ::2]
        result["curves"][width] = moments
        result[f"width {width}: mean of E[z^2] over networks, layer 5"] = float(
            moments[:, 4].mean()
        )
        result[f"width {width}: the middle network, layer {DEPTH}"] = float(
            np.median(moments[:, -1])
        )
        grows = float((1 + 5 / width) ** (DEPTH - 1))
        result[f"width {width}: predicted E[M^2]/E[M]^2, layer {DEPTH}"] = grows
    return result


def figure(result: Result) -> object:
    """The mean over networks, and the networks, for a narrow and a wide one."""
    drawn, axes = panels(2, f"E[z²] of relu networks under He's weights, {DEPTH} layers", 4.8)
    for ax, (width, moments) in zip(axes, result["curves"].items(), strict=True):
        layers = range(1, moments.shape[1] + 1)
        ax.semilogy(layers, moments[:40].T, color=GREY, lw=0.4, alpha=0.7)
        ax.semilogy(layers, moments.mean(axis=0), color=BLUE, lw=2, label="mean over networks")
        ax.semilogy(layers, np.median(moments, axis=0), color=ORANGE, lw=2, label="median")
        ax.set(title=f"width {width}", xlabel="layer", ylim=(1e-8, 1e3))
    axes[0].legend(frameon=False)
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
