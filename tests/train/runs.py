"""Small data and networks to train."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import nn, optim
from tinygrad_edu.train import History

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
LABELS = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
VALUES = X @ np.array([[1.0], [2], [-1], [0.5]], np.float32)


def network(out: int = 2) -> nn.Sequential:
    """The same small network at every call."""
    tg.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, out))


def measured(history: History) -> list[dict[str, float]]:
    """The rows without the time they took."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


def state(model: nn.Module) -> dict[str, Any]:
    """All values of a model."""
    return {key: tensor.tolist() for key, tensor in model.state_dict().items()}


def adam(lr: float) -> Any:
    """Makes AdamW with this learning rate."""
    return lambda params: optim.AdamW(params, lr=lr)
