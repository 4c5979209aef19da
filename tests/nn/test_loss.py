"""Loss modules hand their options on, and keep what has a value as a buffer."""

from __future__ import annotations

from typing import Any

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
        (nn.L1Loss, F.l1_loss),
        (nn.SmoothL1Loss, F.smooth_l1_loss),
        (nn.HuberLoss, F.huber_loss),
        (nn.SoftMarginLoss, F.soft_margin_loss),
        (nn.KLDivLoss, F.kl_div),
        (nn.HingeEmbeddingLoss, F.hinge_embedding_loss),
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


def test_other_losses_hand_their_options_on() -> None:
    loss = nn.NLLLoss(WEIGHT, ignore_index=2, reduction="sum")
    wanted = F.nll_loss(SCORES, LABELS, WEIGHT, ignore_index=2, reduction="sum")
    assert loss(SCORES, LABELS).item() == wanted.item()
    logs = SCORES.log_softmax(1)
    assert F.nll_loss(logs, LABELS).item() == pytest.approx(F.cross_entropy(SCORES, LABELS).item())
    shares, signs = SCORES.sigmoid(), tg.ones(6)
    pairs: list[Any] = [
        (
            nn.BCELoss(WEIGHT),
            lambda: F.binary_cross_entropy(shares, shares, WEIGHT),
            (shares, shares),
        ),
        (nn.SmoothL1Loss(beta=0.2), lambda: F.smooth_l1_loss(SCORES, shares, beta=0.2), None),
        (nn.HuberLoss(delta=0.2), lambda: F.huber_loss(SCORES, shares, delta=0.2), None),
        (
            nn.KLDivLoss("batchmean", True),
            lambda: F.kl_div(SCORES, shares, "batchmean", True),
            None,
        ),
        (
            nn.CosineEmbeddingLoss(0.1),
            lambda: F.cosine_embedding_loss(SCORES, shares, signs, 0.1),
            (SCORES, shares, signs),
        ),
        (
            nn.MarginRankingLoss(0.1),
            lambda: F.margin_ranking_loss(SCORES[:, 0], shares[:, 0], signs, 0.1),
            (SCORES[:, 0], shares[:, 0], signs),
        ),
        (
            nn.TripletMarginLoss(0.5, p=1.0, swap=True),
            lambda: F.triplet_margin_loss(SCORES, shares, logs, 0.5, 1.0, swap=True),
            (SCORES, shares, logs),
        ),
        (nn.CosineSimilarity(0), lambda: F.cosine_similarity(SCORES, shares, 0), None),
        (nn.PairwiseDistance(1.0), lambda: F.pairwise_distance(SCORES, shares, 1.0), None),
    ]
    for module, function, args in pairs:
        assert module(*(args or (SCORES, shares))).tolist() == function().tolist()


def test_what_is_no_class_raises_in_a_compiled_step() -> None:
    """With and without weights, in a call that comes later; and what is ignored costs nothing."""
    good, bad = tg.tensor([0, 3, -100, 1, 2, 3]), tg.tensor([0, 9, -100, 1, 2, 3])
    for make in (nn.NLLLoss, nn.CrossEntropyLoss):
        for loss in (make(reduction="none"), make(WEIGHT, reduction="none")):
            step = tg.compile(lambda x, y, loss=loss: loss(x, y))
            found = step(SCORES, good).numpy()
            np.testing.assert_allclose(found, loss(SCORES, good).numpy(), rtol=1e-5)
            assert found[2] == 0
            with pytest.raises(ArgumentError, match="class numbers run from 0 to 9"):
                step(SCORES, bad)


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
    assert list(nn.NLLLoss(WEIGHT).state_dict()) == ["weight"]
    assert list(nn.BCELoss(tg.ones(4)).state_dict()) == ["weight"]


def test_mistakes_are_found_when_the_loss_is_made() -> None:
    with pytest.raises(ArgumentError, match="MSELoss: reduction"):
        nn.MSELoss(reduction="average")
    with pytest.raises(ArgumentError, match="TripletMarginLoss: margin"):
        nn.TripletMarginLoss(margin=0)
    with pytest.raises(DTypeError):
        nn.CrossEntropyLoss()(SCORES, LABELS.double())
