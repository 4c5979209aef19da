"""A training step of micrograd's demo: in micrograd, and here, eager and compiled.

    pip install -e '.[peers]'
    python benchmarks/scalar_step.py

The demo classifies two moons with a 2-16-16-1 network of ReLU neurons, hinge loss and weight decay,
on all 100 points at a time. A step builds the graph, runs it backward and updates the parameters.

Every contender has a process of its own, and they take turns, so that a change in the machine's
speed meets them all. Two ratios are given, because most of micrograd's time is Python's cyclic
garbage collector, walking a graph of closures: one to micrograd as shipped, one to micrograd with
the collector off (and run between the steps, off the clock).

Compiled, the step is the same Python function. Replayed, it is the whole graph of 100 points; in
lanes it is written for one point and called with arrays, in float32. After the steps whose losses
are compared, a time of these two is that of `STEPS_AT_ONCE` steps, divided.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tinygrad_edu.data import two_moons

HIDDEN_AND_OUTPUT = [16, 16, 1]
WEIGHT_DECAY = 1e-4
STEPS_OF_THE_SCHEDULE = 100

LOSSES_COMPARED = 3  # after some steps a rounding error may decide on which side of a kink one is
LOSS_TOLERANCE = 1e-9
FLOAT32_TOLERANCE = 1e-6
STEPS_AT_ONCE = 2000

EAGER, REPLAY, LANES = "tinygrad_edu", "tinygrad_edu, replay", "tinygrad_edu, lanes"
Step = Callable[[int], float]


def make_points(n: int = 100) -> tuple[list[list[float]], list[int]]:
    """The demo's data as Python numbers, on which micrograd is faster than on NumPy's scalars."""
    points, labels = two_moons(n, noise=0.1, seed=1337)
    return points.tolist(), labels.tolist()


def make_model(mlp: Any, seed: int = 1337) -> Any:
    """The demo's network of class ``mlp``; equal weights for equal seeds, whatever the engine."""
    source = random.Random(seed)
    model = mlp(2, HIDDEN_AND_OUTPUT)
    for layer in model.layers:
        for neuron in layer.neurons:
            for weight in neuron.w:
                weight.data = source.uniform(-1, 1)
            neuron.b.data = 0.0
    return model


def update(model: Any, data_loss: Any, learning_rate: Any) -> Any:
    """Add weight decay, differentiate and change the parameters; returns the loss."""
    loss = data_loss + WEIGHT_DECAY * sum(p * p for p in model.parameters())
    model.zero_grad()
    loss.backward()
    for p in model.parameters():
        p.data -= learning_rate * p.grad
    return loss.data


def learning_rate_of(step: int) -> float:
    """The demo's schedule."""
    return 1.0 - 0.9 * step / STEPS_OF_THE_SCHEDULE


def train(
    model: Any, value: Any, points: list[list[float]], labels: list[int], learning_rate: Any
) -> Any:
    """A step of the demo with the engine's ``value`` class, one point after the other."""
    scores = [model([value(x) for x in point]) for point in points]
    hinge = [(1 + -label * score).relu() for label, score in zip(labels, scores, strict=True)]
    return update(model, sum(hinge) * (1.0 / len(hinge)), learning_rate)


def train_step(
    model: Any, value: Any, points: list[list[float]], labels: list[int], step: int
) -> float:
    """Step number ``step`` of the demo; returns the loss."""
    return float(train(model, value, points, labels, learning_rate_of(step)))


def whole_step(engine: str) -> Step:
    """A step of the demo on the graph of all points."""
    value, mlp = load_engine(engine)
    model, (points, labels) = make_model(mlp), make_points()
    if engine != REPLAY:
        return lambda step: train_step(model, value, points, labels, step)
    from tinygrad_edu import compile as compile_step

    compiled = compile_step(lambda rate: train(model, value, points, labels, rate))
    return lambda step: float(compiled(learning_rate_of(step)))


def lanes_step() -> Step:
    """A step of the demo for one point, called with all of them."""
    from tinygrad_edu import compile as compile_step
    from tinygrad_edu import scalar

    model = make_model(scalar.MLP)
    points, labels = (np.array(x, np.float32) for x in make_points())

    def train_in_lanes(point: Any, label: Any, learning_rate: Any) -> Any:
        hinge = (1 + -label * model(point)).relu()
        return update(model, scalar.batch_mean(hinge), learning_rate)

    compiled = compile_step(train_in_lanes)
    return lambda step: float(compiled(points, labels, learning_rate_of(step)))


def load_engine(name: str) -> tuple[Any, Any]:
    """The classes ``Value`` and ``MLP`` of an engine."""
    if name == "micrograd":
        return import_module("micrograd.engine").Value, import_module("micrograd.nn").MLP
    engine = import_module("tinygrad_edu")
    return engine.Value, engine.scalar.MLP


def serve(engine: str, collector: bool) -> None:
    """A contender's process: for each line of standard input, run a step and report it as JSON."""
    step_once = lanes_step() if engine == LANES else whole_step(engine)
    if not collector:
        gc.disable()
    for step, _ in enumerate(sys.stdin):
        count = STEPS_AT_ONCE if engine in (REPLAY, LANES) and step >= LOSSES_COMPARED else 1
        start = time.perf_counter()
        for _ in range(count):
            loss = step_once(step)
        seconds = (time.perf_counter() - start) / count
        gc.collect()  # every step begins with an empty heap, and without a collector it must
        print(json.dumps({"seconds": seconds, "loss": loss}), flush=True)


@dataclass
class Contender:
    """An engine with or without the garbage collector, and what its process reported so far."""

    engine: str
    collector: bool
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None

    @property
    def name(self) -> str:
        return self.engine if self.collector else f"{self.engine}, gc off"

    @property
    def tolerance(self) -> float:
        """How far its losses may be from others', relatively."""
        return FLOAT32_TOLERANCE if self.engine == LANES else LOSS_TOLERANCE

    @property
    def first(self) -> float:
        """The first step, with whatever an engine compiles or loads in it."""
        return self.seconds[0]

    @property
    def median(self) -> float:
        """The middle one of the steps after those whose losses are compared."""
        return statistics.median(self.seconds[LOSSES_COMPARED:])

    def start(self) -> None:
        """Start the process, without settings that would pin BLAS to other kernels than usual."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
        command = [sys.executable, __file__, "--serve", self.engine]
        if not self.collector:
            command.append("--no-gc")
        self.process = subprocess.Popen(
            command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def step(self) -> None:
        """Let the process run one step while everybody else waits."""
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended early, with status {self.process.wait()}.")
        report = json.loads(answer)
        self.seconds.append(report["seconds"])
        self.losses.append(report["loss"])

    def stop(self) -> None:
        """End the process: its input ends."""
        if self.process is not None:
            self.process.communicate()


def measure(contenders: Sequence[Contender], rounds: int) -> None:
    """The steps whose losses are compared and ``rounds`` more for every contender, in turn."""
    try:
        for contender in contenders:
            contender.start()
        for _ in range(LOSSES_COMPARED + rounds):
            for contender in contenders:
                contender.step()
    finally:
        for contender in contenders:
            contender.stop()


def report(contenders: Sequence[Contender], rounds: int) -> Table:
    """The table of medians and of both ratios; the first two contenders are micrograd's."""
    shipped, uncollected = contenders[0].median, contenders[1].median
    table = Table(
        title=f"A step of micrograd's demo, median of {rounds}, Python {platform.python_version()}",
        caption="× as shipped, × gc off: how many times as fast as micrograd is then",
    )
    table.add_column("engine", no_wrap=True)
    for heading in ("ms", "first step, ms", "× as shipped", "× gc off"):
        table.add_column(heading, justify="right")
    for c in contenders:
        table.add_row(
            c.name,
            f"{c.median * 1e3:.4g}",
            f"{c.first * 1e3:.1f}",
            f"{shipped / c.median:,.4g}",
            f"{uncollected / c.median:,.4g}",
        )
    return table


def disagreements(contenders: Sequence[Contender]) -> list[str]:
    """The contenders whose first losses are not those of the first contender."""
    expected = contenders[0].losses[:LOSSES_COMPARED]
    return [
        f"{c.name}: first losses {c.losses[:LOSSES_COMPARED]}, {contenders[0].name} has {expected}"
        for c in contenders[1:]
        if not all(
            math.isclose(loss, reference, rel_tol=c.tolerance)
            for loss, reference in zip(c.losses, expected, strict=False)
        )
    ]


def main() -> int:
    """Measure and print; 1 when the engines do not compute the same, 2 without micrograd."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="steps behind each median")
    parser.add_argument("--serve", metavar="ENGINE", help=argparse.SUPPRESS)
    parser.add_argument("--no-gc", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, collector=not arguments.no_gc)
        return 0
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    if find_spec("micrograd") is None:
        print("needs the peers extra: pip install -e '.[peers]'", file=sys.stderr)
        return 2

    contenders = [
        Contender(engine, collector)
        for engine in ("micrograd", EAGER)
        for collector in (True, False)
    ]
    contenders += [Contender(REPLAY, collector=True), Contender(LANES, collector=True)]
    measure(contenders, arguments.rounds)
    Console().print(report(contenders, arguments.rounds))
    complaints = disagreements(contenders)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
