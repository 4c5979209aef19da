"""15 Residual connections: what becomes of the signal if nothing is done about them.

python examples/15_residual.py --plot residual.png
"""

from __future__ import annotations

from typing import Any

from common import COLOURS, Result, derived, panels, tell

import tinygrad_edu as tg
from tinygrad_edu import nn

LECTURE = """The analysis behind Glorot's and He's weights is flawed where there are residual
connections: other techniques, such as batch normalisation, must be used."""

EXACTLY = """The analysis extends to them: a branch that ends in a linear layer of mean-zero
weights is uncorrelated with its shortcut, so the two second moments add (derivation `residual`).
With branches that keep the second moment each block doubles it, 2^L after L blocks. Scaling each
branch by L^-1/2 keeps it below e; a norm at the start of each branch makes it grow like 1 + L
(`residual-normalised`). So one need not use batch norm, but one must not ignore the sum."""

WIDTH, BLOCKS = 64, 16


def network(scale: float = 1.0, norm: bool = False) -> nn.Sequential:
    """Residual blocks of two linear layers with a relu between them, He's weights."""
    tg.manual_seed(0)
    model = nn.Sequential()
    for _ in range(BLOCKS):
        layers: list[Any] = [nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)]
        nn.init.lecun_normal_(layers[0].weight)
        nn.init.kaiming_normal_(layers[2].weight)
        for linear in layers[::2]:
            nn.init.zeros_(linear.bias)
        block = nn.Sequential(*([nn.LayerNorm(WIDTH)] if norm else []), *layers)
        model.append(nn.Residual(block, scale))
    return model


def experiment(quick: bool) -> Result:
    """The second moment behind each block, for the three kinds of blocks: derived and measured."""
    kinds = {
        "plain": (network(), derived("residual", **{"beta": 1.0, "E[Y**2]": 1.0})),
        "branches scaled by L^-1/2": (
            network(BLOCKS**-0.5),
            derived("residual", **{"beta": BLOCKS**-0.5, "E[Y**2]": 1.0}),
        ),
        "branches normalised": (network(norm=True), None),
    }
    result: Result = {"curves": {}}
    rng_networks = 20 if quick else 200
    for name, (model, factor) in kinds.items():
        growth = 1.0 + BLOCKS if factor is None else factor**BLOCKS
        curve = measured_by_block(model, rng_networks)
        result["curves"][name] = curve
        result[f"{name}: second moment after {BLOCKS} blocks, derived"] = growth
        result[f"{name}: measured, mean over networks"] = curve[-1]
    return result


def measured_by_block(model: nn.Sequential, networks: int) -> list[float]:
    """E[y^2] behind each block, the mean over networks."""
    second = [0.0] * BLOCKS
    for seed in range(networks):
        tg.manual_seed(seed)
        for parameter in model.parameters():
            if parameter.ndim > 1 and parameter.law is not None:
                nn.init.normal_(parameter, std=parameter.law.variance**0.5)
        y = tg.randn(32, WIDTH)
        for number, block in enumerate(model):
            y = block(y).detach()
            second[number] += float((y**2).mean().item()) / networks
    return second


def figure(result: Result) -> object:
    """The three kinds by depth."""
    drawn, (ax,) = panels(1, f"E[y²] behind {BLOCKS} residual blocks", 6, 4)
    for colour, (name, curve) in zip(COLOURS, result["curves"].items(), strict=False):
        ax.semilogy(range(1, BLOCKS + 1), curve, "o-", color=colour, label=name)
    ax.set(xlabel="block")
    ax.legend(frameon=False)
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
