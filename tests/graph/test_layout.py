"""Functions that move elements: NumPy's values, and gradients that move back."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.graph.linear import check_linear
from tests.ops.samples import arrays, shapes
from tinygrad_edu.errors import ArgumentError, AxisError, ShapeError

any_array = shapes().flatmap(arrays)
with_axes = shapes(min_dims=1).flatmap(arrays)


@st.composite
def some_axes(draw: Any) -> tuple[np.ndarray, tuple[int, ...]]:
    """An array and distinct axes of it, from either end."""
    x = draw(with_axes)
    axes = draw(st.lists(st.integers(0, x.ndim - 1), unique=True, min_size=1))
    return x, tuple(a - x.ndim if draw(st.booleans()) else a for a in axes)


# ------------------------------------------------------------------------------ order


@given(some_axes())
def test_flip(case: tuple[np.ndarray, tuple[int, ...]]) -> None:
    x, axes = case
    for spelled in (lambda t: tg.flip(t, axes), lambda t: t.flip(*axes), lambda t: t.flip([*axes])):
        check_linear(spelled, lambda a: np.flip(a, axes), x)
    check_linear(lambda t: t.flip(axes[0]), lambda a: np.flip(a, axes[0]), x)


@given(some_axes(), st.data())
def test_roll(case: tuple[np.ndarray, tuple[int, ...]], data: st.DataObject) -> None:
    x, axes = case
    shifts = tuple(data.draw(st.integers(-5, 5)) for _ in axes)
    check_linear(lambda t: t.roll(shifts, axes), lambda a: np.roll(a, shifts, axes), x)
    check_linear(lambda t: tg.roll(t, shifts[0]), lambda a: np.roll(a, shifts[0]), x)


@given(some_axes(), st.data())
def test_movedim(case: tuple[np.ndarray, tuple[int, ...]], data: st.DataObject) -> None:
    x, source = case
    target = data.draw(st.permutations(range(x.ndim)))[: len(source)]
    check_linear(lambda t: t.movedim(source, target), lambda a: np.moveaxis(a, source, target), x)
    check_linear(lambda t: t.movedim(source[0], 0), lambda a: np.moveaxis(a, source[0], 0), x)
    check_linear(lambda t: t.swapaxes(source[0], 0), lambda a: np.swapaxes(a, source[0], 0), x)


# ------------------------------------------------------------------------------ repetition


@given(any_array, st.data())
def test_repeat_and_tile(x: np.ndarray, data: st.DataObject) -> None:
    times = tuple(data.draw(st.lists(st.integers(0, 3), min_size=x.ndim, max_size=x.ndim + 1)))
    check_linear(lambda t: t.repeat(*times), lambda a: np.tile(a, times), x)
    check_linear(lambda t: t.repeat(times), lambda a: np.tile(a, times), x)
    fewer = times[-data.draw(st.integers(1, 3)) :]
    if fewer:
        check_linear(lambda t: tg.tile(t, fewer), lambda a: np.tile(a, fewer), x)
        check_linear(lambda t: t.tile(*fewer), lambda a: np.tile(a, fewer), x)


# ------------------------------------------------------------------------------ parts


@given(with_axes, st.data())
def test_split_into_equal_parts(x: np.ndarray, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    size, length = x.shape[axis], data.draw(st.integers(1, 4))
    cuts = list(range(length, size, length))
    check_linear(lambda t: t.split(length, axis), lambda a: np.split(a, cuts, axis), x)
    check_linear(lambda t: tg.split(t, length, axis=axis), lambda a: np.split(a, cuts, axis), x)


@given(with_axes, st.data())
def test_split_into_given_sizes(x: np.ndarray, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, x.ndim - 1))
    cuts = sorted(data.draw(st.lists(st.integers(0, x.shape[axis]), max_size=3)))
    sizes = [b - a for a, b in itertools.pairwise([0, *cuts, x.shape[axis]])]
    check_linear(lambda t: t.split(sizes, axis), lambda a: np.split(a, cuts, axis), x)


@given(with_axes, st.data())
def test_unbind(x: np.ndarray, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    check_linear(
        lambda t: tg.unbind(t, axis),
        lambda a: [np.take(a, i, axis) for i in range(a.shape[axis])],
        x,
    )


@pytest.mark.parametrize(
    ("size", "chunks", "sizes"),
    [
        (6, 3, [2, 2, 2]),
        (7, 3, [3, 3, 1]),
        (5, 4, [2, 2, 1]),  # as in torch: fewer than asked for
        (2, 4, [1, 1]),
        (0, 3, [0, 0, 0]),
        (4, 1, [4]),
    ],
)
def test_chunk(size: int, chunks: int, sizes: list[int]) -> None:
    x = np.arange(2.0 * size).reshape(2, size)
    parts = tg.tensor(x).chunk(chunks, 1)
    assert [part.shape for part in parts] == [(2, n) for n in sizes]
    np.testing.assert_array_equal(tg.cat(parts, 1).numpy(), x)


# ------------------------------------------------------------------------------ misuse


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (lambda x: x.flip(2), "flip: axis 2 does not exist"),
        (lambda x: x.flip(0, -2), "flip: .*twice"),
        (lambda x: x.roll((1, 2), 0), "roll: 2 shifts for 1 dims"),
        (lambda x: x.roll(1, 2), "roll: axis 2"),
        (lambda x: x.movedim(0, 2), "movedim: axis 2"),
        (lambda x: x.movedim((0, 1), 0), r"movedim: \(0, 1\) and 0"),
        (lambda x: x.movedim((0, 0), (0, 1)), r"movedim: .*once"),
        (lambda x: x.repeat(2), r"repeat: \(2,\) .*2 axes of shape \(2, 3\).*tile"),
        (lambda x: x.repeat(2, -1), r"repeat: \(2, -1\)"),
        (lambda x: x.split(0), "split: .*at least one element, not 0"),
        (lambda x: x.split([1, 2]), r"split: .*\(1, 2\) do not add up to 2"),
        (lambda x: x.split([3, -1]), r"split: .*\(3, -1\)"),
        (lambda x: x.split(1, 2), "split: axis 2"),
        (lambda x: x.chunk(0), "chunk: .*not 0"),
        (lambda x: x.sum().split(1), "split: a scalar"),
        (lambda x: x.sum().chunk(1), "chunk: a scalar"),
        (lambda x: x.sum().unbind(), "unbind: a scalar"),
        (lambda x: x.sum().roll(1, 0), "roll: a scalar"),
    ],
)
def test_misfits_name_the_function_and_the_shapes(act: Any, text: str) -> None:
    with pytest.raises((ShapeError, ArgumentError, AxisError), match=f"^({text})"):
        act(tg.ones(2, 3))


def test_scalars() -> None:
    x = tg.tensor(2.0)
    assert x.flip(()).item() == x.roll(1).item() == x.movedim(0, 0).item() == 2
    assert x.repeat(3).tolist() == x.tile(3).tolist() == [2, 2, 2]
