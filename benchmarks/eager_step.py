"""One eager training step (forward, loss, backward, SGD): here, in torch, in HIPS autograd.

    pip install -e '.[peers]'
    python benchmarks/eager_step.py

Every contender starts from the same weights, runs on one thread and takes turns in one process; the
first losses must agree. Printed are medians and how many times as fast this package is.
"""

from __future__ import annotations

import os

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import itertools  # noqa: E402
import statistics  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

import tinygrad_edu as tg  # noqa: E402
from tinygrad_edu import nn, optim  # noqa: E402
from tinygrad_edu.kernels import blas  # noqa: E402

LR, MOMENTUM = 0.01, 0.9
ROUNDS = 25
NETS = {
    "64-32-10, batch 32": ((64, 32, 10), 32),
    "784-256-128-10, batch 128": ((784, 256, 128, 10), 128),
}

Step = Callable[[], float]


def weights(widths: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """He-normal weights (out, in) and zero biases, float32."""
    rng = np.random.default_rng(0)
    return [
        (
            (rng.standard_normal((b, a)) * np.sqrt(2 / a)).astype(np.float32),
            np.zeros(b, np.float32),
        )
        for a, b in itertools.pairwise(widths)
    ]


def ours(widths: tuple[int, ...], x: np.ndarray, y: np.ndarray) -> Step:
    """A step of this package."""
    model = nn.Sequential()
    for w, b in weights(widths):
        layer = nn.Linear(w.shape[1], w.shape[0])
        layer.weight.data, layer.bias.data = tg.tensor(w), tg.tensor(b)  # type: ignore[union-attr]
        model.append(layer).append(nn.ReLU())
    model, loss_of = model[:-1], nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
    inputs, labels = tg.tensor(x), tg.tensor(y)

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_of(model(inputs), labels)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def torchs(widths: tuple[int, ...], x: np.ndarray, y: np.ndarray) -> Step:
    """A step of torch, eager, with its fused SGD."""
    import torch

    torch.set_num_threads(1)
    layers: list[Any] = []
    for w, b in weights(widths):
        layer = torch.nn.Linear(w.shape[1], w.shape[0])
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(w))
            layer.bias.copy_(torch.tensor(b))
        layers += [layer, torch.nn.ReLU()]
    model, loss_of = torch.nn.Sequential(*layers[:-1]), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, fused=True)
    inputs, labels = torch.tensor(x), torch.tensor(y)

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_of(model(inputs), labels)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def autograds(widths: tuple[int, ...], x: np.ndarray, y: np.ndarray) -> Step:
    """A step of HIPS autograd."""
    import autograd
    import autograd.numpy as anp

    parameters = weights(widths)
    velocities = [(np.zeros_like(w), np.zeros_like(b)) for w, b in parameters]
    rows = np.arange(len(y))

    def loss_of(parameters: Any) -> Any:
        h = x
        for w, b in parameters[:-1]:
            h = anp.maximum(anp.dot(h, w.T) + b, 0)
        w, b = parameters[-1]
        scores = anp.dot(h, w.T) + b
        scores = scores - anp.max(scores, axis=1, keepdims=True)
        log_total = anp.log(anp.sum(anp.exp(scores), axis=1))
        return anp.mean(log_total - scores[rows, y])

    value_and_grad = autograd.value_and_grad(loss_of)

    def step() -> float:
        loss, gradients = value_and_grad(parameters)
        for (w, b), (vw, vb), (gw, gb) in zip(parameters, velocities, gradients, strict=True):
            vw *= MOMENTUM
            vw += gw
            vb *= MOMENTUM
            vb += gb
            w -= np.float32(LR) * vw
            b -= np.float32(LR) * vb
        return float(loss)

    return step


def main() -> None:
    """Measure and print."""
    table = Table(title=f"an eager step, one thread, BLAS kernels for {blas.info().get('core')}")
    for head in ("net", "engine", "us", "times as long as ours"):
        table.add_column(head, justify="right")
    for title, (widths, batch) in NETS.items():
        rng = np.random.default_rng(1)
        x = rng.standard_normal((batch, widths[0])).astype(np.float32)
        y = rng.integers(0, widths[-1], batch)
        steps = {
            name: make(widths, x, y)
            for name, make in (("tinygrad_edu", ours), ("torch", torchs), ("autograd", autograds))
        }
        first = {name: [step() for _ in range(3)] for name, step in steps.items()}
        for losses in first.values():
            np.testing.assert_allclose(losses, first["torch"], rtol=1e-4)
        times: dict[str, list[float]] = {name: [] for name in steps}
        repeats = 60 if batch < 100 else 10
        for _ in range(ROUNDS):
            for name, step in steps.items():
                start = time.perf_counter()
                for _ in range(repeats):
                    step()
                times[name].append((time.perf_counter() - start) / repeats * 1e6)
        medians = {name: statistics.median(ts) for name, ts in times.items()}
        for name, us in medians.items():
            table.add_row(title, name, f"{us:.0f}", f"{us / medians['tinygrad_edu']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
