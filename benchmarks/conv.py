"""Convolution and pooling, forward and backward, here and in torch (eager).

    pip install -e '.[peers]'
    python benchmarks/conv.py [--rounds 25] [--profile]

Each engine runs in a process of its own, on one thread, and the processes take turns; before
anything is timed the results must agree. Printed are medians of processor time, which other
programs disturb less than the clock on the wall, and how many times as long as torch this package
takes. `--profile` shows in which functions this package spends a step.
"""

from __future__ import annotations

import argparse
import os

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[name] = "1"

import multiprocessing  # noqa: E402
import statistics  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from multiprocessing.connection import Connection  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from tinygrad_edu.kernels import blas  # noqa: E402

ENGINES = ("tinygrad_edu", "torch")
SLICE = 0.1
"""Seconds that an engine works before it is the other's turn."""

Arrays = list[np.ndarray]
Shape = tuple[int, ...]

CASES: dict[str, tuple[str, Shape, Shape | None, dict[str, Any]]] = {
    # function, input, weight, options
    "conv 3x3, 16 to 32 channels": ("conv2d", (32, 16, 28, 28), (32, 16, 3, 3), {"padding": 1}),
    "conv 3x3, 64 to 64 channels": ("conv2d", (32, 64, 14, 14), (64, 64, 3, 3), {"padding": 1}),
    "conv 3x3, stride 2": (
        "conv2d", (32, 16, 28, 28), (32, 16, 3, 3), {"padding": 1, "stride": 2}
    ),
    "conv 1x1, 64 to 64 channels": ("conv2d", (32, 64, 28, 28), (64, 64, 1, 1), {}),
    "conv 3x3, depthwise": (
        "conv2d", (32, 32, 28, 28), (32, 1, 3, 3), {"padding": 1, "groups": 32}
    ),
    "conv 3x3, digits": ("conv2d", (128, 1, 8, 8), (16, 1, 3, 3), {"padding": 1}),
    "max pool 2x2": ("max_pool2d", (32, 16, 28, 28), None, {"kernel_size": 2}),
    "max pool 3x3, stride 2": (
        "max_pool2d", (32, 16, 28, 28), None, {"kernel_size": 3, "stride": 2, "padding": 1}
    ),
    "avg pool 2x2": ("avg_pool2d", (32, 16, 28, 28), None, {"kernel_size": 2}),
}  # fmt: skip
"""The first case is the one to compare by; the others show where it stands elsewhere."""


def operands(case: str) -> Arrays:
    """Input and, for a convolution, weight and bias, float32."""
    _, x, weight, _ = CASES[case]
    rng = np.random.default_rng(0)
    shapes = [x] if weight is None else [x, weight, weight[:1]]
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def ours(case: str) -> Callable[[], Arrays]:
    """Value and gradients by this package."""
    import tinygrad_edu as tg

    function, _, _, options = CASES[case]
    xs = [tg.tensor(a, requires_grad=True) for a in operands(case)]
    call = getattr(tg.nn.functional, function)
    cotangent = tg.ones_like(call(*xs, **options).detach())

    def step() -> Arrays:
        y = call(*xs, **options)
        pulled = tg.autograd.grad(y, xs, cotangent)
        return [y.detach().numpy(), *(g.numpy() for g in pulled if g is not None)]

    return step


def torchs(case: str) -> Callable[[], Arrays]:
    """Value and gradients by torch."""
    import torch

    torch.set_num_threads(1)
    function, _, _, options = CASES[case]
    xs = [torch.tensor(a, requires_grad=True) for a in operands(case)]
    call = getattr(torch.nn.functional, function)
    cotangent = torch.ones_like(call(*xs, **options))

    def step() -> Arrays:
        y = call(*xs, **options)
        pulled = torch.autograd.grad(y, xs, cotangent)
        return [y.detach().numpy(), *(g.numpy() for g in pulled)]

    return step


def work(engine: str, pipe: Connection) -> None:
    """In a process: answer (case, seconds) with the mean time of a step over so many seconds, and
    (case, None) with what a step gives."""
    steps: dict[str, Callable[[], Arrays]] = {}
    while True:
        case, seconds = pipe.recv()
        if case not in steps:
            steps[case] = ours(case) if engine == "tinygrad_edu" else torchs(case)
        step = steps[case]
        if seconds is None:
            pipe.send(step())
            continue
        count, start = 0, time.process_time()
        while time.process_time() < start + seconds:
            step()
            count += 1
        pipe.send((time.process_time() - start) / count)


def compare(case: str, pipes: dict[str, Connection]) -> None:
    """The engines agree in value and gradients."""
    results = []
    for pipe in pipes.values():
        pipe.send((case, None))
        results.append(pipe.recv())
    for mine, theirs in zip(*results, strict=True):
        scale = float(np.abs(theirs).max())
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5 * scale, err_msg=case)


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Median times in ms, by case and engine."""
    context = multiprocessing.get_context("spawn")
    pipes, workers = {}, []
    for engine in ENGINES:
        pipes[engine], far = context.Pipe()
        workers.append(context.Process(target=work, args=(engine, far), daemon=True))
        workers[-1].start()
    medians = {}
    for case in CASES:
        compare(case, pipes)
        times: dict[str, list[float]] = {engine: [] for engine in ENGINES}
        for _ in range(rounds):
            for engine, pipe in pipes.items():
                pipe.send((case, SLICE))
                times[engine].append(pipe.recv() * 1e3)
        medians[case] = {engine: statistics.median(ts) for engine, ts in times.items()}
    for worker in workers:
        worker.terminate()
    return medians


def profile(case: str) -> None:
    """Where this package spends its time."""
    import cProfile
    import pstats

    step = ours(case)
    step()
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(50):
        step()
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(12)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    if arguments.profile:
        profile(next(iter(CASES)))
        return
    core = blas.info().get("core")
    table = Table(title=f"forward and backward, float32, one thread, BLAS kernels for {core}")
    for head in ("case", *(f"{engine}, ms" for engine in ENGINES), "ours / torch"):
        table.add_column(head, justify="right")
    for case, times in measure(arguments.rounds).items():
        ratio = times["tinygrad_edu"] / times["torch"]
        table.add_row(case, *(f"{ms:.2f}" for ms in times.values()), f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
