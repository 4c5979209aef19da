"""Order statistics, covariances and counts are NumPy's where NumPy has them; derivatives are in
`test_composites.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.ops.samples import arrays, shapes
from tinygrad_edu.errors import ArgumentError, DTypeError, ShapeError, TraceError


@given(shapes(min_dims=1, max_dims=3, min_side=1).flatmap(arrays), st.data())
def test_median_and_quantile(x: np.ndarray, data: st.DataObject) -> None:
    dim = data.draw(st.integers(-x.ndim, x.ndim - 1))
    q = data.draw(st.floats(0, 1))
    keepdim = data.draw(st.booleans())
    t = tg.tensor(x)
    wanted = np.quantile(x, 0.5, axis=dim, keepdims=keepdim, method="lower")
    values, places = t.median(dim, keepdim)
    assert values.tolist() == wanted.tolist()
    picked = tg.take_along_dim(t, places if keepdim else places.unsqueeze(dim), dim)
    assert (picked if keepdim else picked.squeeze(dim)).tolist() == values.tolist()
    assert t.median().item() == np.quantile(x, 0.5, method="lower")
    for method in ("linear", "lower", "higher", "nearest", "midpoint"):
        found = tg.quantile(t, q, dim, keepdim, interpolation=method)
        wanted = np.quantile(x, q, axis=dim, keepdims=keepdim, method=method)
        scale = np.abs(x).max()
        np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=1e-12 * max(scale, 1))
    several = tg.quantile(t, [0.0, 1.0], dim)
    assert several.tolist() == [t.amin(dim).tolist(), t.amax(dim).tolist()]


def test_ties_share_the_gradient_of_the_median() -> None:
    x = tg.tensor([1.0, 2.0, 2.0, 5.0], requires_grad=True)
    x.median().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0.5, 0.5, 0]


def test_nan_is_an_answer() -> None:
    x = tg.tensor([[1.0, np.nan, 0.0], [1.0, 2.0, 3.0]])
    values, places = x.median(1)
    assert np.isnan(values[0].item())
    assert (values[1].item(), places.tolist()) == (2, [1, 1])
    assert np.isnan(x.median().item())
    assert tg.quantile(x, 0.5, 1)[1].item() == 2
    assert np.isnan(tg.quantile(x, 0.5, 1)[0].item())
    assert x.nansum(1).tolist() == [1, 6]
    assert x.nanmean(1).tolist() == [0.5, 2]


@given(shapes(min_dims=2, max_dims=2, min_side=2).flatmap(arrays))
def test_covariances(x: np.ndarray) -> None:
    scale = max(np.abs(x).max() ** 2, 1)
    np.testing.assert_allclose(tg.cov(x).numpy(), np.cov(x), rtol=0, atol=1e-12 * scale)
    weights = np.arange(1, x.shape[1] + 1)
    found = tg.cov(x, fweights=weights, correction=0).numpy()
    np.testing.assert_allclose(
        found, np.cov(x, fweights=weights, ddof=0), rtol=0, atol=1e-12 * scale
    )


def test_correlations() -> None:
    x = np.random.default_rng(0).normal(size=(3, 20))
    np.testing.assert_allclose(tg.corrcoef(x).numpy(), np.corrcoef(x), rtol=1e-13)
    assert tg.corrcoef(x[0]).item() == 1


def test_counts() -> None:
    assert tg.bincount(tg.tensor([1, 3, 1])).tolist() == [0, 2, 0, 1]
    assert tg.bincount(tg.tensor([1]), minlength=3).tolist() == [0, 1, 0]
    weighted = tg.bincount(tg.tensor([1, 1]), tg.tensor([0.5, 2.0]))
    assert (weighted.tolist(), weighted.dtype) == ([0, 2.5], tg.float32)
    with pytest.raises(TraceError):
        tg.compile(tg.bincount)(tg.tensor([1, 3]))


MISTAKES: list[Any] = [
    (lambda: tg.median(tg.ones(2, 0), 1), ShapeError),
    (lambda: tg.quantile(tg.ones(2), 1.5), ArgumentError),
    (lambda: tg.quantile(tg.ones(2), float("nan")), ArgumentError),
    (lambda: tg.quantile(tg.ones(2), 0.5, interpolation="cubic"), ArgumentError),
    (lambda: tg.quantile(tg.ones(0), 0.5), ShapeError),
    (lambda: tg.quantile(tg.tensor([1, 2]), 0.5), DTypeError),
    (lambda: tg.cov(tg.ones(2, 2, 2)), ShapeError),
    (lambda: tg.cov(tg.ones(2, 3), fweights=tg.tensor([1])), ShapeError),
    (lambda: tg.bincount(tg.tensor([-1])), ArgumentError),
    (lambda: tg.bincount(tg.tensor([0.5])), DTypeError),
    (lambda: tg.bincount(tg.tensor([[1]])), ShapeError),
    (lambda: tg.bincount(tg.tensor([1]), tg.ones(2)), ShapeError),
]


@pytest.mark.parametrize(("call", "error"), MISTAKES)
def test_mistakes(call: Any, error: Any) -> None:
    with pytest.raises(error):
        call()
