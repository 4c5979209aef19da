"""04 Layer by layer: what weights too large or too small do to 30 layers of 100 units.

python examples/04_histograms.py --plot histograms.png
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import COLOURS, Result, digits, mlp, pairs, panels, tell

import analysis
import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.train import Probe

LECTURE = """Weights too large push the pre-activations where the derivative is nearly zero, and
the variance grows with depth. Weights too small cluster them where the activation is nearly
linear: 0.5 for sigmoid, 0 for tanh."""

EXACTLY = """True of the histograms of tanh and sigmoid; a relu has no saturated tail: large
weights make its signal grow by n Var(W)/2 a layer and leave half of the slopes at 0, as good
ones do. And a saturated layer need not stop the gradient: what counts is chi = n Var(W)
E[phi'^2]. For tanh at gain 4 it is 2.4, though 40 % of the units are saturated: the few steep
ones make the gradient explode. Sigmoids lose it at every scale. So the gradient in the first
layer over that in the last is printed, too."""

ACTIVATIONS = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "relu": nn.ReLU}
SCALES = {
    "too large": lambda w: nn.init.lecun_normal_(w, gain=4.0),
    "too small": lambda w: nn.init.lecun_normal_(w, gain=0.4),
    "Glorot": nn.init.xavier_normal_,
    "He": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
}
LAYERS, WIDTH = 30, 100
SHOWN = (1, 7, 15, 23, 30)


def watch(model: nn.Sequential) -> dict[int, Any]:
    """The outputs of the activations in the layers to show, once the model is called."""
    outputs: dict[int, Any] = {}
    for layer in SHOWN:

        def keep(module: object, inputs: object, output: Any, layer: int = layer) -> None:
            outputs[layer] = output.detach().numpy()

        model[2 * layer - 1].register_forward_hook(keep)
    return outputs


def experiment(quick: bool) -> Result:
    """One forward and backward pass over the digits for each activation and scale, probed."""
    train, _ = digits()
    images, labels = pairs(train)
    count = 100 if quick else 1000
    result: Result = {"outputs": {}}
    for name, activation in ACTIVATIONS.items():
        for scale, init in SCALES.items():
            model = mlp([64, *[WIDTH] * LAYERS, 10], activation, init)
            outputs = watch(model)
            with Probe(model, every=1) as probe:
                logits = model(tg.tensor(images[:count]))
                nn.CrossEntropyLoss()(logits, tg.tensor(labels[:count])).backward()
            hidden: Any = [r for r in probe.at(0) if r.response is not None]
            first, last = hidden[0], hidden[-1]
            result["outputs"][name, scale] = outputs
            result[f"{name}, {scale}: standard deviation in layer 30"] = last.activation.std
            result[f"{name}, {scale}: saturated in layer 30"] = last.response.saturated
            result[f"{name}, {scale}: nearly linear units in layer 1"] = first.response.near_linear
            result[f"{name}, {scale}: gradient in layer 1 over layer 30"] = (
                first.gradient.rms / last.gradient.rms if last.gradient.rms else 0.0
            )
    result["predicted for tanh, too large: chi^(29/2)"] = (
        float(analysis.maps("tanh").fixed_point(16.0).chi_1) ** 14.5
    )
    return result


def figure(result: Result) -> object:
    """Histograms of the activations in five of the layers, for every activation and scale."""
    title = f"activations by layer, {LAYERS} layers of {WIDTH} units on the digits"
    drawn, axes = panels(len(ACTIVATIONS) * len(SCALES), title, 3.2, 2.4, rows=len(ACTIVATIONS))
    for ax, ((name, scale), outputs) in zip(axes, result["outputs"].items(), strict=True):
        if name == "relu":  # sizes from 1e-17 to 1e14: powers of ten of what is not 0
            outputs = {layer: np.log10(y[y > 0]) for layer, y in outputs.items()}
        reach = {"tanh": (-1, 1), "sigmoid": (0, 1), "relu": (-19, 15)}[name]
        for colour, (layer, y) in zip(COLOURS, outputs.items(), strict=True):
            counts, edges = np.histogram(y, 60, reach)
            ax.stairs(counts / counts.max(), edges, color=colour, lw=1.2, label=str(layer))
        label = "log₁₀ of the active" if name == "relu" else None
        ax.set(title=f"{name}, {scale}", yticks=[], xlabel=label)
    axes[0].legend(title="layer", frameon=False, fontsize="x-small")
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
