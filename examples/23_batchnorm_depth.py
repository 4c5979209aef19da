"""23 Batch norm keeps the signal at any depth, and makes the gradient explode at initialisation.

python examples/23_batchnorm_depth.py --plot depth.png
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import COLOURS, Result, derived, mlp, panels, tell

import analysis
import tinygrad_edu as tg
from tinygrad_edu import nn

LECTURE = """Normalisation layers made networks of extreme depth trainable: they keep the
distribution of the layers' outputs through all layers and training steps."""

EXACTLY = """Forward yes. Backward, a linear layer with batch norm and phi multiplies the
gradient's second moment by E[phi'^2]/Var(phi) (derivation `batchnorm-depth`), which is never
below 1 (`gaussian-poincare`): pi/(pi - 1) = 1.467 for relu, as batch and width grow. So the
gradient explodes with depth at initialisation, mildly for nearly linear activations: a batch
norm net of 50 relu layers has gradients 1e4 times as large in its first layer. That is one
reason why very deep networks have residual connections as well. For the identity a batch of m
gives (m - 2)/(m - 3) exactly in the limit of wide layers (`batchnorm-finite-batch`)."""

DEPTH = 12
ACTIVATIONS = {"identity": nn.Identity, "tanh": nn.Tanh, "relu": nn.ReLU}


def gradients(activation: Any, width: int, batch: int, networks: int) -> Any:
    """E[g^2] behind each batch norm, the mean over networks; unit gradients at the end."""
    total = np.zeros(DEPTH)
    for seed in range(networks):
        model = mlp([width] * (DEPTH + 2), activation, nn.init.lecun_normal_, nn.BatchNorm1d, seed)
        outputs: list[Any] = []

        def keep(module: object, inputs: object, output: Any, kept: list[Any] = outputs) -> None:
            kept.append(output)

        for module in model:
            if isinstance(module, nn.BatchNorm1d):
                module.register_forward_hook(keep)
        y = model(tg.randn(batch, width))
        found = tg.autograd.grad((y * tg.randn(*y.shape)).sum(), outputs)
        total += [float((g**2).mean().item()) for g in found]
    return total / networks


def experiment(quick: bool) -> Result:
    """Growth a layer for three activations in large batches, for the identity in a small one."""
    width, batch, networks = (100, 128, 5) if quick else (300, 512, 20)
    predicted = {
        "identity": 1.0,
        "tanh": derived("batchnorm-depth", **moments("tanh")),
        "relu": derived("batchnorm-depth", **moments("relu")),
    }
    result: Result = {"curves": {}, "size": (width, batch)}
    for name, activation in ACTIVATIONS.items():
        curve = gradients(activation, width, batch, networks)
        result["curves"][name] = curve
        result[f"{name}: growth a layer, derived for large batches"] = predicted[name]
        result[f"{name}: measured at width {width}, batch {batch}"] = float(
            (curve[0] / curve[-1]) ** (1 / (DEPTH - 1))
        )
    small = gradients(nn.Identity, width, 8, 4 * networks)
    result["identity, batch 8: derived (m - 2)/(m - 3)"] = derived("batchnorm-finite-batch", m=8)
    result["identity, batch 8: measured"] = float((small[0] / small[-1]) ** (1 / (DEPTH - 1)))
    return result


def moments(name: str) -> dict[str, float]:
    """What the derivation speaks of, for an activation under z ~ N(0, 1), widths all alike."""
    of_z = analysis.moments(name)
    return {
        "n_in": 1,
        "n_out": 1,
        "E[phi'(z)**2]": float(of_z.derivative_second),
        "Var(phi(z))": float(of_z.variance),
    }


def figure(result: Result) -> object:
    """The gradient on its way back."""
    title = "gradients behind batch norm, width {}, batches of {}".format(*result["size"])
    drawn, (ax,) = panels(1, title, 6.4, 4)
    layers = np.arange(1, DEPTH + 1)
    for colour, (name, curve) in zip(COLOURS, result["curves"].items(), strict=False):
        ax.semilogy(layers, curve / curve[-1], "o", color=colour, label=name)
        growth = result[f"{name}: growth a layer, derived for large batches"]
        ax.semilogy(layers, growth ** (DEPTH - layers), color=colour, lw=1)
    ax.plot([], [], color="black", lw=1, label="lines: derived")
    ax.set(xlabel="layer", ylabel="E[g²], last layer 1")
    ax.legend(frameon=False)
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
