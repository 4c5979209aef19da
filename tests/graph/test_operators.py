"""Python's operators on tensors are NumPy's."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_edu as tg
from tests.ops.samples import REAL, arrays, shapes
from tinygrad_edu.errors import DTypeError

# ------------------------------------------------------------------------------ operators

BINARY = {
    operator.add: REAL,
    operator.sub: REAL,
    operator.mul: REAL,
    operator.truediv: ((0.5, 3),),
    operator.pow: ((0.5, 3),),
    operator.lt: REAL,
    operator.le: REAL,
    operator.gt: REAL,
    operator.ge: REAL,
    operator.eq: REAL,
    operator.ne: REAL,
}


@pytest.mark.parametrize("function", BINARY, ids=lambda f: f.__name__)
@settings(max_examples=25)
@given(data=st.data())
def test_operators_are_numpys(function: Callable[..., Any], data: st.DataObject) -> None:
    """With a tensor, an array or a number on either side."""
    drawn = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=3))
    a, b = (data.draw(arrays(s, BINARY[function])) for s in drawn.input_shapes)
    x, y = tg.tensor(a), tg.tensor(b)
    wanted = function(a, b)
    for found in (function(x, y), function(a, y), function(x, b)):
        assert isinstance(found, tg.Tensor)
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-15)
    np.testing.assert_allclose(function(x, 1.5).numpy(), function(a, 1.5), rtol=1e-15)
    np.testing.assert_allclose(function(1.5, x).numpy(), function(1.5, a), rtol=1e-15)
    np.testing.assert_allclose(function(x, np.float64(2)).numpy(), function(a, 2.0), rtol=1e-15)


def test_unary_operators() -> None:
    x = tg.tensor([-1.0, 2.0])
    assert (-x).tolist() == [1, -2]
    assert (+x).tolist() == [-1, 2]
    assert abs(x).tolist() == [1, 2]


@pytest.mark.parametrize("function", [operator.and_, operator.or_, operator.xor])
def test_logic_of_truth_values(function: Callable[..., Any]) -> None:
    a, b = np.array([True, True, False, False]), np.array([True, False, True, False])
    x, y = tg.tensor(a), tg.tensor(b)
    for found in (function(x, y), function(a, y), function(x, b)):
        assert found.tolist() == function(a, b).tolist()
    assert function(x, True).tolist() == function(True, x).tolist() == function(a, True).tolist()
    assert (~x).tolist() == (~a).tolist()


@pytest.mark.parametrize("act", [lambda x: x & x, lambda x: x | 1, lambda x: ~x, lambda x: 2 ^ x])
def test_bits_are_not_truth_values(act: Callable[[Any], Any]) -> None:
    """6 & 3 is 2 in torch; answering True would be silently wrong."""
    with pytest.raises(DTypeError, match="compare first"):
        act(tg.tensor([6, 3]))


def test_matmul_operator() -> None:
    a, b, v = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4), np.arange(3.0)
    x, y, w = map(tg.tensor, (a, b, v))
    for found, wanted in [(x @ y, a @ b), (x @ w, a @ v), (w @ y, v @ b), (w @ w, v @ v),
                          (a @ y, a @ b), (x @ b, a @ b)]:  # fmt: skip
        np.testing.assert_array_equal(found.numpy(), wanted)


@given(shapes(min_dims=1, min_side=1).flatmap(arrays))
def test_methods_are_the_functions(x: np.ndarray) -> None:
    t = tg.tensor(x)
    for name in ("exp", "tanh", "relu", "sum", "mean", "amax", "argmax", "abs", "neg", "sign"):
        np.testing.assert_array_equal(getattr(t, name)().numpy(), getattr(tg, name)(t).numpy())
    np.testing.assert_array_equal(t.clamp(-1, 1).numpy(), np.clip(x, -1, 1))
    np.testing.assert_array_equal(t.sum(axis=0, keepdims=True).numpy(), t.sum(0, True).numpy())
