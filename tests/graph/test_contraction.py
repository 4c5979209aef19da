"""`einsum` and `tensordot`: NumPy's values, and derivatives by every operand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.ops.samples import Array, seeds
from tinygrad_edu.errors import ArgumentError, AxisError, DTypeError, ShapeError, TinygradError
from tinygrad_edu.graph.tensor import abstract

SIZES = {"a": 2, "b": 3, "c": 2, "D": 1, "e": 0}


@st.composite
def equations(draw: Any) -> tuple[str, list[tuple[int, ...]]]:
    """An equation of one to four operands, with repeated letters, ellipses, axes of size 1 that
    stand for more, and a result that is given or implied; and shapes for it."""
    words: list[str] = []
    operand_shapes: list[tuple[int, ...]] = []
    for _ in range(draw(st.integers(1, 4))):
        letters = draw(st.lists(st.sampled_from("aabbccDe"), max_size=3))
        one = {letter: draw(st.integers(0, 5)) == 0 for letter in letters}
        shape = [1 if one[letter] else SIZES[letter] for letter in letters]
        if draw(st.integers(0, 3)) == 0:
            place = draw(st.integers(0, len(letters)))
            more = [draw(st.sampled_from([1, n])) for n in (3, 2)][draw(st.integers(0, 2)) :]
            letters.insert(place, "...")
            shape[place:place] = more
        words.append("".join(letters))
        operand_shapes.append(tuple(shape))
    equation = ",".join(words)
    if draw(st.booleans()):
        known = sorted({letter for word in words for letter in word if letter != "."})
        kept = draw(st.permutations(known))[: draw(st.integers(0, len(known)))]
        if "..." in equation:
            kept.insert(draw(st.integers(0, len(kept))), "...")
        equation += "->" + "".join(kept)
    return equation, operand_shapes


def whole(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.integers(-3, 4, shape), float)


@given(equations(), seeds)
def test_values_and_derivatives(case: tuple[str, list[tuple[int, ...]]], seed: int) -> None:
    """Linear in each operand x: <pulled back g, d> = <g, f(.., d, ..)>, exactly, in integers."""
    equation, operand_shapes = case
    rng = np.random.default_rng(seed)
    xs = [whole(rng, shape) for shape in operand_shapes]
    wanted = np.einsum(equation, *xs)
    tensors = [tg.tensor(x, requires_grad=True) for x in xs]
    y = tg.einsum(equation, *tensors)
    assert y.shape == wanted.shape
    np.testing.assert_array_equal(y.detach().numpy(), wanted)
    traced = tg.einsum(equation, [abstract(x.shape, x.dtype) for x in xs])
    assert (traced.shape, traced.dtype) == (y.shape, y.dtype)

    g = whole(rng, wanted.shape)
    for i, pulled in enumerate(tg.autograd.grad(y, tensors, tg.tensor(g))):
        along = whole(rng, xs[i].shape)
        moved = np.einsum(equation, *xs[:i], along, *xs[i + 1 :])
        assert np.sum(pulled.numpy() * along) == np.sum(g * moved)
        _, tangent = tg.func.jvp(
            lambda x, i=i: tg.einsum(equation, [*xs[:i], x, *xs[i + 1 :]]),
            (tg.tensor(xs[i]),),
            (tg.tensor(along),),
        )
        np.testing.assert_array_equal(tangent.numpy(), moved)


def test_spellings() -> None:
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    x, y = tg.tensor(a), tg.tensor(b)
    for found in (
        tg.einsum("ij,jk->ik", x, y),
        tg.einsum(" i j , j k -> i k ", [x, y]),
        tg.einsum("ij,jk", x, b),
        tg.einsum(x, [0, 1], y, [1, 2], [0, 2]),
        tg.einsum(x, [5, 1], y, [1, 7]),
        tg.einsum(x, [..., 1], y, [1, 2], [..., 2]),
    ):
        np.testing.assert_array_equal(found.numpy(), a @ b)
    assert tg.einsum("...i->i", x).tolist() == [3, 5, 7]  # as torch: what "..." stands for adds up


def test_a_product_of_matrices_is_one_op() -> None:
    """Nothing is permuted or copied that need not be."""
    x, y = tg.ones(2, 3, requires_grad=True), tg.ones(3, 4)
    product = tg.einsum("ij,jk->ik", x, y).node
    assert product.op is not None
    assert product.op.name == "matmul"
    assert product.inputs[0] is x.node


def test_many_operands_are_multiplied_in_a_cheap_order() -> None:
    """From the left this chain would make a matrix of 500 x 500."""
    n = 500
    column, row, last = tg.ones(n, 1, requires_grad=True), tg.ones(1, n), tg.ones(n, 1)
    y = tg.einsum("ab,bc,cd->ad", column, row, last)
    assert (y == n).all()
    largest, waiting = 0, [y.node]
    while waiting:
        node = waiting.pop()
        largest = max(largest, node.data.size)
        waiting += node.inputs
    assert largest == n


def test_integers_stay_integers() -> None:
    x = tg.tensor([[1, 2], [3, 4]], dtype="int32")
    for equation in ("ij,ij->i", "ij,jk->ik", "ij,kl->", "ii,ij->j"):
        found, wanted = tg.einsum(equation, x, x), np.einsum(equation, x.numpy(), x.numpy())
        assert (found.tolist(), found.dtype) == (wanted.tolist(), np.int32)


X, Y = tg.ones(2, 3), tg.ones(3, 4)


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda: tg.einsum("ij,jk->il", X, Y), ArgumentError, "letter 'l' .*'ij,jk->il'.*no op"),
        (lambda: tg.einsum("ij,jk->ii", X, Y), ArgumentError, "letter 'i' is twice"),
        (lambda: tg.einsum("ij,j1->i", X, Y), ArgumentError, "'1' in 'ij,j1->i' is no letter"),
        (lambda: tg.einsum("i.j", X), ArgumentError, r"'\.' in 'i\.j' is no letter"),
        (lambda: tg.einsum("ij->i->j", X), ArgumentError, "'-' in"),
        (lambda: tg.einsum("ij,jk", X), ArgumentError, "2 operands, but 1 are given"),
        (lambda: tg.einsum("ij", X, Y), ArgumentError, "1 operands, but 2"),
        (lambda: tg.einsum("i,jk->ik", X, Y), ShapeError, "'i' .* 1 axes, and operand 0 has 2"),
        (lambda: tg.einsum("...ijk,jk", X, Y), ShapeError, "'...ijk' .* 3 axes"),
        (
            lambda: tg.einsum("ij,ik->k", X, Y),
            ShapeError,
            r"'i' has size 2 in operand 0 of shape \(2, 3\) and 3 in operand 1 of shape \(3, 4\)",
        ),
        (lambda: tg.einsum("ii", X), ShapeError, "'i' has size"),
        (lambda: tg.einsum("ii", tg.ones(1, 3)), ShapeError, "'i' has sizes 1 and 3"),
        (lambda: tg.einsum("ij,jk", X, Y.double()), DTypeError, "float32 and float64"),
        (lambda: tg.einsum(X, [0, 99]), ArgumentError, "0 to 51"),
        (lambda: tg.einsum(X, ["i", "j"]), ArgumentError, "not 'i'"),
    ],
)
def test_einsum_names_the_letters(act: Any, error: type[TinygradError], text: str) -> None:
    with pytest.raises(error, match=f"^einsum: .*{text}"):
        act()


# ------------------------------------------------------------------------------ tensordot


@given(st.data(), seeds)
def test_tensordot(data: st.DataObject, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shared = data.draw(st.lists(st.integers(0, 3), max_size=2))
    a = whole(rng, (*data.draw(st.lists(st.integers(0, 2), max_size=2)), *shared))
    b = whole(rng, (*shared, *data.draw(st.lists(st.integers(0, 2), max_size=2))))
    count = len(shared)
    wanted = np.tensordot(a, b, count)
    np.testing.assert_array_equal(tg.tensordot(a, b, count).numpy(), wanted)
    order = data.draw(st.permutations(range(count)))
    left, right = [a.ndim - count + i for i in order], [i - b.ndim for i in order]
    np.testing.assert_array_equal(tg.tensordot(a, b, (left, right)).numpy(), wanted)
    if count == 1:
        np.testing.assert_array_equal(tg.tensordot(a, b, (left[0], right[0])).numpy(), wanted)


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda: tg.tensordot(X, Y), ShapeError, r"axis 0 of shape \(2, 3\) and axis 0"),
        (lambda: tg.tensordot(X, Y, 3), AxisError, r"dims is 0 to 2 for shapes \(2, 3\)"),
        (lambda: tg.tensordot(X, Y, -1), AxisError, "not -1"),
        (lambda: tg.tensordot(X, Y, ([0], [0, 1])), AxisError, "as many axes"),
        (lambda: tg.tensordot(X, Y, ([0, 0], [0, 1])), AxisError, "each named once"),
        (lambda: tg.tensordot(X, Y, ([2], [0])), AxisError, "axis 2 does not exist"),
        (lambda: tg.tensordot(X, Y.double(), 1), DTypeError, "float64"),
    ],
)
def test_tensordot_names_the_shapes(act: Any, error: type[TinygradError], text: str) -> None:
    with pytest.raises(error, match=f"^tensordot: .*{text}"):
        act()
