"""How long the analyzer takes: networks by depth, moments, maps.

python benchmarks/analyzer.py
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

import analysis
from analysis.network.build import dense_network

ROUNDS = 5


def least(call: Callable[[], object]) -> float:
    """The least of some times, in ms, after a first call that loads what is needed."""
    call()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def main() -> None:
    """Measure and print."""
    tanh = analysis.maps("tanh")
    networks = {depth: dense_network([64] * (depth + 1), "tanh") for depth in (10, 50, 500)}
    cases: dict[str, Callable[[], object]] = {
        f"analyze, {depth} layers": functools.partial(analysis.analyze, net)
        for depth, net in networks.items()
    }
    cases |= {
        "moments of tanh": lambda: analysis.moments("tanh", variance=1.3).second,
        "maps: variance map": lambda: tanh.q(0.7, 2.0, 0.05),
        "maps: correlation map": lambda: tanh.c(0.6, 0.7, 2.0, 0.05),
        "maps: fixed point": lambda: tanh.fixed_point(2.0, 0.05),
        "maps: edge of chaos": lambda: tanh.critical(0.05),
    }
    table = Table(title=f"least of {ROUNDS} calls")
    table.add_column("what")
    table.add_column("ms", justify="right")
    for name, call in cases.items():
        table.add_row(name, f"{least(call):.3g}")
    Console().print(table)


if __name__ == "__main__":
    main()
