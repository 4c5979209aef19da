"""One contender in a process of its own: `python -m benchmarks.training_step.worker WHO NET ...`.

It prints one line when its first epoch is done (how long that took from the start of the script,
without drawing the data, and its losses), then, for each line ``SECONDS`` it reads, its median time
per step in us.
"""

from __future__ import annotations

import time

START = time.perf_counter()

import importlib  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402

CONTENDERS = {
    "compiled epoch": ("ours", "epoch"),
    "compiled step": ("ours", "compiled"),
    "eager": ("ours", "eager"),
    "JAX scan": ("peers", "jax_scan"),
    "JAX jit": ("peers", "jax_jit"),
    "torch.compile": ("peers", "torch_compile"),
    "torch eager": ("peers", "torch_eager"),
    "HIPS autograd": ("peers", "hips"),
}
"""By name: the module and function that make it. The first three are this package."""

LEAST = 3
"""A median is of at least so many times, however long one takes."""
SLICE = 0.02
"""One time is taken over about so many seconds, so that the clock does not matter."""


def prepare(threads: int) -> None:
    """Everything that must be in place before NumPy loads: as many threads for everyone."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(threads)
    if threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main() -> None:
    """Set up, report, then measure as often as asked."""
    who, name, optimizer, threads = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    prepare(threads)
    import numpy as np

    from benchmarks.training_step import nets

    module, function = CONTENDERS[who]
    make = getattr(importlib.import_module(f"benchmarks.training_step.{module}"), function)
    began = time.perf_counter()
    net = nets.build(name)
    building = time.perf_counter() - began  # data and weights, the same for everyone
    run = make(net, optimizer, threads)
    losses = [float(np.asarray(loss)) for loss in run.epoch()]
    first = time.perf_counter() - START - building
    print(json.dumps({"first": first, "losses": losses}), flush=True)
    for line in sys.stdin:
        print(measure(run, float(line)), flush=True)


def measure(run: object, seconds: float) -> float:
    """The median time of a step, in us."""
    epoch, steps = run.epoch, run.steps  # type: ignore[attr-defined]
    clock = time.perf_counter
    start = clock()
    epoch()
    repeats = max(1, round(SLICE / max(clock() - start, 1e-6)))
    times: list[float] = []
    end = clock() + seconds
    while clock() < end or len(times) < LEAST:
        start = clock()
        for _ in range(repeats):
            epoch()
        times.append((clock() - start) / repeats / steps)
    return statistics.median(times) * 1e6


if __name__ == "__main__":
    main()
