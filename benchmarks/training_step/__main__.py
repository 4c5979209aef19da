"""Every contender on every network: a table of ratios, a picture, and the page that shows them.

    pip install -e '.[peers]'
    python -m benchmarks.training_step                     # all of it: about twenty minutes
    python -m benchmarks.training_step tiny small --rounds 5
    python -m benchmarks.training_step --write             # and put it into docs/performance.md

Each contender runs in a process of its own and takes turns with the others; all start from the same
numbers and must agree in their first losses. Every side may use one thread or two, whichever is
faster for it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.training_step import nets, peak
from benchmarks.training_step.worker import CONTENDERS

ROOT = Path(__file__).parents[2]
PAGE, PICTURE = ROOT / "docs" / "performance.md", ROOT / "docs" / "training_step.svg"
BEGIN, END = "<!-- training-step: begin -->", "<!-- training-step: end -->"
SECONDS = 0.3
OURS = "compiled epoch"
WORTH_IT = 0.98
"""Share of the time with fewer threads below which more of them are taken to help."""
AGREEMENT = 2e-3
"""Relative, on the losses of the first three steps: float32 sums in another order."""


@dataclass
class Worker:
    """A running contender, or why it does not run."""

    process: subprocess.Popen[str] | None
    first: float = float("nan")
    losses: tuple[float, ...] = ()
    why: str = ""

    def measure(self) -> float:
        """Its time of a step now, in us."""
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{SECONDS}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def start(who: str, net: str, optimizer: str, threads: int) -> Worker:
    """Run a contender until its first epoch is done."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.training_step.worker"]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [*command, who, net, optimizer, str(threads)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        if line:
            told = json.loads(line)
            return Worker(process, told["first"], tuple(told["losses"][:3]))
        process.wait()
        errors.seek(0)
        return Worker(None, why=(errors.read().strip().splitlines() or ["died"])[-1])


@dataclass
class Row:
    """What one network gave: for each contender its time in the best round, and its threads."""

    net: str
    optimizer: str
    times: dict[str, tuple[float, int]]
    first: dict[str, float]
    missing: dict[str, str]

    def ratio(self, who: str) -> float:
        """How many times as long the contender takes as a compiled epoch does."""
        if who not in self.times or OURS not in self.times:
            return float("nan")
        return self.times[who][0] / self.times[OURS][0]


def measure(name: str, optimizer: str, rounds: int, counts: list[int], who: list[str]) -> Row:
    """All contenders on one network, a round each in turn."""
    best: dict[str, tuple[float, int]] = {}
    first: dict[str, float] = {}
    missing: dict[str, str] = {}
    for threads in counts:
        workers = {w: start(w, name, optimizer, threads) for w in who}
        running = {w: worker for w, worker in workers.items() if worker.process is not None}
        missing |= {w: worker.why for w, worker in workers.items() if worker.process is None}
        agree({w: worker.losses for w, worker in running.items()})
        times: dict[str, list[float]] = {w: [] for w in running}
        for turn in range(rounds):
            for w in list(running) if turn % 2 else reversed(list(running)):
                times[w].append(running[w].measure())
        for w, worker in running.items():
            assert worker.process is not None
            worker.process.communicate()
            time = min(times[w])  # what others do to the machine only adds
            if w not in best or time < WORTH_IT * best[w][0]:
                best[w] = (time, threads)
            first[w] = min(first.get(w, np.inf), worker.first)
    return Row(name, optimizer, best, first, missing)


def agree(losses: dict[str, tuple[float, ...]]) -> None:
    """Raise unless the first losses are the same: else the contenders do different work."""
    for who, found in losses.items():
        reference = next(iter(losses.values()))
        if not np.allclose(found, reference, rtol=AGREEMENT):
            raise SystemExit(f"{who} does something else: its losses are {found}, not {reference}")


# ------------------------------------------------------------------------------ printing


def table(rows: list[Row], who: list[str]) -> str:
    """Markdown: times of a compiled epoch, then how many times as long the others take."""
    others = [w for w in who if w != OURS]
    head = ["network", "us a step", "threads", "share of FMA peak", "first step, s", *others]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for row in rows:
        title = row.net + ("" if row.optimizer == "sgd" else f" ({row.optimizer})")
        time, threads = row.times.get(OURS, (np.nan, 0))
        cells = [title, f"{time:.3g}", str(threads), peak_share(row.net, time, threads)]
        cells.append(f"{row.first.get(OURS, np.nan):.2f}")
        cells += [f"{row.ratio(w):.3g}" if w in row.times else "–" for w in others]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def peak_share(net: str, time: float, threads: int) -> str:
    """What a step's time, in us, uses of what the threads' processors could multiply and add."""
    if not threads:
        return "–"
    return f"{nets.build(net).flop / (time * 1e-6) / (threads * peak.flops()):.0%}"


def about() -> str:
    """The machine and the versions, for the page."""
    import importlib.metadata as metadata

    from tinygrad_edu.kernels import blas

    names = ("numpy", "llvmlite", "torch", "jax", "autograd")
    versions = []
    for name in names:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{name} absent")
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return (
        f"{datetime.date.today()}, {cpu}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, {', '.join(versions)}, BLAS kernels for "
        f"{blas.info().get('core')}."
    )


Cells = dict[str, dict[str, str]]
"""A table by row and column, as text."""


def cells(lines: list[str]) -> Cells:
    """The cells of a Markdown table."""
    head, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows if not row[0].startswith("-")}


def draw(shown: Cells) -> None:
    """How many times as long everyone takes, on a logarithmic axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    shown = {net: row for net, row in shown.items() if "(" not in net}  # with SGD
    columns = [w for w in CONTENDERS if any(w in row for row in shown.values())]
    others = [w for w in columns if w not in (OURS, "compiled step", "eager")]
    width = 0.8 / max(len(others), 1)
    for i, w in enumerate(others):
        places = np.arange(len(shown)) + (i - (len(others) - 1) / 2) * width
        ratios = [row.get(w, "–") for row in shown.values()]
        axes.bar(places, [np.nan if r == "–" else float(r) for r in ratios], width, label=w)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks(range(len(shown)), list(shown))
    axes.set_ylabel("times as long as a compiled epoch")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=2)
    figure.savefig(PICTURE, metadata={"Date": None})


def write(lines: list[str]) -> None:
    """Put the results between the marks of the page, where rows of other nets stay as they are if
    they have the same columns; and draw what is there then."""
    before, rest = PAGE.read_text().split(BEGIN)
    kept, after = rest.split(END)
    found, old = cells(lines), cells([line for line in kept.splitlines() if line[:1] == "|"])
    head = list(next(iter(found.values())))
    rows = {net: row for net, row in old.items() if list(row) == head} | found
    for title, row in rows.items():
        net, time, threads = title.split()[0], float(row["us a step"]), int(row["threads"])
        row["share of FMA peak"] = peak_share(net, time, threads)
    text = [*lines[:2], *("| " + " | ".join(row.values()) + " |" for row in rows.values())]
    PAGE.write_text("\n".join([f"{before}{BEGIN}", *text, "", about(), f"{END}{after}"]))
    draw(rows)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_step")
    parser.add_argument("nets", nargs="*", metavar="NET", help=f"of {', '.join(nets.NAMES)}")
    parser.add_argument("--optimizer", nargs="+", choices=("sgd", "adam"), default=["sgd"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--who", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--write", action="store_true", help="update docs/performance.md")
    arguments = parser.parse_args()
    rows: list[Row] = []
    missing: dict[str, str] = {}
    for optimizer in arguments.optimizer:
        for name in arguments.nets or nets.NAMES:
            row = measure(name, optimizer, arguments.rounds, arguments.threads, arguments.who)
            rows.append(row)
            missing |= {f"{w} on {name}": why for w, why in row.missing.items()}
            print(table([row], arguments.who).splitlines()[-1], flush=True)
    text = f"{table(rows, arguments.who)}\n\n{about()}"
    print(f"\n{text}")
    for what, why in missing.items():
        print(f"not measured: {what}: {why}", file=sys.stderr)
    if arguments.write:
        write(table(rows, arguments.who).splitlines())


if __name__ == "__main__":
    main()
