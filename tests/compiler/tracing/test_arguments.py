"""Arguments are told apart by shape, plain value and identity."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.compiler.tracing.arguments import objects, signature
from tinygrad_edu.errors import GradientError

Pair = collections.namedtuple("Pair", "a b")


def key(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
    return signature(args, kwargs, [])


def test_arrays_by_shape_and_dtype() -> None:
    assert key(tg.ones(2)) == key(np.zeros(2, np.float32)) == key(tg.zeros(2))
    assert key(tg.ones(2)) != key(tg.ones(3))
    assert key(tg.ones(2)) != key(tg.ones(2, dtype=tg.float64))
    arrays: list[np.ndarray] = []
    signature([{"x": [tg.ones(2), (np.float32(3),)]}], {"y": np.zeros(1)}, arrays)
    assert [a.shape for a in arrays] == [(2,), (), (1,)]


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 2), (1, 1.0), (True, 1), ("a", "b"), (None, 0), ([1], (1,)), ({"a": 1}, {"b": 1})],
)
def test_plain_values_by_type_and_value(one: Any, other: Any) -> None:
    assert key(one) == key(one)
    assert key(one) != key(other)
    assert key(x=one) != key(y=one)


def test_trees_by_structure() -> None:
    x = tg.ones(1)
    assert key([x, x]) != key([x], x)
    assert key((x, (x,))) != key((x, x))
    assert key(Pair(x, 1)) != key((x, 1))


def test_objects_by_identity() -> None:
    a, b = nn.Linear(1, 1), nn.Linear(1, 1)
    assert key(a) == key(a) != key(b)
    assert key(a.weight) != key(b.weight)  # a parameter is itself what is passed
    assert set(map(id, objects([a, 1, [tg.ones(1)]], {"k": {"b": b}}))) == {id(a), id(b)}


def test_computed_tensors_that_require_grad() -> None:
    with pytest.raises(GradientError, match="detach"):
        key(tg.ones(2, requires_grad=True) * 2)


def test_named_tuples_arrive_as_such() -> None:
    f = tg.compile(lambda p: p.a * p.b)
    assert f(Pair(tg.full((1,), 3.0), 2)).item() == 6
