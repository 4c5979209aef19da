"""The default network on the digits, in this engine and in torch.

    pip install -e '.[peers]'
    python benchmarks/digits_against_torch.py --seeds 10

For each seed both train the same network from the same weights, with AdamW and the same schedule,
on the same batches in the same order, and are tested on the same held-out quarter. What remains is
float32 rounding, which training amplifies.
"""

from __future__ import annotations

import argparse
import statistics
from importlib import import_module
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tinygrad_edu.data import DataLoader, TensorDataset, load_digits
from tinygrad_edu.nn import Linear
from tinygrad_edu.train.digits import TEST_SHARE, Recipe, network, prepared, run


def torch_network(torch: Any, seed: int) -> Any:
    """torch's network, with the weights ours starts from."""
    ours = network(seed)
    model = torch.nn.Sequential()
    for layer in ours:
        if isinstance(layer, Linear):
            model.append(torch.nn.Linear(layer.in_features, layer.out_features))
        else:
            model.append(getattr(torch.nn, type(layer).__name__)())
    values = ours.state_dict().items()
    model.load_state_dict({key: torch.tensor(tensor.numpy()) for key, tensor in values})
    return model


def torch_accuracy(torch: Any, seed: int, recipe: Recipe) -> float:
    """Test accuracy of torch's network, trained as `tinygrad_edu.train.digits.run` trains ours."""
    train, test = prepared(*load_digits().split(TEST_SHARE, seed), recipe.standardize)
    model = torch_network(torch, seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs)
    batches = DataLoader(
        TensorDataset(train.images, train.labels),
        recipe.batch_size,
        shuffle=True,
        seed=seed,
        wrap=torch.tensor,
    )
    for _ in range(recipe.epochs):
        for x, y in batches:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        schedule.step()
    with torch.no_grad():
        chosen = model(torch.tensor(test.images)).argmax(1).numpy()
    return float(np.mean(chosen == test.labels))


def main() -> None:
    """Compare and print, seed by seed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="how many, from 0 (default 10)")
    seeds = range(parser.parse_args().seeds)
    torch, recipe = import_module("torch"), Recipe()
    torch.set_num_threads(1)  # the matrices are small: two threads mostly wait for each other
    table = Table("seed", "ours", "torch")
    ours, theirs = [], []
    for seed in seeds:
        ours.append(run(seed, recipe, progress=False).test_accuracy)
        theirs.append(torch_accuracy(torch, seed, recipe))
        table.add_row(str(seed), f"{ours[-1]:.2%}", f"{theirs[-1]:.2%}")
    table.add_row("median", f"{statistics.median(ours):.2%}", f"{statistics.median(theirs):.2%}")
    Console().print(recipe, table)


if __name__ == "__main__":
    main()
