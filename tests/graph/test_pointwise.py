"""Division with remainder, rounding, and questions about elements: NumPy's answers."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.ops.samples import NONZERO, REAL, arrays, shapes
from tinygrad_edu.errors import ArgumentError, DTypeError, GradientError
from tinygrad_edu.graph.tensor import abstract

SPECIAL = np.array([-np.inf, -1e308, -2.5, -1.5, -1.0, -0.5, -0.0, 0.0, 0.49999999999999994, 0.5,
                    1.5, 2.5, 3.0, 2.0**52 + 1, 1e308, np.inf, np.nan])  # fmt: skip

any_array = shapes().flatmap(arrays)

# ------------------------------------------------------------------------------ rounding

ROUNDINGS = {"floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "round": np.round}
every_rounding = pytest.mark.parametrize("name", ROUNDINGS)


@every_rounding
@given(x=any_array)
def test_rounding(name: str, x: np.ndarray) -> None:
    for numbers in (x, SPECIAL, np.round(x * 2) / 2):
        found = getattr(tg, name)(tg.tensor(numbers))
        np.testing.assert_array_equal(found.numpy(), ROUNDINGS[name](numbers))
    assert getattr(abstract(x.shape), name)().shape == x.shape


@every_rounding
def test_rounding_is_flat(name: str) -> None:
    """No gradient passes, and what asks for one is told."""
    y = getattr(tg.tensor([1.5], requires_grad=True), name)()
    assert not y.requires_grad
    with pytest.raises(GradientError):
        y.backward()


@every_rounding
def test_rounding_leaves_integers_alone(name: str) -> None:
    x = tg.tensor([2**53 + 1, -3])
    y = getattr(x, name)()
    assert (y.tolist(), y.dtype) == (x.tolist(), np.int64)
    with pytest.raises(DTypeError, match=f"^{name}: not defined for bool"):
        getattr(tg.tensor([True]), name)()


def test_decimals() -> None:
    x = tg.tensor(np.array([1.25, -0.375, 1250.0]))
    assert x.round(decimals=1).tolist() == [1.2, -0.4, 1250]
    assert x.round(decimals=-2).tolist() == [0, 0, 1200]


# ------------------------------------------------------------------------------ division

DIVISIONS = {"remainder": np.remainder, "floor_divide": np.floor_divide, "fmod": np.fmod}


@pytest.mark.parametrize("name", DIVISIONS)
@given(data=st.data())
def test_division(name: str, data: st.DataObject) -> None:
    x = data.draw(shapes().flatmap(lambda s: arrays(s, REAL)))
    y = data.draw(arrays(x.shape, NONZERO))
    found = getattr(tg, name)(tg.tensor(x), tg.tensor(y))
    np.testing.assert_array_equal(found.numpy(), DIVISIONS[name](x, y))
    whole, by = np.asarray(x * 10, np.int64), np.asarray(y * 10, np.int64)
    found = getattr(tg, name)(tg.tensor(whole), tg.tensor(by))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found.numpy(), DIVISIONS[name](whole, by))


def test_division_of_large_numbers_is_exact() -> None:
    """Where a - b floor(a / b) in floating point would be off by hundreds."""
    x = tg.tensor([1e10, -1e10])
    assert (x % 3).tolist() == [1, 2]
    assert x.fmod(3.0).tolist() == [1, -1]
    assert (tg.tensor([2**62 + 1]) % 2).tolist() == [1]
    assert (tg.tensor([2**62 + 1]) // 2).tolist() == [2**61]


@pytest.mark.parametrize("act", [operator.mod, operator.floordiv])
def test_operators(act: Any) -> None:
    a, b = np.array([5.5, -5.5]), np.array([2.0, 3.0])
    x, y = tg.tensor(a), tg.tensor(b)
    for found in (act(x, y), act(a, y), act(x, b)):
        assert found.tolist() == act(a, b).tolist()
    assert act(x, 2).tolist() == act(a, 2).tolist()
    assert act(7, y).tolist() == act(7, b).tolist()


def test_derivatives_of_remainders() -> None:
    """1 by the dividend; by the divisor, minus the quotient. At every order."""
    for name, quotients in (("remainder", [2, -3, 0]), ("fmod", [2, -2, 0])):
        x = tg.tensor([5.0, -5.0, 0.0], requires_grad=True)
        y = tg.tensor([2.0, 2.0, 2.0], requires_grad=True)
        z = getattr(tg, name)(x, y)
        to_x, to_y = tg.autograd.grad((z * z).sum() / 2, [x, y], create_graph=True)
        assert to_x.tolist() == z.tolist()
        assert to_y.tolist() == [-q * r for q, r in zip(quotients, z.tolist(), strict=True)]
        (mixed,) = tg.autograd.grad(to_x.sum(), y)
        assert mixed.tolist() == [-q for q in quotients]


def test_division_by_zero() -> None:
    x = tg.tensor([1.0, 0.0])
    assert np.isnan((x % 0).numpy()).all()
    assert (x // 0)[0].item() == np.inf
    for name in DIVISIONS:
        with pytest.raises(ArgumentError, match="integers cannot be divided by 0"):
            getattr(tg, name)(tg.tensor([1, 2]), tg.tensor([1, 0]))


# ------------------------------------------------------------------------------ questions


@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite"])
def test_questions(name: str) -> None:
    for x in (SPECIAL, np.arange(3), np.array([True, False]), np.float32([np.nan, -np.inf, 1])):
        y = getattr(tg, name)(tg.tensor(x))
        assert y.dtype == np.bool_
        np.testing.assert_array_equal(y.numpy(), getattr(np, name)(x))


def test_logical_xor() -> None:
    a, b = np.array([0.0, 0.0, 2.0, np.nan]), np.array([False, True, True, False])
    np.testing.assert_array_equal(tg.logical_xor(a, b).numpy(), np.logical_xor(a, b))


@given(any_array)
def test_any_and_all(x: np.ndarray) -> None:
    x = np.round(x)
    for axis in (None, *range(x.ndim)):
        for name in ("any", "all", "count_nonzero"):
            for keep in (False, True):
                found = getattr(tg.tensor(x), name)(axis, keep)
                wanted = getattr(np, name)(x, axis=axis, keepdims=keep)
                np.testing.assert_array_equal(found.numpy(), wanted)
                assert found.dtype == (np.int64 if name == "count_nonzero" else np.bool_)


# ------------------------------------------------------------------------------ masks


def test_masked_fill() -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = x.masked_fill(tg.tensor([True, False]), -np.inf)
    assert y.tolist() == [[-np.inf, 2], [-np.inf, 4]]
    (to_x,) = tg.autograd.grad(y.sum(), x)
    assert to_x.tolist() == [[0, 1], [0, 1]]
    value = tg.tensor(5.0, dtype="float64", requires_grad=True)
    z = x.masked_fill(x.detach() > 2, value)
    assert (z.tolist(), z.dtype) == ([[1, 2], [5, 5]], np.float32)
    (to_value,) = tg.autograd.grad(z.sum(), value)
    assert (to_value.item(), to_value.dtype) == (2, np.float64)


def test_misuse_of_masked_fill() -> None:
    x = tg.tensor([1, 2])
    with pytest.raises(ArgumentError, match=r"^masked_fill: .*int64, got float32"):
        x.masked_fill(x > 1, 0.5)
    with pytest.raises(ArgumentError, match=r"^masked_fill: .*shape \(2,\)"):
        x.masked_fill(x > 1, x)
    with pytest.raises(DTypeError, match="the condition must be bool"):
        x.masked_fill(x, 0)


def test_clip_is_clamp() -> None:
    x = tg.tensor([-2.0, 0.5, 2.0])
    assert x.clip(-1, 1).tolist() == x.clamp(-1, 1).tolist() == [-1, 0.5, 1]
    assert tg.clip(x, max=1).tolist() == [-2, 0.5, 1]


def test_where_as_a_method() -> None:
    x = tg.tensor([1.0, -2.0])
    assert x.where(x > 0, 0).tolist() == [1, 0]


# ------------------------------------------------------------------------------ torch's corners


@pytest.mark.parametrize("bound", ["min", "max"])
def test_a_bound_that_meets_the_other_end_of_the_dtype(bound: str) -> None:
    """With one bound there is no other that an infinite one could tie with."""
    far = np.inf if bound == "min" else -np.inf
    limit = tg.tensor([far, 0.0, np.nan], requires_grad=True)
    x = tg.tensor([1.0, 0.0, 1.0], requires_grad=True)
    y = tg.clamp(x, **{bound: limit})
    np.testing.assert_array_equal(y.detach().numpy(), [far, 0.0, np.nan])
    gx, g = tg.autograd.grad(y.sum(), [x, limit])
    assert (gx.tolist(), g.tolist()) == ([0, 1, 0], [1, 0, 1])


def test_a_bound_beside_truth_values() -> None:
    limit = tg.tensor(1.0, requires_grad=True)
    tg.clamp(tg.tensor(False), min=limit).backward()
    assert limit.grad is not None
    assert limit.grad.item() == 1


def test_fmod_keeps_the_dtype_beside_numbers_and_takes_truth_values() -> None:
    whole = tg.tensor(7, dtype=tg.int32)
    assert tg.fmod(whole, 3).dtype == tg.int32
    assert tg.fmod(tg.tensor([-7.5, 7.5]), -2).tolist() == [-1.5, 1.5]
    assert tg.fmod(tg.tensor([2.5]), tg.tensor([True])).tolist() == [0.5]
