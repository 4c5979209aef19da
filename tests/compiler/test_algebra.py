"""What terms become while they are made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_edu.compiler.algebra import simplify
from tinygrad_edu.compiler.shapes import reshape, swapped
from tinygrad_edu.compiler.term import Graph, Term
from tinygrad_edu.ops.structural import Key
from tinygrad_edu.ops.table import TABLE

FLOAT = np.dtype(np.float32)


@pytest.fixture
def graph() -> Graph:
    return Graph(simplify)


def leaf(graph: Graph, *shape: int) -> Term:
    return graph.leaf(shape, FLOAT)


def names(t: Term) -> set[str]:
    """The ops that compute t."""
    found, stack = set(), [t]
    while stack:
        t = stack.pop()
        found.add(t.name)
        stack.extend(t.inputs)
    return found - {""}


def test_equal_terms_are_one(graph: Graph) -> None:
    a, b = leaf(graph, 3), leaf(graph, 3)
    assert a * b + 1 is a * b + 1
    assert a * b is not b * a
    assert a * 2 is not a * 2.5


def test_numbers_fold(graph: Graph) -> None:
    a = leaf(graph, 3)
    assert a * 1 is a
    assert a + 0 is a
    minus = -a
    assert -minus is a
    assert (a * 2) * 3 is a * 6
    assert a / 4 is a * 0.25
    assert (graph.constant(np.float32(2)) * 3).number == 6
    assert names(1 / leaf(graph, 3)) == {"div"}


def test_integers_are_not_divided_by_multiplying(graph: Graph) -> None:
    a = graph.leaf((3,), np.dtype(np.int64))
    assert (a / 4).dtype == FLOAT
    assert names(a / 4) == {"cast", "mul"}


def test_transposes_reach_the_product(graph: Graph) -> None:
    a, b = leaf(graph, 3, 4), leaf(graph, 4, 5)
    product = graph.apply(TABLE["matmul"], a, b)
    assert swapped(swapped(a)) is a
    assert swapped(product) is graph.apply(TABLE["matmul"], swapped(b), swapped(a))


def test_a_batch_times_a_matrix_is_one_product(graph: Graph) -> None:
    a, w = leaf(graph, 2, 3, 4), leaf(graph, 4, 5)
    product = graph.apply(TABLE["matmul"], a, w)
    assert product.name == "reshape"
    assert product.inputs[0].shape == (6, 5)


def test_repeated_operands_are_read_as_they_were(graph: Graph) -> None:
    a, b = leaf(graph, 3, 4), leaf(graph, 4)
    repeated = graph.apply(TABLE["expand"], b, shape=(3, 4))
    assert a + repeated is a + b


@pytest.mark.parametrize("name", ["sum", "amax", "amin"])
def test_reductions_keep_their_axes(graph: Graph, name: str) -> None:
    a = leaf(graph, 3, 4)
    rows = graph.apply(TABLE[name], a, axes=(1,), keepdims=False)
    assert rows.shape == (3,)
    assert rows.inputs[0].shape == (3, 1)
    # What is done to the rows is done before the axis is dropped, and adds it to others.
    later = (rows * 2 + leaf(graph, 3)).inputs[0]
    assert later.shape == (3, 1)


def test_reshapes_do_not_push_each_other_for_ever(graph: Graph) -> None:
    a, b = leaf(graph, 3) * 2, leaf(graph, 3, 1) * 2
    assert (reshape(a, (3, 1)) + b).shape == (3, 1)
    assert (a + reshape(b, (3,))).shape == (3,)
    assert (reshape(reshape(b, (3,)) + a, (1, 3, 1)) + leaf(graph, 1, 3, 1)).shape == (1, 3, 1)


def picked(graph: Graph, x: Term, labels: Term) -> Term:
    key: Any = Key((Key.ARRAY, Key.ARRAY))
    return graph.apply(TABLE["getitem"], x, np.arange(x.shape[0]), labels, key=key)


def test_picking_class_numbers_needs_no_indexing(graph: Graph) -> None:
    x, labels = leaf(graph, 3, 4), graph.leaf((3,), np.dtype(np.int64))
    assert "getitem" not in names(picked(graph, x, labels))
    other = graph.constant(np.array([2, 1, 0]))
    key = Key((Key.ARRAY, Key.ARRAY))
    assert "getitem" in names(graph.apply(TABLE["getitem"], x, other, labels, key=key))


def test_the_sum_of_one_element_a_row_is_that_element(graph: Graph) -> None:
    labels, g = graph.leaf((3,), np.dtype(np.int64)), leaf(graph, 3)
    key = Key((Key.ARRAY, Key.ARRAY))
    spread = graph.apply(TABLE["scatter"], g, np.arange(3), labels, key=key, shape=(3, 4))
    total = graph.apply(TABLE["sum"], spread, axes=(1,), keepdims=True)
    assert "sum" not in names(total)
    assert total.shape == (3, 1)
