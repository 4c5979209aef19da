"""Elementary functions: nanoseconds an element here and in NumPy (SciPy for erf).

    python -m benchmarks.vector_math

2048 elements, warm in the first-level cache; the fastest of many runs taken in turn, less a call of
no elements. sigmoid and softplus are what the op table computes with NumPy.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

from tinygrad_edu.kernels.vector_math import SUPPORTED, UNARY
from tinygrad_edu.ops import arrays
from tools.vector_functions import WITHOUT_AVX512, Array, VectorFunction

SIZE, REPEATS, ROUNDS = 2048, 50, 60


def seconds(work: Callable[[], object]) -> float:
    """One run of `REPEATS` calls, by the call."""
    start = time.perf_counter()
    for _ in range(REPEATS):
        work()
    return (time.perf_counter() - start) / REPEATS


def contenders(name: str, dtype: str) -> list[Callable[[int], object]]:
    """Here, here without AVX-512, NumPy; each works on the first so many elements."""
    x = np.random.default_rng(0).uniform(0.01, 8.0, SIZE).astype(dtype)
    if name in ("asin", "acos"):
        x /= 8
    elif not name.startswith(("log", "pow")):
        x -= 4
    works: list[Callable[[int], object]] = []
    for features, registers in (("", 64), (WITHOUT_AVX512, 32)):
        width = 4 * registers // x.itemsize
        works.append(_call(VectorFunction(name, dtype, width, features), x))
    numpy = getattr(arrays, name)
    arity = 1 if name in UNARY else 2
    works.append(lambda n: numpy(*[x[:n]] * arity))
    return works


def _call(function: VectorFunction, x: Array) -> Callable[[int], object]:
    out = np.empty_like(x)
    places = [x.ctypes.data] * function.arity
    return lambda n: function.call(*places, out.ctypes.data, n)


def best(works: list[Callable[[int], object]]) -> list[float]:
    """Nanoseconds an element of each; what a call of no elements takes is not counted."""
    fastest = [
        np.min(
            [[seconds(functools.partial(work, n)) for work in works] for _ in range(ROUNDS)], axis=0
        )
        for n in (SIZE, 0)
    ]
    return [float(t) / SIZE * 1e9 for t in fastest[0] - fastest[1]]


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    table = Table(title=f"ns an element, {SIZE} elements")
    for heading in ("function", "dtype", "here", "without AVX-512", "NumPy"):
        table.add_column(heading, justify="left" if heading in {"function", "dtype"} else "right")
    for dtype in ("float32", "float64"):
        for name in sorted(SUPPORTED):
            times = best(contenders(name, dtype))
            table.add_row(name, dtype, *(f"{t:.3f}" for t in times))
    Console().print(table)


if __name__ == "__main__":
    main()
