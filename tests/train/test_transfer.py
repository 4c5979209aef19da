"""Transfer learning on the digits: a base trained on 0 to 4, a new head for 5 to 9."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.data import Digits, load_digits
from tinygrad_edu.train import evaluate, fit

EXAMPLES = 4
"""Of each class, in the target task."""
MARGIN = 0.04
"""In accuracy. Seeds 0 to 7 gave differences of 0.08 to 0.18 where a base helps, and of -0.18 to
-0.35 where it harms."""


@dataclass(frozen=True)
class Scene:
    """Digits on a square of `size` pixels: in their place, or each in a random one."""

    size: int
    copies: int

    def __call__(self, digits: Digits, of: slice, rng: np.random.Generator) -> Any:
        """Images (n * copies, size * size), and labels that count from 0, of some classes."""
        chosen = np.isin(digits.labels, np.arange(10)[of])
        images, labels = digits.images[chosen].reshape(-1, 8, 8), digits.labels[chosen]
        scene = np.zeros((len(images) * self.copies, self.size, self.size), np.float32)
        places = rng.integers(0, self.size - 7, (len(scene), 2))
        for i, (row, column) in enumerate(places):
            scene[i, row : row + 8, column : column + 8] = images[i % len(images)]
        return scene.reshape(len(scene), -1), np.tile(labels - (of.start or 0), self.copies)


def network(size: int, seed: int) -> nn.Sequential:
    """A base of two relu layers and a head for five classes."""
    tg.manual_seed(seed)
    base = nn.Sequential(nn.Linear(size**2, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
    for layer in (base[0], base[2]):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return nn.Sequential({"base": base, "head": nn.Linear(64, 5)})


def adam(parameters: Any) -> optim.Optimizer:
    return optim.Adam(parameters, lr=0.01)


def bits(module: nn.Module) -> dict[str, bytes]:
    return {name: p.detach().numpy().tobytes() for name, p in module.named_parameters()}


@pytest.mark.parametrize("maker", [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop])
def test_what_is_frozen_stays_to_the_bit(maker: Any) -> None:
    model = network(8, 0)
    model.base.requires_grad_(False)
    base, head = bits(model.base), bits(model.head)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(40, 64)), rng.integers(0, 5, 40)
    fit(model, data, optimizer=lambda parameters: maker(parameters, lr=0.1), epochs=3)
    assert bits(model.base) == base
    assert all(bits(model.head)[name] != before for name, before in head.items())
    assert all(p.grad is None for p in model.base.parameters())


def transferred(scene: Scene, source: Any, seed: int) -> nn.Sequential:
    """A new network whose base was trained on the source task, and is frozen."""
    teacher = network(scene.size, seed)
    history = fit(teacher, source, optimizer=adam, epochs=10, seed=seed)
    assert history.accuracy[-1] > 0.95
    model = network(scene.size, seed + 100)
    report = model.load_state_dict(
        {key: value for key, value in teacher.state_dict().items() if key.startswith("base.")},
        strict=False,
    )
    assert report.missing_keys == ["head.weight", "head.bias"]
    assert report.unexpected_keys == []
    model.base.requires_grad_(False)
    return model


def gain_from_the_base(scene: Scene, seed: int) -> float:
    """How much more accurate a frozen base and a new head are than training from scratch."""
    rng = np.random.default_rng(seed)
    train, test = load_digits().split(seed=seed)
    few = np.concatenate([np.flatnonzero(train.labels == c)[:EXAMPLES] for c in range(5, 10)])
    target = Scene(scene.size, 1)(Digits(train.images[few], train.labels[few]), slice(5, 10), rng)
    unseen = scene(test, slice(5, 10), rng)
    model = transferred(scene, scene(train, slice(5), rng), seed)
    base, accuracy = bits(model.base), []
    for candidate in (model, network(scene.size, seed + 100)):
        fit(candidate, target, optimizer=adam, epochs=50, batch_size=20, seed=seed)
        accuracy.append(evaluate(candidate, unseen)["accuracy"])
    assert bits(model.base) == base
    return accuracy[0] - accuracy[1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_base_helps_where_the_source_task_taught_what_the_target_needs(seed: int) -> None:
    """Digits at random places: that a place does not matter cannot be learned from twenty."""
    assert gain_from_the_base(Scene(12, copies=5), seed) > MARGIN


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_base_harms_where_the_source_task_threw_away_what_the_target_needs(seed: int) -> None:
    """Digits in their place: twenty examples of the pixels do better than what a network has kept
    of them that had to tell 0 to 4 apart."""
    assert gain_from_the_base(Scene(8, copies=1), seed) < -MARGIN
