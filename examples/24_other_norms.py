"""24 Layer norm, group norm and RMS norm: their moments and what they do to the gradient.

python examples/24_other_norms.py --plot norms.png
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import BLUE, GREY, ORANGE, Result, derived, panels, tell

import tinygrad_edu as tg
from tinygrad_edu import nn

LECTURE = """There are several other common forms of normalisation: layer norm and group norm."""

EXACTLY = """They standardise the features of one example (layer norm), of a group of them (group
norm), or divide by their root mean square (RMS norm), instead of a feature over the batch. So an
example's output depends on no other example, and training and evaluation are one. Each removes
from the gradient what would change the statistics it divides by: two directions of n for layer
norm, two for each of G groups, one for RMS norm; the rest is divided by the deviation
(derivations `layernorm`, `groupnorm`, `rmsnorm`)."""

FEATURES, GROUPS, SCALE = 16, 4, 3.0


def kinds() -> dict[str, tuple[Any, float]]:
    """Each layer, and its derived factor at eps = 0, where r = 1, for variance `SCALE`^2."""
    square = SCALE**2
    return {
        "layer norm": (
            nn.LayerNorm(FEATURES, eps=0.0),
            derived("layernorm", **{"n": FEATURES, "r": 1, "E[u**2]": 1, "eps": 0, "v": square}),
        ),
        "group norm": (
            nn.GroupNorm(GROUPS, FEATURES, eps=0.0),
            derived(
                "groupnorm",
                **{"G": GROUPS, "n": FEATURES, "r": 1, "E[u**2]": 1, "eps": 0, "v": square},
            ),
        ),
        "RMS norm": (
            nn.RMSNorm(FEATURES, eps=0.0),
            derived("rmsnorm", **{"n": FEATURES, "r": 1, "E[u**2]": 1, "eps": 0, "q": square}),
        ),
    }


def inputs(examples: int) -> Any:
    """Rows whose groups all have mean 0 and variance `SCALE`^2 exactly."""
    y = np.random.default_rng(0).normal(size=(examples, GROUPS, FEATURES // GROUPS))
    y = (y - y.mean(axis=2, keepdims=True)) / y.std(axis=2, keepdims=True)
    return (SCALE * y).reshape(examples, FEATURES)


def experiment(quick: bool) -> Result:
    """Moments of outputs and gradients; whether an example depends on the others in its batch."""
    y = tg.tensor(inputs(2000 if quick else 50_000).astype(np.float32), requires_grad=True)
    u = tg.tensor(np.random.default_rng(1).normal(size=y.shape).astype(np.float32))
    result: Result = {"derived": {}, "measured": {}}
    for name, (layer, factor) in kinds().items():
        z = layer(y)
        (gradient,) = tg.autograd.grad((z * u).sum(), y)
        measured = float((gradient**2).mean().item())
        result[f"{name}: second moment of its output"] = float((z**2).mean().item())
        result[f"{name}: gradient's second moment, derived"] = factor
        result[f"{name}: measured"] = measured
        result["derived"][name], result["measured"][name] = factor, measured
    tg.manual_seed(0)
    x = tg.randn(8, FEATURES)
    for name, layer in (
        ("layer norm", nn.LayerNorm(FEATURES)),
        ("batch norm", nn.BatchNorm1d(FEATURES)),
    ):
        with tg.no_grad():
            change = (layer(x)[:4] - layer(x[:4])).abs().max().item()
        result[f"{name}: change of an output if half of the batch is left out"] = float(change)
    return result


def figure(result: Result) -> object:
    """Derived factors beside measured ones."""
    drawn, (ax,) = panels(
        1, f"gradient behind a norm of {FEATURES} features, variance {SCALE**2:g}", 5.6
    )
    places = np.arange(len(result["derived"]))
    ax.bar(places - 0.2, list(result["derived"].values()), 0.38, color=BLUE, label="derived")
    ax.bar(places + 0.2, list(result["measured"].values()), 0.38, color=ORANGE, label="measured")
    ax.axhline(1 / SCALE**2, color=GREY, ls=":", label="1/variance: nothing removed")
    ax.set_xticks(places, list(result["derived"]))
    ax.set(ylabel="E[g²] for E[u²] = 1", ylim=(0, 0.15))
    ax.legend(frameon=False, loc="upper center", ncols=3, fontsize="small")
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
