"""Leaves that live in arrays are Values like others."""

from __future__ import annotations

import copy
import gc
import pickle

import pytest

from tinygrad_edu import Value
from tinygrad_edu.errors import TraceError
from tinygrad_edu.graph.resident import Resident, cells, settle


def resident(data: float, grad: float = 0.0) -> Value:
    x = Value(data)
    x.grad = grad
    settle([x])
    assert isinstance(x, Resident)
    return x


def test_number_and_grad_stay() -> None:
    x = resident(3.0, 0.5)
    assert (x.data, x.grad, float(x), repr(x)) == (3.0, 0.5, 3.0, "Value(data=3.0, grad=0.5)")
    x.data, x.grad = 4.0, 1.5
    assert (x.data, x.grad) == (4.0, 1.5)
    assert x.is_leaf
    assert {x: 1}[x] == 1


def test_settling_twice_is_settling_once() -> None:
    x = resident(3.0)
    assert settle([x]) == settle([x])


def test_operations_see_what_was_written_to_the_cells() -> None:
    x = resident(3.0)
    first = x * x
    cells.data[settle([x])] = 5.0
    cells.version += 1
    second = x * x
    (first + second).backward()
    assert (first.data, second.data) == (9.0, 25.0)
    assert x.grad == 6.0 + 10.0


def test_copies_are_values_of_their_own() -> None:
    x = resident(3.0, 0.5)
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        twin.data = 7.0
        assert (x.data, twin.grad) == (3.0, 0.5)


def test_a_cell_is_free_when_its_owner_is_gone() -> None:
    gc.collect()  # what others left behind
    x = resident(1.0)
    (cell,) = settle([x])
    del x
    gc.collect()
    assert settle([Value(2.0)]) == [cell]


def test_the_arrays_grow() -> None:
    leaves = [Value(float(i)) for i in range(3 * len(cells.data))]
    settle(leaves)
    assert [x.data for x in leaves] == [float(i) for i in range(len(leaves))]


def test_a_class_of_the_users_is_refused() -> None:
    class Weight(Value):
        pass

    with pytest.raises(TraceError, match="Weight"):
        settle([Weight(1.0)])
