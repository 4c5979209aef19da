"""`python -m tinygrad_edu.train`: the default network on the digits, from weights to test accuracy.

It holds out a stratified quarter of the images, trains 64-128-64-10 on the rest and prints the
learning curve and the accuracy on the held-out quarter. `--seeds 0-9` does so for several seeds
(each with a split, weights and order of its own) and prints the median.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tinygrad_edu.train import digits
from tinygrad_edu.train.digits import Recipe, Run
from tinygrad_edu.train.history import ROWS_SHOWN, History, spread

BARS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says; 0 is success, 2 (from argparse) wrong use, 130 Ctrl-C."""
    options = _parser().parse_args(arguments)
    recipe = Recipe() if options.epochs is None else Recipe(epochs=options.epochs)
    seeds = [options.seed] if options.seeds is None else options.seeds
    runs = []
    for seed in seeds:
        runs.append(digits.run(seed, recipe))
        if runs[-1].history.interrupted:
            break
    if options.format == "json":
        print(json.dumps(_as_data(runs), indent=2))
    else:
        _print_text(runs)
    return 130 if runs[-1].history.interrupted else 0


def _parser() -> argparse.ArgumentParser:
    first, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m tinygrad_edu.train",
        description="Train " + first.partition(": ")[2],
        epilog=rest,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--seed", type=_seed, default=0, help="of split, weights, order (default 0)")
    which.add_argument("--seeds", type=_seeds, help="several runs: 0-9, or 1,4,7")
    parser.add_argument("--epochs", type=_epochs, help=f"default {Recipe().epochs}")
    parser.add_argument("--format", choices=["text", "json"], default="text")
    return parser


def _seed(text: str) -> int:
    seed = int(text)
    if seed < 0:
        raise argparse.ArgumentTypeError(f"a seed is at least 0, not {seed}")
    return seed


def _seeds(text: str) -> list[int]:
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        seeds += range(_seed(first), _seed(last if dash else first) + 1)
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text!r} names no seed; write 0-9")
    return seeds


def _epochs(text: str) -> int:
    epochs = int(text)
    if epochs < 1:
        raise argparse.ArgumentTypeError(f"at least 1 epoch, not {epochs}")
    return epochs


# ------------------------------------------------------------------------------ output


def _as_data(runs: Sequence[Run]) -> dict[str, Any]:
    return {
        "runs": [
            {
                "seed": run.seed,
                "epochs": len(run.history),
                "interrupted": run.history.interrupted,
                "seconds": sum(run.history.seconds),
                "test_loss": run.test_loss,
                "test_accuracy": run.test_accuracy,
                "history": {name: run.history[name] for name in run.history.columns},
            }
            for run in runs
        ],
        "median_test_accuracy": statistics.median(run.test_accuracy for run in runs),
    }


def _print_text(runs: Sequence[Run]) -> None:
    console = Console(highlight=False)
    if len(runs) == 1:
        console.print(_table_of_epochs(runs[0].history))
        logarithms = [math.log(max(loss, sys.float_info.min)) for loss in runs[0].history.loss]
        console.print(f"loss (log) {sparkline(logarithms, CURVE_WIDTH)}")
        console.print(f"accuracy   {sparkline(runs[0].history.accuracy, CURVE_WIDTH)}")
        console.print(f"test accuracy {runs[0].test_accuracy:.2%}  (loss {runs[0].test_loss:.4f})")
        return
    console.print(_table_of_runs(runs))
    median = statistics.median(run.test_accuracy for run in runs)
    console.print(f"median test accuracy of {len(runs)} runs {median:.2%}")


def _table_of_epochs(history: History) -> Table:
    table = Table("epoch", "loss", "accuracy", "learning rate")
    for i in spread(len(history), ROWS_SHOWN):
        row = history.rows[i]
        table.add_row(
            str(i + 1), f"{row['loss']:.4f}", f"{row['accuracy']:.2%}", f"{row['lr']:.2e}"
        )
    return table


def _table_of_runs(runs: Sequence[Run]) -> Table:
    table = Table("seed", "test accuracy", "test loss", "training loss", "seconds")
    for run in runs:
        table.add_row(
            str(run.seed),
            f"{run.test_accuracy:.2%}",
            f"{run.test_loss:.4f}",
            f"{run.history.last.get('loss', math.nan):.4f}",
            f"{sum(run.history.seconds):.1f}",
        )
    return table


def sparkline(values: Sequence[float], width: int) -> str:
    """The values as a row of bars from the lowest to the highest, at most `width` of them."""
    shown = [values[i] for i in spread(len(values), width)]
    low, high = min(shown, default=0), max(shown, default=0)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] for value in shown)


if __name__ == "__main__":
    raise SystemExit(main())
