"""Forward and backward of single layers, here and in torch, eager, float32, on one thread.

    pip install -e '.[peers]'
    python benchmarks/layers.py

Each engine runs in a process of its own, and the two take turns. They get the same input,
parameters and cotangent, and must agree in the gradient. Printed are medians of processor time
(so that other programs do not count), and how many times as long torch takes.
"""

from __future__ import annotations

import os

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import argparse  # noqa: E402
import json  # noqa: E402
import statistics  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

SHAPES = ((1024, 1024), (128, 128))
LAYERS = ("layer_norm", "rms_norm", "batch_norm", "softmax", "gelu", "dropout")
ENGINES = ("tinygrad_edu", "torch")
ROUNDS = 75
SECONDS = 0.01
"""How long a turn is, about."""

Step = Callable[[], Any]


def data(shape: tuple[int, int]) -> list[np.ndarray]:
    """Input, weight, bias and cotangent."""
    rng = np.random.default_rng(0)
    shapes = (shape, shape[1:], shape[1:], shape)
    return [rng.standard_normal(s).astype(np.float32) for s in shapes]


def layer(F: Any, name: str, x: Any, w: Any, b: Any) -> Any:
    """The layer's output; F is either engine's nn.functional."""
    if name == "layer_norm":
        return F.layer_norm(x, (x.shape[-1],), w, b)
    if name == "rms_norm":
        return F.rms_norm(x, (x.shape[-1],), w, 1e-5)
    if name == "batch_norm":
        return F.batch_norm(x, None, None, w, b, True)
    if name == "softmax":
        return F.softmax(x, -1)
    return F.dropout(x, 0.5) if name == "dropout" else F.gelu(x)


def prepare(engine: str, name: str, shape: tuple[int, int]) -> Step:
    """Forward and backward; returns the gradient of the input."""
    x, w, b, g = data(shape)
    if engine == "torch":
        import torch

        torch.set_num_threads(1)
        xs: list[Any] = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
        cotangent: Any = torch.tensor(g)
        F: Any = torch.nn.functional
    else:
        import tinygrad_edu as tg

        xs = [tg.tensor(a, requires_grad=True) for a in (x, w, b)]
        cotangent = tg.tensor(g)
        F = tg.nn.functional

    def step() -> Any:
        for leaf in xs:
            leaf.grad = None
        layer(F, name, *xs).backward(cotangent)
        return xs[0].grad

    return step


def work(engine: str) -> None:
    """Answer each request on standard input (a layer and a shape) by a time in us and numbers that
    must agree: the gradient's projections on two random directions."""
    steps: dict[str, tuple[Step, int]] = {}
    for request in sys.stdin:
        name, *shape = json.loads(request)
        if request not in steps:
            step = prepare(engine, name, (shape[0], shape[1]))
            step()
            start = time.process_time()
            step()
            repeats = max(1, int(SECONDS / (time.process_time() - start)))
            steps[request] = step, repeats
        step, repeats = steps[request]
        start = time.process_time()
        for _ in range(repeats):
            gradient = step()
        us = (time.process_time() - start) / repeats * 1e6
        directions = np.random.default_rng(1).standard_normal((2, *shape))
        projections = (directions * np.asarray(gradient)).sum((1, 2)).tolist()
        print(json.dumps([us, projections]), flush=True)


def start(engine: str) -> subprocess.Popen[str]:
    """A worker process."""
    command = [sys.executable, __file__, "--work", engine]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(worker: subprocess.Popen[str], request: str) -> tuple[float, list[float]]:
    """A worker's time and projections."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(request + "\n")
    worker.stdin.flush()
    us, projections = json.loads(worker.stdout.readline())
    return us, projections


def main() -> None:
    """Measure and print."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="forward + backward, float32, one thread, us of processor time")
    for head in ("layer", "shape", *ENGINES, "torch / ours"):
        table.add_column(head, justify="right")
    workers = {engine: start(engine) for engine in ENGINES}
    for shape in SHAPES:
        for name in LAYERS:
            request = json.dumps([name, *shape])
            times: dict[str, list[float]] = {engine: [] for engine in ENGINES}
            seen: dict[str, list[float]] = {}
            for _ in range(ROUNDS):
                for engine, worker in workers.items():
                    us, seen[engine] = ask(worker, request)
                    times[engine].append(us)
            if name != "dropout":  # which draws other numbers
                size = np.sqrt(np.prod(shape))  # of a projection
                ours_seen, theirs_seen = seen.values()
                np.testing.assert_allclose(ours_seen, theirs_seen, rtol=1e-4, atol=1e-4 * size)
            ours, theirs = (statistics.median(times[engine]) for engine in ENGINES)
            table.add_row(
                name, "x".join(map(str, shape)), f"{ours:.0f}", f"{theirs:.0f}",
                f"{theirs / ours:.2f}",
            )  # fmt: skip
    for worker in workers.values():
        assert worker.stdin is not None
        worker.stdin.close()
        worker.wait()
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", choices=ENGINES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    work(arguments.work) if arguments.work else main()
