"""Normalisation layers and embeddings give torch's values, gradients of two orders and state."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_edu as tg
from tests.ops.samples import seeds
from tinygrad_edu import nn
from tinygrad_edu.nn import functional as F

pytestmark = pytest.mark.peer

Array = np.ndarray
EXAMPLES = settings(max_examples=15)


def agree(ours: Any, theirs: Any) -> None:
    """Equal in float64 to 1e-9 of the largest number; in practice to 1e-13."""
    wanted = theirs.numpy(force=True)
    assert ours.shape == wanted.shape
    assert ours.dtype == wanted.dtype
    scale = max(1.0, np.abs(wanted).max(initial=0))
    np.testing.assert_allclose(ours.detach().numpy(), wanted, rtol=0, atol=1e-9 * scale)


# ------------------------------------------------------------------------------ layers


@st.composite
def layers(draw: Any) -> tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]:
    """The name of a layer, its arguments, and the shape of an input."""
    name = draw(
        st.sampled_from(["BatchNorm1d", "BatchNorm2d", "LayerNorm", "GroupNorm", "RMSNorm"])
    )
    channels, eps = draw(st.integers(1, 6)), draw(st.sampled_from([1e-5, 1e-2]))
    n = draw(st.integers(2, 5))
    if name.startswith("Batch"):
        dims = 2 if name.endswith("2d") else draw(st.integers(0, 1))
        options = {
            "momentum": draw(st.sampled_from([0.1, 0.7, None])),
            "affine": draw(st.booleans()),
            "track_running_stats": draw(st.booleans()),
            "bias": draw(st.booleans()),
        }
        shape = (n, channels, *(draw(st.integers(1, 4)) for _ in range(dims)))
        return name, (channels, eps), options, shape
    if name == "GroupNorm":
        groups = draw(st.sampled_from([g for g in range(1, 7) if channels % g == 0]))
        rest = draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=4))
        options = {"affine": draw(st.booleans()), "bias": draw(st.booleans())}
        return name, (groups, channels, eps), options, (n, channels, *rest)
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=4))
    last = shape[-draw(st.integers(1, len(shape))) :]
    options = {"elementwise_affine": draw(st.booleans())}
    if name == "LayerNorm":
        options["bias"] = draw(st.booleans())
    return name, (last, eps), options, shape


def pair(torch: ModuleType, name: str, args: Any, options: Any, rng: Any) -> tuple[Any, Any]:
    """The layer here and in torch, with the same random parameters."""
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    for parameter in theirs.parameters():
        with torch.no_grad():
            parameter.copy_(torch.tensor(rng.normal(size=tuple(parameter.shape)) + 1))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    ours.load_state_dict(copy.deepcopy(theirs.state_dict()))
    return ours, theirs


@EXAMPLES
@given(drawn=layers(), seed=seeds)
def test_layers(torch: ModuleType, drawn: Any, seed: int) -> None:
    """In training over several batches, and then in evaluation."""
    name, args, options, shape = drawn
    rng = np.random.default_rng(seed)
    ours, theirs = (layer.double() for layer in pair(torch, name, args, options, rng))
    for mode in (True, True, True, False):
        ours.train(mode)
        theirs.train(mode)
        compare(torch, ours, theirs, rng.normal(size=shape) * 2 + 1, rng)
        mine, other = ours.state_dict(), theirs.state_dict()
        assert list(mine) == list(other)
        for key in mine:
            agree(mine[key], other[key])


def compare(torch: ModuleType, ours: Any, theirs: Any, x: Array, rng: Any) -> None:
    """Values, gradients, and gradients of a function of these."""
    a, b = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(a), theirs(b)
    agree(y, z)
    g = rng.normal(size=y.shape)
    mine, other = [a, *ours.parameters()], [b, *theirs.parameters()]
    plain = tg.autograd.grad(y, mine, tg.tensor(g))
    first = tg.autograd.grad(y, mine, tg.tensor(g), create_graph=True)
    wanted = torch.autograd.grad(z, other, torch.tensor(g), create_graph=True)
    for p, f, w in zip(plain, first, wanted, strict=True):
        agree(p, w)
        agree(f, w)
    weights = [rng.normal(size=f.shape) for f in first]
    total = sum((f * tg.tensor(v)).sum() for f, v in zip(first, weights, strict=True))
    peer = sum((f * torch.tensor(v)).sum() for f, v in zip(wanted, weights, strict=True))
    nothing = [None] * len(mine)
    second = torch.autograd.grad(peer, other, allow_unused=True) if peer.requires_grad else nothing
    found = tg.autograd.grad(total, mine, allow_unused=True) if total.requires_grad else nothing
    for f, w in zip(found, second, strict=True):
        if f is None or w is None:  # whether zero or nothing, per engine
            assert f is None or not np.abs(f.numpy()).max(initial=0) > 1e-9
            assert w is None or not np.abs(w.numpy()).max(initial=0) > 1e-9
        else:
            agree(f, w)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("BatchNorm1d", (3,)),
        ("BatchNorm2d", (3, 0.1, None, False, False)),
        ("LayerNorm", (3,)),
        ("LayerNorm", ((2, 3), 1e-3, False)),
        ("GroupNorm", (2, 4)),
        ("RMSNorm", ((3,),)),
        ("RMSNorm", (3, 1e-3, False)),
        ("Dropout", (0.2,)),
        ("Embedding", (5, 3)),
        ("Embedding", (5, 3, 1)),
    ],
)
def test_printing(torch: ModuleType, name: str, args: tuple[Any, ...]) -> None:
    assert repr(getattr(nn, name)(*args)) == repr(getattr(torch.nn, name)(*args))


def test_rms_norm_takes_eps_from_the_dtype(torch: ModuleType) -> None:
    for dtype in (np.float32, np.float64):
        x = np.full((2, 3), 1e-5, dtype)
        found = F.rms_norm(x, 3).numpy()
        wanted = torch.nn.functional.rms_norm(torch.tensor(x), (3,)).numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


# ------------------------------------------------------------------------------ single precision

CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "layer": (
        lambda x, w, b: F.layer_norm(x, x.shape[-1], w, b),
        lambda T, x, w, b: T.layer_norm(x, x.shape[-1:], w, b),
    ),
    "rms": (
        lambda x, w, b: F.rms_norm(x, x.shape[-1], w, 1e-5) + b,
        lambda T, x, w, b: T.rms_norm(x, x.shape[-1:], w, 1e-5) + b,
    ),
    "batch": (
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        lambda T, x, w, b: T.batch_norm(x, None, None, w, b, True),
    ),
    "group": (
        lambda x, w, b: F.group_norm(x, 4, w, b),
        lambda T, x, w, b: T.group_norm(x, 4, w, b),
    ),
    "evaluated": (
        lambda x, w, b: F.batch_norm(x, (b + 7).detach(), (w * w + 1).detach(), w, b),
        lambda T, x, w, b: T.batch_norm(x, (b + 7).detach(), (w * w + 1).detach(), w, b),
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shape", [(8, 8), (64, 300), (700, 20), (4, 2000)])
@pytest.mark.parametrize("mean", [0.0, 7.0, 300.0])
def test_single_precision_errs_no_more_than_torch(
    torch: ModuleType, name: str, shape: tuple[int, int], mean: float
) -> None:
    """The largest error against float64, of values and of gradients, is at most twice torch's and
    4 roundings of the largest number."""
    ours, theirs = CASES[name]
    rng = np.random.default_rng(0)
    x = (rng.normal(size=shape) + mean).astype(np.float32)
    w, b = (rng.normal(size=(2, shape[1])) + 1).astype(np.float32)
    g = rng.normal(size=shape).astype(np.float32)
    results = []
    for engine, dtype in (("ours", np.float32), ("torch", np.float32), ("torch", np.float64)):
        cast = [a.astype(dtype) for a in (x, w, b)]
        if engine == "ours":
            xs = [tg.tensor(a, requires_grad=True) for a in cast]
            y = ours(*xs)
            y.backward(tg.tensor(g))
            results.append([y.detach().numpy(), *(t.grad.numpy() for t in xs)])
        else:
            xs = [torch.tensor(a, requires_grad=True) for a in cast]
            y = theirs(torch.nn.functional, *xs)
            y.backward(torch.tensor(g.astype(dtype)))
            results.append([y.numpy(force=True), *(t.grad.numpy() for t in xs)])
    for mine, other, exact in zip(*results, strict=True):
        ulp = np.finfo(np.float32).eps * np.abs(exact).max()
        assert np.abs(mine - exact).max() <= 2 * np.abs(other - exact).max() + 4 * ulp


# ------------------------------------------------------------------------------ embedding, dropout


@pytest.mark.parametrize("padding", [None, 1, -1])
def test_embedding(torch: ModuleType, padding: int | None) -> None:
    rng = np.random.default_rng(0)
    numbers, table = rng.integers(0, 5, (3, 4)), rng.normal(size=(5, 2))
    a, b = tg.tensor(table, requires_grad=True), torch.tensor(table, requires_grad=True)
    y = F.embedding(numbers, a, padding)
    z = torch.nn.functional.embedding(torch.tensor(numbers), b, padding)
    agree(y, z)
    g = rng.normal(size=y.shape)
    y.backward(tg.tensor(g))
    z.backward(torch.tensor(g))
    agree(a.grad, b.grad)


def test_errors_where_torch_has_them(torch: ModuleType) -> None:
    for layer, shape in (("BatchNorm1d", (1, 3)), ("BatchNorm2d", (1, 3, 1, 1))):
        for library, make in ((nn, tg.ones), (torch.nn, torch.ones)):
            with pytest.raises(ValueError, match="more than"):
                getattr(library, layer)(3)(make(*shape))
    for library in (nn, torch.nn):
        with pytest.raises(ValueError):
            library.GroupNorm(4, 6)
        with pytest.raises(ValueError):
            library.Dropout(1.1)
