"""Choose how the default network is trained on the digits, without looking at test data.

    python benchmarks/select_digits_hyperparameters.py

The training part of one split (seed 0) is split again, several times; each candidate trains on one
inner part and is measured on the other. The candidate with the highest mean accuracy wins; among
those within one standard error of it, the one that takes the fewest steps, then the one with the
lowest loss. `Recipe` in `tinygrad_edu/train/digits.py` holds the choice. The search takes some six
minutes on one core.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
from dataclasses import dataclass

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tinygrad_edu.data import Digits, load_digits
from tinygrad_edu.train.digits import TEST_SHARE, Recipe, train_on

OUTER_SEED = 0
FIRST_INNER_SEED = 1000  # inner splits and weights share no seed with any reported run

EPOCHS = (30, 60)
BATCH_SIZES = (32, 64)
LEARNING_RATES = (1e-3, 3e-3, 1e-2)
WEIGHT_DECAYS = (1e-2, 1e-1, 1.0)
STANDARDIZE = (False, True)


@dataclass(frozen=True)
class Result:
    """A candidate and what it reached on the inner splits."""

    recipe: Recipe
    accuracies: list[float]
    loss: float

    @property
    def accuracy(self) -> float:
        """The mean over the inner splits."""
        return statistics.fmean(self.accuracies)

    @property
    def standard_error(self) -> float:
        """Of that mean."""
        return statistics.stdev(self.accuracies) / math.sqrt(len(self.accuracies))

    @property
    def steps(self) -> float:
        """How much work it is, up to a factor."""
        return self.recipe.epochs / self.recipe.batch_size


def candidates() -> list[Recipe]:
    """The grid."""
    grid = itertools.product(EPOCHS, BATCH_SIZES, LEARNING_RATES, WEIGHT_DECAYS, STANDARDIZE)
    return [Recipe(*point) for point in grid]


def measure(training_data: Digits, recipe: Recipe, splits: int) -> Result:
    """Train on inner splits of the training data, and measure on what each leaves out."""
    runs = []
    for seed in range(FIRST_INNER_SEED, FIRST_INNER_SEED + splits):
        inner_train, inner_test = training_data.split(TEST_SHARE, seed)
        runs.append(train_on(inner_train, inner_test, seed, recipe, progress=False))
    return Result(
        recipe,
        [run.test_accuracy for run in runs],
        statistics.fmean(run.test_loss for run in runs),
    )


def choose(results: list[Result]) -> Result:
    """The cheapest of those as good as the best, as far as one standard error can tell."""
    best = max(results, key=lambda result: result.accuracy)
    as_good = [r for r in results if r.accuracy >= best.accuracy - best.standard_error]
    return min(as_good, key=lambda result: (result.steps, result.loss))


def main() -> None:
    """Search, print the ten best and the choice."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--splits", type=int, default=5, help="inner splits (default 5)")
    splits = parser.parse_args().splits
    training_data, _ = load_digits().split(TEST_SHARE, OUTER_SEED)
    results = [measure(training_data, recipe, splits) for recipe in track(candidates())]
    table = Table("accuracy", "± s.e.", "loss", "recipe", title=f"best of {len(results)}")
    for result in sorted(results, key=lambda result: -result.accuracy)[:10]:
        table.add_row(
            f"{result.accuracy:.4f}",
            f"{result.standard_error:.4f}",
            f"{result.loss:.4f}",
            str(result.recipe),
        )
    console = Console()
    console.print(table)
    console.print("chosen:", choose(results).recipe)


if __name__ == "__main__":
    main()
