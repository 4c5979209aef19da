"""What a `Probe` costs: a training step without one, with one, and with one that was closed.

    python benchmarks/probe.py [--compiled]

All in one process, on one thread, a whole period of the probe at a time; printed is the CPU time of
a step, and what it is relative to the step without a probe. For each step of a period the least of
all rounds is taken, which other programs disturb little, and then the mean. Of compiled steps the
trace is not counted that opening a probe takes.
"""

from __future__ import annotations

import os

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse  # noqa: E402
import itertools  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

import tinygrad_edu as tg  # noqa: E402
from tinygrad_edu import nn, optim  # noqa: E402
from tinygrad_edu.train.probe import EVERY, EVERY_COMPILED, Probe  # noqa: E402

ROUNDS = 20
NETS: dict[str, tuple[tuple[int, ...], type[nn.Module], int]] = {
    "64-32-10 relu, batch 32": ((64, 32, 10), nn.ReLU, 32),
    "64-128-64-10 relu, batch 64": ((64, 128, 64, 10), nn.ReLU, 64),
    "784-256-128-10 relu, batch 128": ((784, 256, 128, 10), nn.ReLU, 128),
    "64-(30 x 100)-10 tanh, batch 64": ((64, *[100] * 30, 10), nn.Tanh, 64),
}


def step_of(widths: tuple[int, ...], kind: type[nn.Module], batch: int) -> tuple[nn.Module, Any]:
    """A network, and a function that trains it by one step."""
    tg.manual_seed(0)
    model = nn.Sequential()
    for fan_in, fan_out in itertools.pairwise(widths):
        model.append(nn.Linear(fan_in, fan_out)).append(kind())
    model = model[:-1]
    optimizer = optim.AdamW(model.parameters())
    x, y = tg.randn(batch, widths[0]), tg.randint(0, widths[-1], (batch,))
    loss_of = nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()

    return model, step


def seconds_of(step: Callable[[], None], period: int) -> float:
    """CPU time of a step, over a period of the probe."""
    rounds = []
    for _ in range(1 + ROUNDS):
        clock = [time.process_time()]
        for _ in range(period):
            step()
            clock.append(time.process_time())
        rounds.append([end - start for start, end in itertools.pairwise(clock)])
    return float(np.min(rounds[1:], axis=0).mean())  # the first one warms up


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compiled", action="store_true", help="steps of tg.compile")
    compiled = parser.parse_args().compiled
    period = EVERY_COMPILED if compiled else EVERY
    table = Table(title=f"a training step with a probe that notes every {period}th")
    for head in ("net", "without, us", "with", "closed"):
        table.add_column(head, justify="right")
    for title, (widths, kind, batch) in NETS.items():
        model, step = step_of(widths, kind, batch)
        if compiled:
            step = tg.compile(step)
        without = seconds_of(step, period)
        with Probe(model, every=period):
            probed = seconds_of(step, period)
        closed = seconds_of(step, period)
        ratios = (f"{seconds / without:.3f}" for seconds in (probed, closed))
        table.add_row(title, f"{without * 1e6:.0f}", *ratios)
    Console().print(table)


if __name__ == "__main__":
    main()
