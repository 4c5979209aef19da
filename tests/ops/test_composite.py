"""The composites: values against SciPy and NumPy, derivatives by the complex step.

A composite is Python over the table's ops, so the same text runs on complex arrays (`checks.py`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.ops.checks import DERIVATIVE_ULPS, STEP, ComplexReader, assert_close, size
from tests.ops.samples import Array, Sample, seeds
from tests.ops.structure import reductions
from tinygrad_edu.errors import ArgumentError, ShapeError
from tinygrad_edu.ops import composite
from tinygrad_edu.ops.table import array_reader


@dataclass(frozen=True)
class Composite:
    """A function of one array, as users call it, as the engine defines it, and by an oracle."""

    public: Callable[..., tg.Tensor]
    rule: Callable[..., Any]
    oracle: Callable[..., Any]
    one_axis: bool = False


COMPOSITES = {
    "mean": Composite(tg.mean, composite.mean, np.mean),
    "var": Composite(tg.var, composite.var, lambda x, **k: np.var(x, ddof=1, **k)),
    "std": Composite(tg.std, composite.std, lambda x, **k: np.std(x, ddof=1, **k)),
    "norm": Composite(tg.norm, composite.norm, lambda x, **k: np.sqrt(np.sum(x * x, **k))),
    "norm of order 4": Composite(
        functools.partial(tg.norm, p=4),
        functools.partial(composite.norm, p=4),
        lambda x, **k: np.sum(x**4, **k) ** (1 / 4),
    ),
    "logsumexp": Composite(tg.logsumexp, composite.logsumexp, scipy.special.logsumexp),
    "softmax": Composite(tg.softmax, composite.softmax, scipy.special.softmax, one_axis=True),
    "log_softmax": Composite(
        tg.log_softmax, composite.log_softmax, scipy.special.log_softmax, one_axis=True
    ),
}

EXAMPLES = settings(max_examples=25)
every_composite = pytest.mark.parametrize("name", sorted(COMPOSITES))


def drawn(name: str, data: st.DataObject) -> tuple[Array, dict[str, Any], dict[str, Any]]:
    """An array without ties, and the arguments in our spelling and in NumPy's. A variance of one
    element is nan, so var and std get two at least."""

    def usable(sample: Sample) -> bool:
        return math.prod(sample.xs[0].shape[axis] for axis in sample.params["axes"]) > 1

    sample = data.draw(reductions(min_side=1, distinct=True).filter(usable))
    (x,), axes, keep = sample.xs, sample.params["axes"], sample.params["keepdims"]
    if COMPOSITES[name].one_axis:
        return x, {"axis": axes[-1]}, {"axis": axes[-1]}
    return x, {"axes": axes, "keepdims": keep}, {"axis": axes, "keepdims": keep}


@every_composite
@EXAMPLES
@given(data=st.data())
def test_value(name: str, data: st.DataObject) -> None:
    x, params, arguments = drawn(name, data)
    c = COMPOSITES[name]
    wanted = c.oracle(x, **arguments)
    # 27 terms of size up to 6, added in another order: 27 roundings of each at most.
    for found in (
        c.public(tg.tensor(x), **arguments).numpy(),
        c.rule(array_reader(x.dtype), x, **params),
    ):
        assert_close(name, found, wanted, 64, size(wanted, x))


@every_composite
@EXAMPLES
@given(data=st.data(), seed=seeds)
def test_gradient(name: str, data: st.DataObject, seed: int) -> None:
    x, params, arguments = drawn(name, data)
    c, rng = COMPOSITES[name], np.random.default_rng(seed)
    t = tg.tensor(x, requires_grad=True)
    y = c.public(t, **arguments)
    g, d = rng.uniform(-1, 1, y.shape), rng.uniform(-1, 1, x.shape)
    (pulled,) = tg.autograd.grad(y, t, tg.tensor(np.asarray(g)))
    moved = np.imag(c.rule(ComplexReader(), x + 1j * STEP * d, **params)) / STEP
    found, wanted = pulled.numpy() * d, np.asarray(g * moved)
    scale = size(np.sum(np.abs(found)), np.sum(np.abs(wanted)))
    assert_close(name, found.sum(), wanted.sum(), DERIVATIVE_ULPS, scale)


@every_composite
@EXAMPLES
@given(data=st.data(), seed=seeds)
def test_second_order(name: str, data: st.DataObject, seed: int) -> None:
    """Against central differences of the first derivative: with h = 1e-5 these err by h^2 / 6 times
    a fourth derivative (100 or so at most here), and by rounding over h: below 1e-8."""
    x, _, arguments = drawn(name, data)
    c, rng = COMPOSITES[name], np.random.default_rng(seed)
    d, h = rng.uniform(-1, 1, x.shape), 1e-5
    g = tg.tensor(np.asarray(rng.uniform(-1, 1, np.shape(c.oracle(x, **arguments)))))

    def first(at: Array, create_graph: bool = False) -> tuple[tg.Tensor, tg.Tensor]:
        t = tg.tensor(at, requires_grad=True)
        (found,) = tg.autograd.grad(c.public(t, **arguments), t, g, create_graph=create_graph)
        return t, found

    t, slope = first(x, create_graph=True)
    found = np.zeros(x.shape)
    if slope.requires_grad:
        (second,) = tg.autograd.grad((slope * tg.tensor(d)).sum(), t)
        found = second.numpy()
    wanted = (first(x + h * d)[1].numpy() - first(x - h * d)[1].numpy()) / (2 * h)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-8 * size(wanted))


@pytest.mark.parametrize("correction", [0, 1, 2.5])
def test_correction(correction: float) -> None:
    x = np.array([[1.0, 2.0, 4.0, 9.0], [0.0, 0.0, 1.0, 1.0]])
    found = tg.tensor(x).var(1, correction=correction).numpy()
    np.testing.assert_allclose(found, np.var(x, 1, ddof=correction), rtol=1e-15)
    found = tg.tensor(x).std(correction=correction).numpy()
    np.testing.assert_allclose(found, np.std(x, ddof=correction), rtol=1e-15)


@pytest.mark.parametrize("p", [0, 0.5, 1, 1.5, 2, 4, np.inf, -1, -2.5, -np.inf, "fro"])
def test_norms_of_other_orders(p: Any) -> None:
    for x in (np.array([[3.0, -4.0], [0.5, 1.0]]), np.array([[0.0, -2.0], [0.0, 0.0]])):
        found = tg.tensor(x).norm(p, dim=1, keepdim=True).numpy()
        with np.errstate(divide="ignore"):
            wanted = np.linalg.norm(x, 2 if p == "fro" else p, 1, keepdims=True)
        np.testing.assert_allclose(found, wanted, rtol=1e-14)
    assert tg.norm(tg.ones(2, 3), p, (0, 1)).shape == ()


def test_orders_that_norms_do_not_have() -> None:
    for p in ("nuc", (0, 1), math.nan, None):
        with pytest.raises(ArgumentError, match=r"^norm: p is a number.*norm\(dim=\.\.\.\)"):
            tg.ones(2, 3).norm(p)
    with pytest.raises(ShapeError, match=r"^norm: shape \(0,\) has no elements"):
        tg.ones(0).norm(-math.inf)


def test_large_logits_lose_nothing() -> None:
    """Shifting all logits by a power of two changes no result, however large."""
    x = np.array([0.5, -1.25, 3.0])
    for name in ("softmax", "log_softmax"):
        far = getattr(tg, name)(tg.tensor(x + 2.0**40), 0).numpy()
        np.testing.assert_array_equal(far, getattr(tg, name)(tg.tensor(x), 0).numpy())
