"""02 Inputs of one sign: updates of one sign, and a zig-zag through the plane of the weights.

python examples/02_zigzag.py --plot zigzag.png
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import BLUE, ORANGE, Result, derived, panels, tell

import tinygrad_edu as tg
from tinygrad_edu import nn, optim

LECTURE = """If the average of every input feature has the same sign, the updates of all weights
of a unit have the same sign: one can move north-east or south-west only, and has to zig-zag."""

EXACTLY = """That holds for a single example with inputs of one sign, and for a batch if all
inputs and all output gradients have one sign each. It does not follow from the means: the
examples (1, 2) and (2, 1) with output gradients 1 and -1 have positive means, and the gradient
is (-1, +1). What always holds for a linear unit under squared loss is the curvature: its Hessian
E[x x^T] has condition number 1 + n m^2/v for n features of mean m and variance v, and the number
of steps grows with it."""

FEATURES, EXAMPLES, VARIANCE = 2, 400, 0.25
CLOSE = 1e-3
"""Distance to the optimum at which the descent ends."""
BEST = np.array([1.0, -0.6])


def descend(x: Any, batch: int, limit: int, rng: np.random.Generator) -> Any:
    """Gradient descent of a linear unit from (0, 0) to BEST, at half the largest rate at which it
    is stable: 1/curvature, for one example 1/|x|^2."""
    unit = nn.Linear(FEATURES, 1, bias=False)
    nn.init.zeros_(unit.weight)
    whole, largest = np.linalg.eigvalsh(x.T @ x / len(x))[-1], (x**2).sum(axis=1).max()
    optimizer = optim.SGD(unit.parameters(), lr=1 / float(whole if batch == len(x) else largest))
    path = [np.zeros(FEATURES)]
    while len(path) <= limit and np.linalg.norm(path[-1] - BEST) > CLOSE:
        chosen = x if batch == len(x) else x[rng.integers(len(x), size=batch)]
        optimizer.zero_grad()
        target = chosen @ BEST
        ((unit(tg.tensor(chosen, dtype=tg.float32)).flatten() - target) ** 2).mean().div(
            2
        ).backward()
        optimizer.step()
        path.append(unit.weight.detach().numpy()[0].astype(float))
    return np.array(path)


def same_sign(path: Any) -> float:
    """The share of steps that move both weights in one direction."""
    steps = np.diff(path, axis=0)
    return float((steps.prod(axis=1) > 0).mean())


def experiment(quick: bool) -> Result:
    """The counterexample; one example at a time and whole batches; centred inputs and shifted."""
    rng = np.random.default_rng(0)
    centred = rng.normal(0, VARIANCE**0.5, (EXAMPLES, FEATURES))
    centred -= centred.mean(axis=0)
    shifted = np.abs(centred + 2)  # all of one sign
    result: Result = {}
    for name, x in (("shifted", shifted), ("centred", centred)):
        result[f"{name} single"] = descend(x, 1, 40 if quick else 400, rng)
        result[f"{name} batch"] = descend(x, len(x), 20_000, rng)
        result[f"{name} inputs, one example a step: steps of one sign"] = same_sign(
            result[f"{name} single"]
        )
        result[f"{name} inputs, whole batches: steps until 0.001 from the optimum"] = (
            len(result[f"{name} batch"]) - 1
        )
        values = np.linalg.eigvalsh(x.T @ x / len(x))
        result[f"{name} inputs: condition number of E[x x^T]"] = float(values[-1] / values[0])
    m, n, v = float(shifted.mean()), FEATURES, float(shifted.var(axis=0).mean())
    result["predicted for shifted inputs, 1 + n m^2/v"] = derived("zig-zag", m=m, n=n, v=v)
    x, delta = np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([1.0, -1.0])
    result["counterexample: gradient by the first weight"] = float(delta @ x[:, 0])
    result["counterexample: gradient by the second weight"] = float(delta @ x[:, 1])
    return result


def figure(result: Result) -> object:
    """The paths of the four descents in the plane of the weights."""
    drawn, axes = panels(2, "a linear unit on its way from (0, 0) to (1, −0.6)", 4.8, 4.2)
    for ax, kind, title in zip(
        axes, ("single", "batch"), ("one example a step", "whole batches"), strict=True
    ):
        for name, colour in (("shifted", ORANGE), ("centred", BLUE)):
            path = result[f"{name} {kind}"]
            ax.plot(
                *path.T, ".-", color=colour, lw=0.8, ms=3, label=f"{name}, {len(path) - 1} steps"
            )
        ax.plot(*BEST, "k*", ms=12, zorder=5)
        ax.set(title=title, xlabel="w₁", ylabel="w₂", aspect="equal")
        ax.legend(frameon=False)
    return drawn


if __name__ == "__main__":
    tell(__doc__, LECTURE, EXACTLY, experiment, figure)
