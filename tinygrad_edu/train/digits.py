"""The default network on the digits: 64-128-64-10 with relu, and how it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tinygrad_edu.data import Digits, Standardize, load_digits
from tinygrad_edu.graph.creation import manual_seed
from tinygrad_edu.nn import Linear, ReLU, Sequential, init
from tinygrad_edu.optim import AdamW
from tinygrad_edu.optim.lr_scheduler import CosineAnnealingLR
from tinygrad_edu.train.history import History
from tinygrad_edu.train.loop import evaluate, fit

WIDTHS = (64, 128, 64, 10)
TEST_SHARE = 0.25


@dataclass(frozen=True)
class Recipe:
    """How the default network is trained: AdamW, the learning rate falling to 0 along a cosine.

    `python benchmarks/select_digits_hyperparameters.py` chose the defaults; it sees the training
    part of one split only.
    """

    epochs: int = 30
    batch_size: int = 64
    lr: float = 1e-2
    weight_decay: float = 1e-1
    standardize: bool = False
    """Whether each pixel is given mean 0 and variance 1 (measured on the training data)."""


@dataclass(frozen=True)
class Run:
    """One training run, and what it reached on the data that was held out."""

    seed: int
    history: History
    test_loss: float
    test_accuracy: float


def network(seed: int, widths: Sequence[int] = WIDTHS) -> Sequential:
    """Linear layers with relu between them, the weights from He's normal law, the biases 0."""
    manual_seed(seed)
    model = Sequential()
    for fan_in, fan_out in pairwise(widths):
        layer = Linear(fan_in, fan_out)
        init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            init.zeros_(layer.bias)
        model.append(layer).append(ReLU())
    return model[:-1]


def prepared(train: Digits, test: Digits, standardize: bool) -> tuple[Digits, Digits]:
    """Both parts as the network sees them; the test data has no influence on how."""
    if not standardize:
        return train, test
    scale = Standardize.fit(train.images)
    return Digits(scale(train.images), train.labels), Digits(scale(test.images), test.labels)


def train_on(
    train: Digits, test: Digits, seed: int, recipe: Recipe, progress: bool | None = None
) -> Run:
    """Train a network on one part of the digits and measure it, once, on the other.

    The seed decides the initial weights and the order of the examples.
    """
    train, test = prepared(train, test, recipe.standardize)
    model = network(seed)
    history = fit(
        model,
        (train.images, train.labels),
        optimizer=lambda params: AdamW(params, lr=recipe.lr, weight_decay=recipe.weight_decay),
        schedule=lambda optimizer: CosineAnnealingLR(optimizer, max(recipe.epochs, 1)),
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        seed=seed,
        progress=progress,
    )
    measured = evaluate(model, (test.images, test.labels))
    return Run(seed, history, measured["loss"], measured["accuracy"])


def run(seed: int, recipe: Recipe | None = None, progress: bool | None = None) -> Run:
    """Split the digits (a stratified quarter is held out), train and test, all under one seed."""
    train, test = load_digits().split(TEST_SHARE, seed)
    return train_on(train, test, seed, recipe or Recipe(), progress)
