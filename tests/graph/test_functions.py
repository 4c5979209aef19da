"""The public functions: none is missing, and each takes torch's arguments."""

from __future__ import annotations

import inspect
from types import FunctionType

import numpy as np
import pytest
import scipy.special

import tinygrad_edu as tg
from tinygrad_edu.graph import (
    adaptive,
    arrangement,
    composed,
    contraction,
    convolving,
    functions,
    layout,
    ordering,
    padding,
    picking,
    pointwise,
    pooling,
    product,
    reduction,
    scan,
    selection,
    statistics,
)

SOURCES = [contraction, convolving, layout, ordering, padding, picking, pointwise, pooling, product]
SOURCES += [reduction, scan, adaptive, arrangement, composed, selection, statistics]
SHARED = {"distinct", "part", "along", "accumulated", "check_positions"}  # by these files only


@pytest.mark.parametrize("module", SOURCES)
def test_every_function_is_public(module: object) -> None:
    own = {
        name
        for name, value in vars(module).items()
        if isinstance(value, FunctionType)
        and value.__module__ == module.__name__  # type: ignore[attr-defined]
        and not name.startswith("_")
    } - SHARED
    assert own <= set(functions.__all__)
    assert all(getattr(tg, name) is getattr(functions, name) for name in own)


@pytest.mark.parametrize("name", functions.__all__)
def test_every_function_is_documented_under_its_name(name: str) -> None:
    function = getattr(tg, name)
    assert function.__name__ == name
    assert inspect.getdoc(function)
    method = getattr(tg.Tensor, name, None)
    assert method in (None, function) or name == "where"  # x.where(condition, other)


X = np.linspace(-3, 3, 13)


def near(found: tg.Tensor, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-13, atol=1e-15)


def test_parameters_of_activations() -> None:
    x = tg.tensor(X)
    near(tg.gelu(x), X * scipy.special.ndtr(X))
    near(
        tg.gelu(x, approximate="tanh"),
        X / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (X + 0.044715 * X**3))),
    )
    near(tg.softplus(x, beta=2.0), np.log1p(np.exp(2 * X)) / 2)
    near(tg.elu(x, 0.5), np.where(X > 0, X, 0.5 * np.expm1(X)))
    near(tg.leaky_relu(x, negative_slope=0.2), np.where(X > 0, X, 0.2 * X))
    near(tg.hardtanh(x, -0.5, 2.0), np.clip(X, -0.5, 2))


def test_clamp_takes_one_bound_or_two() -> None:
    x = tg.tensor(X)
    near(x.clamp(min=-1), np.maximum(X, -1))
    near(x.clamp(max=1), np.minimum(X, 1))
    near(x.clamp(-1, 1), np.clip(X, -1, 1))
    near(x.clamp(tg.tensor(X - 1), tg.tensor(X + 1)), X)
    whole = tg.tensor([-2, 0, 5])
    assert whole.clamp(min=0).tolist() == [0, 0, 5]
    assert whole.clamp(max=2.5).tolist() == [-2, 0, 2.5]
    assert tg.tensor([True, False]).clamp(0, 1).dtype == np.int64


def test_integers_add_up_as_int64() -> None:
    for dtype in ("bool", "int32", "int64"):
        total = tg.ones(300, dtype=dtype).sum()
        assert (total.dtype, total.item()) == (np.int64, 300)


def test_arrays_and_numbers_are_operands() -> None:
    assert tg.exp(0.0).item() == 1
    assert tg.maximum(1, np.array([0.0, 2.0])).tolist() == [1, 2]
    assert tg.sum(np.ones(3)).item() == 3
    assert tg.matmul(np.eye(2), np.ones(2)).tolist() == [1, 1]
    assert tg.where(np.array([True, False]), 1.0, 2.0).tolist() == [1, 2]
