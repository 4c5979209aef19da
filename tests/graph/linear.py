"""What every function that only moves, repeats or adds up elements must do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.graph.tensor import abstract


def check_linear(ours: Callable[..., Any], numpys: Callable[..., Any], x: np.ndarray) -> None:
    """The values are NumPy's. The tangent along d is f(d), and the gradient is the transpose,
    <pulled back g, d> = <g, f(d)>, to the last digit, as the numbers are small integers. A trace of
    shapes gives the same shapes."""
    rng = np.random.default_rng(x.size)
    x = np.asarray(rng.integers(-4, 5, x.shape), float)
    t = tg.tensor(x, requires_grad=True)
    outputs, wanted = several(ours(t)), several(numpys(x))
    traced = several(ours(abstract(x.shape, x.dtype)))
    assert len(outputs) == len(wanted) == len(traced)
    along = np.asarray(rng.integers(-4, 5, x.shape), float)
    moved = several(numpys(along))
    for tangent, change in zip(several(_tangent(ours, x, along)), moved, strict=True):
        np.testing.assert_array_equal(tangent.numpy(), change)
    for y, value, change, shape in zip(outputs, wanted, moved, traced, strict=True):
        assert y.shape == value.shape == shape.shape
        assert y.dtype == shape.dtype == np.float64
        np.testing.assert_array_equal(y.detach().numpy(), value)
        g = np.asarray(rng.integers(-4, 5, y.shape), float)
        (pulled,) = tg.autograd.grad(y, t, tg.tensor(g))
        assert np.sum(pulled.numpy() * along) == np.sum(g * change)


def _tangent(function: Callable[..., Any], x: np.ndarray, along: np.ndarray) -> Any:
    return tg.func.jvp(function, (tg.tensor(x),), (tg.tensor(along),))[1]


def several(result: Any) -> list[Any]:
    """One result, or each of several."""
    return list(result) if isinstance(result, tuple | list) else [result]
