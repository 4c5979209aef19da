"""Reading and writing ``x[key]`` give NumPy's results, with torch's order of axes where the two
differ, and their gradients are the transposes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_edu as tg
from tests.ops.samples import arrays, seeds, shapes
from tests.ops.structure import keys
from tinygrad_edu.errors import IndexingError, InPlaceError, ShapeError, TraceError
from tinygrad_edu.graph.tensor import abstract


@st.composite
def mask_keys(draw: Any, shape: tuple[int, ...]) -> Any:
    """A boolean mask over some axes in a row, with slices and integers around it."""
    before = draw(st.integers(0, len(shape)))
    count = draw(st.integers(0, len(shape) - before))
    parts: list[Any] = [draw(st.slices(n)) for n in shape[:before]]
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, before)), None)
    if count:
        size = shape[before : before + count]
        parts.append(np.random.default_rng(draw(seeds)).random(size) < 0.5)
    if before + count < len(shape) and shape[-1] and draw(st.booleans()):
        parts += [Ellipsis, draw(st.integers(-shape[-1], shape[-1] - 1))]
    return tuple(parts)


@st.composite
def any_key(draw: Any, shape: tuple[int, ...]) -> Any:
    """Any key that NumPy accepts for this shape."""
    kind = draw(st.sampled_from(["basic", "positions", "mixed", "mask"]))
    if kind == "positions" and shape and 0 not in shape:
        return draw(hnp.integer_array_indices(shape))
    if kind == "mixed":
        key, indices = draw(keys(shape))
        return key.fill(tuple(indices))
    if kind == "mask":
        return draw(mask_keys(shape))
    return draw(hnp.basic_indices(shape, allow_newaxis=True))


@st.composite
def arrays_and_keys(draw: Any) -> tuple[np.ndarray, Any]:
    x = draw(shapes().flatmap(arrays))
    return x, draw(any_key(x.shape))


@st.composite
def assignments(draw: Any) -> tuple[np.ndarray, Any, np.ndarray]:
    """An array, a key, and a value that broadcasts to the place, perhaps by an axis too many."""
    x, key = draw(arrays_and_keys())
    place = taken(x, key).shape
    kept = place[draw(st.integers(0, len(place))) :]
    shape = tuple(1 if draw(st.booleans()) else n for n in kept)
    if shape and len(shape) == len(place):
        shape = (1,) * draw(st.integers(0, 1)) + shape
    return x, key, draw(arrays(shape))


def as_user_writes(key: Any) -> list[Any]:
    """The same key with arrays as they are, as lists and as tensors. An empty list does not tell
    positions from a mask, so empty arrays stay arrays."""

    def convert(how: Any) -> Any:
        if isinstance(key, tuple):
            return tuple(how(part) if isinstance(part, np.ndarray) else part for part in key)
        return how(key) if isinstance(key, np.ndarray) else key

    return [key, convert(lambda a: a.tolist() if a.size else a), convert(tg.tensor)]


def taken(x: np.ndarray, key: Any) -> np.ndarray:
    """``x[key]`` as torch defines it: integers are taken out one by one, and the rest of the key
    is NumPy's. (NumPy has the axes of index arrays in front if an integer is apart from them.)"""
    parts = list(key) if isinstance(key, tuple) else [key]
    count = sum(_axes(part) for part in parts)
    for i, part in enumerate(parts):
        if part is Ellipsis:
            parts[i : i + 1] = [slice(None)] * (x.ndim - count)
            break
    rest: list[Any] = []
    axis = 0
    for part in parts:
        if part is not None and not isinstance(part, slice) and np.shape(part) == ():
            x = x[(slice(None),) * axis + (int(part),)]
        else:
            rest.append(part)
            axis += _axes(part)
    return np.asarray(x[tuple(rest)])


def _axes(part: Any) -> int:
    """How many axes a part of a key takes."""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if isinstance(part, np.ndarray) and part.dtype == bool else 1


# ------------------------------------------------------------------------------ reading


@given(arrays_and_keys())
def test_reading_is_numpys(case: tuple[np.ndarray, Any]) -> None:
    x, key = case
    for spelled in as_user_writes(key):
        found = tg.tensor(x)[spelled]
        assert found.shape == taken(x, key).shape
        np.testing.assert_array_equal(found.numpy(), taken(x, key))


@given(arrays_and_keys(), seeds)
def test_gradient_of_reading_adds_where_it_read(case: tuple[np.ndarray, Any], seed: int) -> None:
    """An element read several times receives every cotangent."""
    x, key = case
    t = tg.tensor(x, requires_grad=True)
    y = t[key]
    g = np.asarray(np.random.default_rng(seed).integers(-4, 5, y.shape), float)
    wanted = np.zeros(x.shape)
    for place, cotangent in zip(_places(x, key), g.ravel(), strict=True):
        wanted.flat[place] += cotangent  # small integers: exact
    (found,) = tg.autograd.grad(y, t, tg.tensor(g))
    np.testing.assert_array_equal(found.numpy(), wanted)


def _places(x: np.ndarray, key: Any) -> np.ndarray:
    return taken(np.arange(x.size).reshape(x.shape), key).ravel()


def assign(x: np.ndarray, key: Any, value: Any) -> None:
    """NumPy's ``x[key] = value`` with axes as `taken` has them."""
    shape = taken(x, key).shape
    value = np.asarray(value)
    value = value[0] if value.ndim > len(shape) else value  # an axis too many
    x.flat[_places(x, key)] = np.broadcast_to(value, shape).ravel()


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ((0, slice(None), [1, 2]), (3, 2)),
        (([0, 1], slice(None), 0), (2, 3)),
        ((slice(None), 1, [3, 0]), (2, 2)),
        ((1, None, slice(1), [0, 3, 1]), (1, 1, 3)),
        ((slice(None), [0, 1], ..., [0, 1]), (2, 2)),
        ((tg.tensor(1), slice(None), [[0, 1], [2, 3]]), (3, 2, 2)),
        ((slice(None), [True, False, True], ..., 1), (2, 2)),
        (([0, 1], slice(None), [0, 1]), (2, 3)),
    ],
    ids=str,
)
def test_integers_beside_index_arrays(key: Any, shape: tuple[int, ...]) -> None:
    """Shapes that torch gives: to it an integer selects, and is not one of the index arrays."""
    x = np.arange(24.0).reshape(2, 3, 4)
    plain_key = tuple(np.array(k) if isinstance(k, list | tg.Tensor) else k for k in key)
    t = tg.tensor(x)
    assert t[key].shape == taken(x, plain_key).shape == shape
    np.testing.assert_array_equal(t[key].numpy(), taken(x, plain_key))
    value = -np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    t[key] = value
    assign(x, plain_key, value)
    np.testing.assert_array_equal(t.numpy(), x)


def test_reading_is_a_value_not_a_window() -> None:
    x = tg.tensor([1.0, 2.0, 3.0])
    row = x[:2]
    row[0] = 9.0
    assert x.tolist() == [1, 2, 3]
    assert row.tolist() == [9, 2]


def test_reading_twice_differentiates() -> None:
    x = tg.tensor([2.0, 3.0], requires_grad=True)
    (first,) = tg.autograd.grad((x[[0, 0, 1]] ** 3).sum(), x, create_graph=True)
    assert first.tolist() == [24, 27]
    (second,) = tg.autograd.grad(first.sum(), x)
    assert second.tolist() == [24, 18]


@pytest.mark.parametrize("key", [[], (), np.zeros(0, int), Ellipsis, None])
def test_keys_that_name_nothing_in_particular(key: Any) -> None:
    x = np.arange(6.0).reshape(2, 3)
    assert tg.tensor(x)[key].shape == x[key].shape


def test_scalar_tensor_as_index() -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x[tg.tensor(1)].tolist() == [3, 4]
    assert x[np.int64(1), -1].item() == 4
    assert [1, 2, 3][tg.tensor(2)] == 3


# ------------------------------------------------------------------------------ writing


@given(assignments())
def test_writing_is_numpys(case: tuple[np.ndarray, Any, np.ndarray]) -> None:
    """Where a place is addressed twice the last value stays, as NumPy documents."""
    x, key, value = case
    wanted = x.copy()
    assign(wanted, key, value)
    for spelled in as_user_writes(key):
        t = tg.tensor(x)
        t[spelled] = tg.tensor(value)
        np.testing.assert_array_equal(t.numpy(), wanted)


@given(assignments(), seeds)
def test_gradient_of_writing(case: tuple[np.ndarray, Any, np.ndarray], seed: int) -> None:
    """Assignment is linear in the old tensor and in the value; its transpose by brute force."""
    x, key, value = case
    old, new = tg.tensor(x, requires_grad=True), tg.tensor(value, requires_grad=True)
    y = old * 1
    y[key] = new
    g = np.asarray(np.random.default_rng(seed).integers(-4, 5, x.shape), float)
    found_old, found_new = tg.autograd.grad(y, [old, new], tg.tensor(g))

    kept = g.copy()
    assign(kept, key, 0)
    np.testing.assert_array_equal(found_old.numpy(), kept)
    wanted = np.zeros(value.shape)
    for i in range(value.size):
        unit, written = np.zeros(value.shape), np.zeros(x.shape)
        unit.flat[i] = 1
        assign(written, key, unit)
        wanted.flat[i] = np.sum(g * written)
    np.testing.assert_array_equal(found_new.numpy(), wanted)


def test_writing_never_changes_an_earlier_graph() -> None:
    x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    h = x * 2
    before = (h * h).sum()
    h[1] = 100.0
    after = (h * h).sum()
    before.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [8, 16, 24]
    x.grad = None
    after.backward()
    assert x.grad.tolist() == [8, 0, 24]


def test_one_element_is_assigned_to_one_place() -> None:
    """NumPy gives this up for a place without axes; torch keeps it."""
    x = tg.zeros(3)
    x[1] = tg.tensor([4.0])
    assert x.tolist() == [0, 4, 0]


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int32", "bool"])
def test_values_take_the_dtype_of_the_tensor(dtype: str) -> None:
    """And go there directly: 0.1 is not rounded to float32 on its way into float64."""
    for value in (0.1, [0.1, 3.7], np.array([0.1, 3.7]), True, 2):
        x, wanted = tg.zeros(2, dtype=dtype), np.zeros(2, dtype)
        x[:] = value
        wanted[:] = value
        assert x.dtype == dtype
        np.testing.assert_array_equal(x.numpy(), wanted)


def test_writing_nan_and_over_nan() -> None:
    x = tg.tensor([np.nan, 1.0, np.inf], requires_grad=True)
    y = x * 1
    y[0] = 2.0
    y[2] = np.nan
    y[1:2].sum().backward()
    assert y[:2].tolist() == [2, 1]
    assert np.isnan(y[2].item())
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 0]


def test_in_place_arithmetic_on_a_part() -> None:
    x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 1
    y[1:] += 10
    y[0] *= 5
    assert y.tolist() == [5, 12, 13]
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [5, 1, 1]


def test_a_leaf_that_requires_grad_is_not_assigned_to() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(InPlaceError, match=r"x\[i\] =.*no_grad"):
        x[0] = 5.0
    assert x.tolist() == [1, 2]
    with tg.no_grad():
        x[0] = 5.0
    assert x.tolist() == [5, 2]
    assert x.requires_grad
    assert x.is_leaf


# ------------------------------------------------------------------------------ misfits


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (5, "index 5 is out of bounds"),
        ((0, -4), "out of bounds"),
        ((0, 0, 0), "too many indices"),
        ([0, 7], "index 7 is out of bounds"),
        (([0, 1], [0, 1, 2]), "broadcast"),
        ((..., ...), "ellipsis"),
        (1.5, "float32"),
        ("name", "getitem.*U4"),
        ([[0, 1], [0]], "getitem.*rectangular"),
        (True, "bool"),
        (np.array([True, False, True]), r"mask of shape \(3,\).*axes 0 to 0 of shape \(2, 3\)"),
        ((0, np.array([True, False])), r"mask of shape \(2,\)"),
        (np.ones((2, 2), bool), r"mask of shape \(2, 2\)"),
    ],
)
def test_misfits_raise_before_anything_happens(key: Any, text: str) -> None:
    """A mask must fit even where the positions it holds would be in range."""
    x = tg.tensor(np.arange(6.0).reshape(2, 3))
    for act in (lambda: x[key], lambda: x.__setitem__(key, 0.0)):
        with pytest.raises((IndexingError, TypeError), match=text):
            act()
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_index_errors_end_a_for_loop() -> None:
    """Whoever counts up to IndexError, as Python's own iteration may, finds one."""
    with pytest.raises(IndexError):
        tg.zeros(3)[3]


def test_a_value_that_does_not_fit() -> None:
    x = tg.zeros(2, 3)
    with pytest.raises(ShapeError, match=r"setitem.*\(4,\).*\(3,\).*\(2, 3\)"):
        x[0] = tg.ones(4)
    with pytest.raises(ShapeError, match="setitem"):
        x[0] = tg.ones(2, 3)
    assert not x.numpy().any()


def test_positions_unknown_to_a_trace() -> None:
    x = abstract((3,))
    assert x[abstract((2,), np.int64)].shape == (2,)
    with pytest.raises(TraceError):
        x[x > 0]
    x[abstract((2,), np.int64)] = 0.0
    assert x.node.op is tg.ops.where


def test_a_mask_of_the_whole_shape_needs_no_positions() -> None:
    x = abstract((2, 3))
    x[x > 0] = 0.0
    assert x.shape == (2, 3)
    y = tg.tensor([[1.0, -2.0], [-3.0, 4.0]])
    v = tg.tensor(5.0, requires_grad=True)
    y[y < 0] = v
    assert y.tolist() == [[1, 5], [5, 4]]
    y.sum().backward()
    assert v.grad is not None
    assert v.grad.item() == 2
    with pytest.raises(TraceError):
        x[x > 0] = tg.ones(3)
