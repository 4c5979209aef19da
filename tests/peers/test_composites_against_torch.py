"""Functions made of others give torch's values and first and second derivatives, in float64, and
torch's answers at the edges."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.graph.composites import COMPOSITES, Case

pytestmark = pytest.mark.peer

TOLERANCE = {"rtol": 1e-11, "atol": 1e-12}
"""Some thousand roundings of float64: those of either side's formula, and of its derivatives."""


def twice_differentiated(m: Any, case: Case, seed: int = 2) -> list[Any]:
    """The value, the gradient of a weighted sum of it, and the gradient of one of that."""
    rng = np.random.default_rng(seed)
    xs = [m.tensor(x, requires_grad=True) for x in case.xs]
    y = case.function(m, *xs)
    found = [y]
    for _ in range(2):
        if not y.requires_grad:
            break
        total = (m.tensor(rng.normal(size=tuple(y.shape))) * y).sum()
        try:
            first = m.autograd.grad(total, xs, create_graph=True, allow_unused=True)
        except NotImplementedError:
            break
        parts = [
            (g if g is not None else x * 0).reshape(-1) for g, x in zip(first, xs, strict=True)
        ]
        y = m.cat(parts)
        found.append(y)
    return found


@pytest.mark.parametrize("name", COMPOSITES)
def test_value_and_two_derivatives(torch: ModuleType, name: str) -> None:
    ours = twice_differentiated(tg, COMPOSITES[name])
    theirs = twice_differentiated(torch, COMPOSITES[name])
    if name.startswith("cdist"):  # torch has no second derivative
        ours = ours[:2]
    for a, b in zip(ours, theirs, strict=False):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), **TOLERANCE)
    for rest in (*ours[len(theirs) :], *theirs[len(ours) :]):  # zero to one, absent to the other
        assert not rest.detach().numpy().any()


INF, NAN = math.inf, math.nan
PAIRS = np.array([-INF, -1.0, -0.0, 0.0, 2.0, INF, NAN])
EDGES = {
    "logaddexp": lambda m, x, y: m.logaddexp(x, y),
    "hypot": lambda m, x, y: m.hypot(x, y),
    "atan2": lambda m, x, y: m.atan2(x, y),
    "xlogy": lambda m, x, y: m.xlogy(x, y),
    "asinh": lambda m, x, y: m.asinh(x),
    "acosh": lambda m, x, y: m.acosh(x),
    "atanh": lambda m, x, y: m.atanh(x),
    "nan_to_num": lambda m, x, y: m.nan_to_num(x),
    "isclose": lambda m, x, y: m.isclose(x, y),
    "isclose, nan": lambda m, x, y: m.isclose(x, y, equal_nan=True),
    "frac": lambda m, x, y: m.frac(m.nan_to_num(x, 0, 1, 1)),
    "logit": lambda m, x, y: m.logit(m.abs(m.nan_to_num(x, 0, 1, 1)) / 2),
    "median": lambda m, x, y: m.stack([m.median(x), m.median(x[:-1])]),
    "median, dim": lambda m, x, y: m.median(x.reshape(7, 7), 0)[0],
    "quantile": lambda m, x, y: m.quantile(x.reshape(7, 7)[1:5], 0.5, dim=1),
    "exp2": lambda m, x, y: m.exp2(x),
    "log2": lambda m, x, y: m.log2(x),
    "reciprocal": lambda m, x, y: m.reciprocal(x),
}


@pytest.mark.parametrize("name", EDGES)
def test_edges(torch: ModuleType, name: str) -> None:
    x, y = (part.reshape(-1) for part in np.meshgrid(PAIRS, PAIRS))
    ours = EDGES[name](tg, tg.tensor(x), tg.tensor(y)).numpy()
    theirs = EDGES[name](torch, torch.tensor(x), torch.tensor(y)).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-15, atol=0, equal_nan=True)
    if name == "atan2":  # on the negative axis a zero's sign decides between pi and -pi
        assert (np.signbit(ours) == np.signbit(theirs))[~np.isnan(ours)].all()


@pytest.mark.parametrize("flags", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("dim", [None, 0, 1])
def test_unique(torch: ModuleType, flags: tuple[bool, bool], dim: int | None) -> None:
    x = np.random.default_rng(0).integers(0, 3, (6, 2))
    options = {"return_inverse": flags[0], "return_counts": flags[1], "dim": dim}
    ours, theirs = tg.unique(tg.tensor(x), **options), torch.unique(torch.tensor(x), **options)
    if not any(flags):
        ours, theirs = (ours,), (theirs,)
    assert [a.tolist() for a in ours] == [b.tolist() for b in theirs]


def test_what_is_found(torch: ModuleType) -> None:
    x = np.random.default_rng(1).integers(0, 2, (3, 4))
    for each in (x, x[0], np.array(1), np.array(0)):
        a, b = tg.tensor(each), torch.tensor(each)
        assert tg.nonzero(a).tolist() == torch.nonzero(b).tolist()
        assert tg.nonzero(a).shape == tuple(torch.nonzero(b).shape)
        pairs = zip(a.nonzero(as_tuple=True), b.nonzero(as_tuple=True), strict=True)
        assert all(i.tolist() == j.tolist() for i, j in pairs)
        assert tg.argwhere(a).tolist() == torch.argwhere(b).tolist()
    y = np.arange(4.0)
    assert (
        tg.masked_select(tg.tensor(y), tg.tensor(x > 0)).tolist()
        == torch.masked_select(torch.tensor(y), torch.tensor(x > 0)).tolist()
    )
    counted = np.array([1, 1, 4])
    for options in ({}, {"minlength": 7}):
        ours = tg.bincount(tg.tensor(counted), **options)
        theirs = torch.bincount(torch.tensor(counted), **options)
        assert (ours.tolist(), str(ours.dtype)) == (theirs.tolist(), "int64")


def test_weighted_covariances(torch: ModuleType) -> None:
    rng = np.random.default_rng(3)
    x, repeats, importance = rng.normal(size=(3, 6)), rng.integers(1, 4, 6), rng.uniform(size=6)
    for options in (
        {"fweights": repeats},
        {"aweights": importance},
        {"fweights": repeats, "aweights": importance, "correction": 0},
    ):
        theirs = {
            k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()
        }
        np.testing.assert_allclose(
            tg.cov(tg.tensor(x), **options).numpy(),
            torch.cov(torch.tensor(x), **theirs).numpy(),
            rtol=1e-13,
        )


def test_defaults(torch: ModuleType) -> None:
    """Dtypes of what is made of whole numbers, and of what is made of nothing."""
    for make in (
        lambda m: m.logspace(0, 2, 5),
        lambda m: m.tril_indices(3, 4, 1),
        lambda m: m.triu_indices(3, 4),
        lambda m: m.as_tensor([1.0, 2.0]),
        lambda m: m.as_tensor([1, 2]),
        lambda m: m.reciprocal(m.tensor([2, 4])),
        lambda m: m.log2(m.tensor([2, 4])),
        lambda m: m.exp2(m.tensor([2, 4])),
        lambda m: m.asinh(m.tensor([2, 4])),
        lambda m: m.square(m.tensor([2, 4])),
        lambda m: m.median(m.tensor([2, 4, 1])),
        lambda m: m.zeros_like(m.tensor([2, 4])),
        lambda m: m.cov(m.tensor([[2, 4, 7], [1, 0, 2]])),
    ):
        ours, theirs = make(tg), make(torch)
        assert f"torch.{ours.dtype}" == str(theirs.dtype)
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)
