"""Losses and comparisons of vectors give torch's values and derivatives, with every option."""

from __future__ import annotations

import itertools
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.peers.test_nn_against_torch import compare, their_options
from tinygrad_edu import nn
from tinygrad_edu.nn import functional as F

pytestmark = pytest.mark.peer

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2, 5, 3))
P, Q = RNG.uniform(0.05, 0.95, size=(2, 5, 3))
SIGNS = np.sign(RNG.normal(size=5))
LOGS = np.log(P / P.sum(1, keepdims=True))

MODULES: list[tuple[str, dict[str, Any], tuple[np.ndarray, ...]]] = [
    ("L1Loss", {}, (X, Y)),
    ("SmoothL1Loss", {}, (X, Y)),
    ("SmoothL1Loss", {"beta": 0.3}, (X, Y)),
    ("SmoothL1Loss", {"beta": 0.0}, (X, Y)),
    ("HuberLoss", {}, (X, Y)),
    ("HuberLoss", {"delta": 0.3}, (X, Y)),
    ("KLDivLoss", {}, (LOGS, Q)),
    ("KLDivLoss", {"log_target": True}, (LOGS, np.log(Q))),
    ("BCELoss", {}, (P, Q)),
    ("BCELoss", {"weight": np.array([1.0, 2.0, 0.5])}, (P, Q)),
    ("CosineSimilarity", {}, (X, Y)),
    ("CosineSimilarity", {"dim": 0, "eps": 0.1}, (X, Y)),
    ("PairwiseDistance", {}, (X, Y)),
    ("PairwiseDistance", {"p": 1.0, "keepdim": True}, (X, Y)),
]
REDUCTIONS = ["mean", "sum", "none"]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "options", "xs"), MODULES)
def test_losses_of_two(
    torch: ModuleType,
    name: str,
    options: dict[str, Any],
    xs: tuple[np.ndarray, ...],
    reduction: str,
) -> None:
    if name.endswith("Loss"):
        options = {**options, "reduction": reduction}
    ours = getattr(nn, name)(**options)
    theirs = getattr(torch.nn, name)(**their_options(torch, options))
    compare(torch, ours, theirs, *xs)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_soft_margin_loss(torch: ModuleType, reduction: str) -> None:
    ours, theirs = (m.SoftMarginLoss(reduction=reduction) for m in (nn, torch.nn))
    signs = torch.tensor(np.sign(Y))
    compare(torch, lambda x: ours(x, np.sign(Y)), lambda x: theirs(x, signs), X)


def test_batch_mean(torch: ModuleType) -> None:
    compare(torch, nn.KLDivLoss("batchmean"), torch.nn.KLDivLoss(reduction="batchmean"), LOGS, Q)


def test_kl_div_of_impossible_classes(torch: ModuleType) -> None:
    target = Q * (Q > 0.5)
    compare(
        torch,
        lambda x: F.kl_div(x, target, "none"),
        lambda x: torch.nn.functional.kl_div(x, torch.tensor(target), reduction="none"),
        LOGS,
    )


CERTAIN = np.array([0.0, 1.0, 0.0, 1.0, 1e-60])
LABELS = np.array([1.0, 0.0, 0.0, 1.0, 1.0])


def test_bce_of_certainty(torch: ModuleType) -> None:
    """Values throughout; gradients where the answer is wrong (torch's is 0 where it is right, the
    formula's is 1, and torch bounds those near 0)."""
    x, t = tg.tensor(CERTAIN, requires_grad=True), torch.tensor(CERTAIN, requires_grad=True)
    ours = F.binary_cross_entropy(x, LABELS, reduction="none")
    theirs = torch.nn.functional.binary_cross_entropy(t, torch.tensor(LABELS), reduction="none")
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), atol=1e-12)
    ours.sum().backward()
    theirs.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy()[:2], t.grad.numpy()[:2], rtol=1e-8)


# ------------------------------------------------------------------------------ of vectors


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("margin", [0.0, 0.4])
def test_losses_with_a_margin(torch: ModuleType, margin: float, reduction: str) -> None:
    signs = torch.tensor(SIGNS)
    options = {"margin": margin, "reduction": reduction}
    for name, xs in (
        ("CosineEmbeddingLoss", (X, Y)),
        ("MarginRankingLoss", (X[:, 0], Y[:, 0])),
        ("HingeEmbeddingLoss", (np.abs(X[:, 0]),)),
    ):
        ours, theirs = getattr(nn, name)(**options), getattr(torch.nn, name)(**options)
        compare(
            torch,
            lambda *x, f=ours: f(*x, SIGNS),
            lambda *x, f=theirs: f(*x, signs),
            *xs,
        )


@pytest.mark.parametrize(("swap", "p"), [(False, 2.0), (True, 2.0), (False, 1.0)])
def test_triplets(torch: ModuleType, swap: bool, p: float) -> None:
    options = {"margin": 0.7, "swap": swap, "p": p}
    xs = RNG.normal(size=(3, 6, 4))
    compare(torch, nn.TripletMarginLoss(**options), torch.nn.TripletMarginLoss(**options), *xs)


@pytest.mark.parametrize(("p", "dim"), [(2.0, 1), (1.0, 0), (3.0, -1)])
def test_normalize(torch: ModuleType, p: float, dim: int) -> None:
    compare(
        torch,
        lambda x: F.normalize(x, p, dim),
        lambda x: torch.nn.functional.normalize(x, p, dim),
        X,
    )


def test_cosine_similarity_broadcasts(torch: ModuleType) -> None:
    for dim in (1, -1):
        compare(
            torch,
            lambda x, y, d=dim: F.cosine_similarity(x, y, d),
            lambda x, y, d=dim: torch.nn.functional.cosine_similarity(x, y, d),
            RNG.normal(size=(4, 3, 2)),
            RNG.normal(size=(3, 2)),
        )


def test_one_hot(torch: ModuleType) -> None:
    numbers = np.array([[0, 2], [1, 2]])
    for classes in (-1, 3, 5):
        ours = F.one_hot(numbers, classes)
        theirs = torch.nn.functional.one_hot(torch.tensor(numbers), classes)
        assert (ours.tolist(), str(ours.dtype)) == (theirs.tolist(), "int64")


# ------------------------------------------------------------------------------ of classes

SHAPES = [(4,), (6, 4), (2, 4, 3), (2, 4, 3, 2)]
WEIGHTS = [None, np.array([0.5, 2.0, 1.0, 3.0])]


@pytest.mark.parametrize(
    ("shape", "weight", "reduction", "ignore_index"),
    itertools.product(SHAPES, WEIGHTS, REDUCTIONS, [-100, 1]),
)
def test_nll_loss(
    torch: ModuleType, shape: Any, weight: Any, reduction: str, ignore_index: int
) -> None:
    labels = np.random.default_rng(3).integers(0, 4, shape[:1] + shape[2:] if shape[1:] else ())
    if labels.ndim:
        labels.flat[0] = ignore_index
        labels.flat[1] = 2
    options = {"weight": weight, "reduction": reduction, "ignore_index": ignore_index}
    ours = nn.NLLLoss(**options)
    theirs = torch.nn.NLLLoss(**their_options(torch, options))
    compare(
        torch,
        lambda x: ours(x, labels),
        lambda x: theirs(x, torch.tensor(labels)),
        np.log(RNG.uniform(size=shape)),
    )


# ------------------------------------------------------------------------------ modules


@pytest.mark.parametrize("size", [1, 3, (2, 4), (None, 3), (7, 8), (None, None)])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_adaptive_pools(torch: ModuleType, size: Any, batch: tuple[int, ...]) -> None:
    x = RNG.normal(size=(*batch, 3, 7, 8))
    for name in ("AdaptiveAvgPool2d", "AdaptiveMaxPool2d"):
        ours, theirs = getattr(nn, name)(size), getattr(torch.nn, name)(size)
        assert repr(ours) == repr(theirs)
        compare(torch, ours, theirs, x)
    ours, theirs = (
        library.adaptive_max_pool2d(y, size, return_indices=True)[1]
        for library, y in ((F, x), (torch.nn.functional, torch.tensor(x)))
    )
    assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize("size", [1, 3, 4, 8, 11])
def test_pools_of_one_axis(torch: ModuleType, size: int) -> None:
    x = RNG.normal(size=(2, 3, 8))
    for name in ("AdaptiveAvgPool1d", "AdaptiveMaxPool1d"):
        ours, theirs = getattr(nn, name)(size), getattr(torch.nn, name)(size)
        assert repr(ours) == repr(theirs)
        compare(torch, ours, theirs, x)


def test_other_modules(torch: ModuleType) -> None:
    x = RNG.normal(size=(2, 3, 8))
    for make in (
        lambda m: m.MaxPool1d(3, 2, 1),
        lambda m: m.MaxPool1d(2, ceil_mode=True),
        lambda m: m.AvgPool1d(3, 2, 1, count_include_pad=False),
        lambda m: m.AvgPool1d(2),
        lambda m: m.Unflatten(1, (3, 1)),
        lambda m: m.PReLU().double(),
        lambda m: m.PReLU(3, 0.1).double(),
    ):
        ours, theirs = make(nn), make(torch.nn)
        assert repr(ours) == repr(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        compare(torch, ours, theirs, x)
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-12)


def held(m: Any) -> Any:
    """A network that holds modules and parameters under names and in rows."""

    class Net(m.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layers = m.ModuleDict({"first": m.Linear(2, 3), "last": m.Linear(3, 1)})
            self.rows = m.ParameterList([m.Parameter(m.Linear(2, 2).weight.detach())])
            self.named = m.ParameterDict({"scale": m.Parameter(m.Linear(1, 1).weight.detach())})

        def forward(self, x: Any) -> Any:
            y = self.layers["last"](self.layers["first"](x @ self.rows[0]).tanh())
            return y * self.named["scale"]

    return Net().double()


def test_what_is_held_is_found(torch: ModuleType) -> None:
    ours, theirs = held(nn), held(torch.nn)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert [n for n, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()]
    ours.load_state_dict(theirs.state_dict())
    compare(torch, ours, theirs, RNG.normal(size=(4, 2)))
