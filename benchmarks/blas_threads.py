"""From which size on a matrix product gains from a second thread.

    python benchmarks/blas_threads.py

Prints, for square products of growing size, the time on one thread over the time on all of them.
`tinygrad_edu.kernels.threads.WORTH_SHARING` is where that ratio passes 1.1 for good on an otherwise
idle machine; on a busy one waiting threads cost far more than they bring.
"""

from __future__ import annotations

import os
import statistics
import time

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

from tinygrad_edu.kernels import blas  # noqa: E402

ROUNDS = 15


def seconds(a: np.ndarray, b: np.ndarray, threads: int | None) -> float:
    """Median time of a product."""
    repeats = max(1, int(2e7 / a.shape[0] ** 3))
    with threadpool_limits(limits=threads, user_api="blas"):
        np.matmul(a, b)
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            for _ in range(repeats):
                np.matmul(a, b)
            times.append((time.perf_counter() - start) / repeats)
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    found = blas.info()
    table = Table(title=f"float32 products, {found.get('core')}, {found.get('threads')} threads")
    for head in ("size", "FLOP", "1 thread, us", "all, us", "ratio"):
        table.add_column(head, justify="right")
    for size in (16, 32, 64, 100, 128, 192, 256, 384, 512, 1024):
        a = np.random.default_rng(0).standard_normal((size, size), np.float32)
        one, every = seconds(a, a, 1), seconds(a, a, None)
        row = (size, f"{2 * size**3:.1e}", f"{one * 1e6:.1f}", f"{every * 1e6:.1f}")
        table.add_row(*map(str, row), f"{one / every:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
