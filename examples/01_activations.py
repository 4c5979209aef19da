"""01 Where an activation is saturated, and where it is nearly a straight line.

python examples/01_activations.py --plot activations.png
"""

from __future__ import annotations

import numpy as np
from common import BLUE, GREY, ORANGE, Result, panels, tell

import analysis
import tinygrad_edu as tg

LECTURE = """The derivatives of all common activations are nearly zero on part of their domain,
and elsewhere some are nearly straight lines, so that depth is wasted. Learning works best when
the pre-activations are spread out."""

EXACTLY = """How much of a layer is affected depends on the law of its pre-activation z ~ N(m,
q). The share with |phi'(z)| < 0.05 and the share that a straight line explains, Corr(phi(z),
z)^2, are computed for that law, not read off a plot. relu has no saturated tail but is exactly 0
on half the line; gelu, silu, mish and elu are nearly flat only on the left; softsign's slope
falls so slowly that it takes a large q to saturate it. So 'near-zero regions' holds for each of
them, but on one side only for the rectifiers, and 'near-linear' is a statement about a small q."""

NAMES = ("relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid", "softsign")
SCALES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def experiment(quick: bool) -> Result:
    """Regions of each activation for pre-activations of several scales, and of a shifted mean."""
    names = ("relu", "tanh") if quick else NAMES
    result: Result = {}
    regions = {n: [analysis.regions(n, variance=s**2) for s in SCALES] for n in names}
    shifted = analysis.regions("relu", mean=-2)
    result["tanh: saturated share at z ~ N(0, 9)"] = float(regions["tanh"][3].saturated)
    result["tanh: part of its output a line explains at z ~ N(0, 0.01)"] = float(
        regions["tanh"][0].alignment
    )
    result["tanh: the same at z ~ N(0, 9)"] = float(regions["tanh"][3].alignment)
    result["relu: share that is off at z ~ N(0, q), any q"] = float(regions["relu"][2].off)
    result["relu: share that is off at z ~ N(-2, 1)"] = float(shifted.off)
    result["saturated"] = {n: [float(r.saturated) for r in rows] for n, rows in regions.items()}
    result["line"] = {n: [float(r.alignment) for r in rows] for n, rows in regions.items()}
    return result


def figure(result: Result) -> object:
    """phi and phi' of each activation; below, both shares over the scale of z."""
    names = list(result["saturated"])
    drawn, axes = panels(2 * len(names), "activations under z ~ N(0, q)", 2.1, 2.4, rows=2)
    z = tg.linspace(-4, 4, 401, requires_grad=True)
    for above, below, name in zip(axes, axes[len(names) :], names, strict=False):
        y = getattr(tg.nn.functional, name)(z)
        (slope,) = tg.autograd.grad(y.sum(), z)
        above.plot(z.detach().numpy(), y.detach().numpy(), color=BLUE, label="φ")
        above.plot(z.detach().numpy(), slope.numpy(), color=ORANGE, label="φ'")
        above.fill_between(
            z.detach().numpy(), -1, 2, np.abs(slope.numpy()) < 0.05, color=ORANGE, alpha=0.12, lw=0
        )
        above.set(title=name, ylim=(-1.15, 2), xlabel="z")
        below.semilogx(
            SCALES, result["saturated"][name], "o-", color=ORANGE, ms=3, label="|φ'| < 0.05"
        )
        below.semilogx(
            SCALES, result["line"][name], "o-", color=GREY, ms=3, label="a line explains"
        )
        below.set(ylim=(-0.03, 1.03), xlabel="√q")
    axes[0].legend(frameon=False)
    axes[len(names)].legend(frameon=False, fontsize="small")
    axes[len(names)].set_ylabel("share")
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
