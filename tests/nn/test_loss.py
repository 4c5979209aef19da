"""Loss modules hand their options on, and keep what has a value as a buffer."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_edu.nn import functional as F

RNG = np.random.default_rng(2)
SCORES = tg.tensor(RNG.normal(size=(6, 4)))
LABELS = tg.tensor(RNG.integers(0, 4, 6))
WEIGHT = np.array([1.0, 2.0, 0.5, 3.0])


def test_cross_entropy_hands_its_options_on() -> None:
    loss = nn.CrossEntropyLoss(WEIGHT, ignore_index=2, reduction="sum", label_smoothing=0.1)
    expected = F.cross_entropy(
        SCORES, LABELS, WEIGHT, ignore_index=2, reduction="sum", label_smoothing=0.1
    )
    assert loss(SCORES, LABELS).item() == expected.item()
    assert nn.CrossEntropyLoss()(SCORES, LABELS).item() == F.cross_entropy(SCORES, LABELS).item()


@pytest.mark.parametrize(
    ("module", "function"),
    [
        (nn.MSELoss, F.mse_loss),
        (nn.HingeLoss, F.hinge_loss),
        (nn.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits),
    ],
)
def test_losses_of_pairs(module: type[nn.Module], function: object) -> None:
    target = tg.ones_like(SCORES)
    for reduction in ("mean", "sum", "none"):
        value = module(reduction=reduction)(SCORES, target)
        assert value.tolist() == function(SCORES, target, reduction=reduction).tolist()  # type: ignore[operator]
    with pytest.raises(ShapeError):
        module()(SCORES, LABELS)


def test_weights_are_buffers() -> None:
    loss = nn.CrossEntropyLoss(WEIGHT.astype(np.float32))
    assert list(loss.state_dict()) == ["weight"]
    assert not list(loss.parameters())
    assert loss.double().weight is not None
    assert loss.weight is not None
    assert loss.weight.dtype == tg.float64
    assert not nn.CrossEntropyLoss().state_dict()
    both = nn.BCEWithLogitsLoss(tg.ones(4), pos_weight=tg.ones(4))
    assert list(both.state_dict()) == ["weight", "pos_weight"]


def test_mistakes_are_found_when_the_loss_is_made() -> None:
    with pytest.raises(ArgumentError, match="MSELoss: reduction"):
        nn.MSELoss(reduction="average")
    with pytest.raises(DTypeError):
        nn.CrossEntropyLoss()(SCORES, LABELS.double())
