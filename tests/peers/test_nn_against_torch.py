"""Layers, activations and losses give torch's values and gradients, in float64."""

from __future__ import annotations

import copy
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.nn import functional as F

TOLERANCE = {"rtol": 1e-12, "atol": 1e-13}
RNG = np.random.default_rng(0)


def agree(ours: tg.Tensor, theirs: Any) -> None:
    """Values of the two engines are equal up to rounding."""
    assert ours.shape == tuple(theirs.shape)
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), **TOLERANCE)


def compare(torch: ModuleType, ours: Any, theirs: Any, *arrays: np.ndarray[Any, Any]) -> None:
    """Both functions of the same floats: values, and the gradients of a weighted sum."""
    xs = [tg.tensor(array, requires_grad=True) for array in arrays]
    ts = [torch.tensor(array, requires_grad=True) for array in arrays]
    y, t = ours(*xs), theirs(*ts)
    agree(y, t)
    cotangent = np.random.default_rng(1).normal(size=y.shape)
    y.backward(tg.tensor(cotangent))
    t.backward(torch.tensor(cotangent))
    for x, u in zip(xs, ts, strict=True):
        assert x.grad is not None
        agree(x.grad, u.grad)


# ------------------------------------------------------------------------------ modules

MODULES: dict[str, tuple[Any, ...]] = {
    "ReLU": (), "ReLU6": (), "LeakyReLU": (0.2,), "Hardtanh": (-0.5, 2.0), "Tanh": (),
    "Sigmoid": (), "Softsign": (), "ELU": (0.7,), "SELU": (), "GELU": ("tanh",), "SiLU": (),
    "Mish": (), "Hardswish": (), "Softmax": (0,), "LogSoftmax": (1,), "Identity": (),
    "Flatten": (0,),
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("with_options", [True, False])
def test_modules(torch: ModuleType, name: str, with_options: bool) -> None:
    options = MODULES[name] if with_options or name.endswith("max") else ()
    ours, theirs = getattr(nn, name)(*options), getattr(torch.nn, name)(*options)
    assert repr(ours) == repr(theirs)
    x = 3 * RNG.normal(size=(4, 7))
    compare(torch, ours, theirs, x)


def test_softplus_beyond_torchs_threshold(torch: ModuleType) -> None:
    # torch returns x above threshold / beta; ours is exact, so it is compared without threshold.
    x = np.linspace(-30, 30, 25)
    compare(torch, nn.Softplus(2.0), torch.nn.Softplus(2.0, threshold=1e9), x)


@pytest.mark.parametrize("lead", [(), (5,), (2, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(torch: ModuleType, lead: tuple[int, ...], bias: bool) -> None:
    ours, theirs = nn.Linear(4, 3, bias).double(), torch.nn.Linear(4, 3, bias).double()
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    compare(torch, ours, theirs, RNG.normal(size=(*lead, 4)))
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert p.grad is not None
        agree(p.grad, q.grad)


def network(library: Any) -> Any:
    """A tree of layers, written once for both."""
    inner = library.Sequential(library.Linear(6, 6), library.Tanh())
    return library.Sequential(library.Flatten(), library.Linear(8, 6), inner, library.Linear(6, 3))


def test_network_keys_printing_and_gradients(torch: ModuleType) -> None:
    ours, theirs = network(nn).double(), network(torch.nn).double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for walk in ("named_parameters", "named_modules", "named_children"):
        assert [n for n, _ in getattr(ours, walk)()] == [n for n, _ in getattr(theirs, walk)()]
    ours.load_state_dict(theirs.state_dict())
    compare(torch, ours, theirs, RNG.normal(size=(5, 2, 4)))
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert p.grad is not None
        agree(p.grad, q.grad)


# ------------------------------------------------------------------------------ losses

CLASSES = 4
OPTIONS: list[dict[str, Any]] = [
    {},
    {"reduction": "sum"},
    {"reduction": "none"},
    {"label_smoothing": 0.3},
    {"weight": np.array([0.5, 2.0, 1.0, 0.0])},
    {"weight": np.array([0.5, 2.0, 1.0, 3.0]), "label_smoothing": 0.2},
    {"weight": np.array([0.5, 2.0, 1.0, 3.0]), "label_smoothing": 0.2, "reduction": "none"},
]
SHAPES = [(CLASSES,), (6, CLASSES), (2, CLASSES, 3), (2, CLASSES, 3, 2)]


def their_options(torch: ModuleType, options: dict[str, Any]) -> dict[str, Any]:
    """Arrays as torch's tensors."""
    return {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}


@pytest.mark.parametrize("ignore_index", [-100, 1])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_cross_entropy_of_class_numbers(
    torch: ModuleType, shape: tuple[int, ...], options: dict[str, Any], ignore_index: int
) -> None:
    options = {**options, "ignore_index": ignore_index}
    labels = np.random.default_rng(3).integers(
        0, CLASSES, shape[:1] + shape[2:] if shape[1:] else ()
    )
    if labels.ndim:
        labels.flat[0] = ignore_index
        labels.flat[1] = 2
    ours = nn.CrossEntropyLoss(**options)
    theirs = torch.nn.CrossEntropyLoss(**their_options(torch, options))
    compare(
        torch,
        lambda x: ours(x, labels),
        lambda x: theirs(x, torch.tensor(labels)),
        3 * RNG.normal(size=shape),
    )


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_cross_entropy_of_probabilities(
    torch: ModuleType, shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    theirs = their_options(torch, options)
    compare(
        torch,
        lambda x, p: F.cross_entropy(x, p, **options),
        lambda x, p: torch.nn.functional.cross_entropy(x, p, **theirs),
        RNG.normal(size=shape),
        RNG.uniform(size=shape),
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_of_pairs(torch: ModuleType, reduction: str) -> None:
    x, y = RNG.normal(size=(2, 5, 3))
    T = torch.nn.functional
    compare(
        torch,
        lambda a, b: F.mse_loss(a, b, reduction),
        lambda a, b: T.mse_loss(a, b, reduction=reduction),
        x,
        y,
    )
    signs = np.sign(y)
    compare(  # torch has the hinge loss for several classes only
        torch,
        lambda a: F.hinge_loss(a, signs, reduction),
        lambda a: {"mean": torch.mean, "sum": torch.sum, "none": lambda v: v}[reduction](
            torch.relu(1 - torch.tensor(signs) * a)
        ),
        x,
    )
    shares, factor, positive = np.abs(np.tanh(y)), RNG.uniform(size=3), RNG.uniform(1, 5, size=3)
    for options in ({}, {"weight": factor}, {"pos_weight": positive, "weight": factor}):
        ours = nn.BCEWithLogitsLoss(reduction=reduction, **options)
        theirs = torch.nn.BCEWithLogitsLoss(reduction=reduction, **their_options(torch, options))
        compare(torch, ours, theirs, x, shares)


def test_second_derivatives_of_a_network(torch: ModuleType) -> None:
    """The gradient of |d loss / d x|^2: what a gradient penalty needs."""
    ours, theirs = network(nn).double(), network(torch.nn).double()
    ours.load_state_dict(copy.deepcopy(theirs.state_dict()))
    x, labels = RNG.normal(size=(5, 8)), np.array([0, 2, 1, 1, 0])
    a = tg.tensor(x, requires_grad=True)
    (g,) = tg.autograd.grad(F.cross_entropy(ours(a), labels), [a], create_graph=True)
    assert g is not None
    (g * g).sum().backward()
    b = torch.tensor(x, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(theirs(b), torch.tensor(labels))
    (h,) = torch.autograd.grad(loss, [b], create_graph=True)
    (h * h).sum().backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        if q.grad is None or p.grad is None:  # the last bias: whether zero or nothing, per engine
            assert p.grad is None or not p.grad.numpy().any()
        else:
            agree(p.grad, q.grad)
