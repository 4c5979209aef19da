"""What to try the structural ops on, and what they should give, as `samples.py` has it."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.ops.samples import (
    REAL,
    SIDE,
    WHOLE,
    Array,
    Case,
    Sample,
    arrays,
    layouts,
    relayout,
    seeds,
    shapes,
)
from tinygrad_edu.ops.structural import Key


@st.composite
def reductions(draw: Any, min_side: int = 0, distinct: bool = False) -> Sample:
    """An array, some of its axes, keepdims; `distinct` elements leave no ties."""
    shape = draw(shapes(min_side=min_side))
    x = draw(arrays(shape))
    if distinct:
        order = np.random.default_rng(draw(seeds)).permutation(x.size)
        x = relayout(np.asarray(order / 4.0 - 1).reshape(shape), draw(layouts))
    axes = tuple(axis for axis in range(x.ndim) if draw(st.booleans()))
    return Sample((x,), {"axes": axes, "keepdims": draw(st.booleans())})


@st.composite
def positions(draw: Any) -> Sample:
    """An array without ties and one of its axes."""
    sample = draw(reductions(min_side=1, distinct=True).filter(lambda s: s.xs[0].ndim))
    (x,) = sample.xs
    axis = draw(st.integers(0, x.ndim - 1))
    return Sample((x,), {"axis": axis, "keepdims": sample.params["keepdims"]})


@st.composite
def scans(draw: Any) -> Sample:
    """An array, one of its axes, and the direction."""
    x = draw(shapes(min_dims=1).flatmap(arrays))
    return Sample((x,), {"axis": draw(st.integers(0, x.ndim - 1)), "reverse": draw(st.booleans())})


def _scan(x: Array, axis: int, reverse: bool) -> Array:
    size = x.shape[axis]
    ones = np.triu(np.ones((size, size)))  # [i, j]: whether element i counts in total j
    return np.moveaxis(np.moveaxis(x, axis, -1) @ (ones.T if reverse else ones), -1, axis)


@st.composite
def orders(draw: Any) -> Sample:
    """An array, often with ties, one of its axes, and the direction."""
    shape = draw(shapes(min_dims=1, min_side=1))
    x = draw(arrays(shape, draw(st.sampled_from([REAL, WHOLE]))))
    return Sample(
        (x,), {"axis": draw(st.integers(0, x.ndim - 1)), "descending": draw(st.booleans())}
    )


def order_of(x: Array, axis: int, descending: bool) -> Array:
    """The positions that sort x, by Python's sort, which is stable backwards, too."""

    def positions(row: Array) -> list[int]:
        return sorted(range(len(row)), key=row.__getitem__, reverse=descending)

    return np.apply_along_axis(positions, axis, x)


@st.composite
def reshapes(draw: Any) -> Sample:
    """An array and another shape of as many elements."""
    x = draw(shapes().flatmap(arrays))
    sizes = [n for n in x.shape if n != 1] + [1] * draw(st.integers(0, 2))
    split = draw(st.permutations(sizes))
    return Sample((x,), {"shape": draw(st.sampled_from([tuple(split), (x.size,)]))})


@st.composite
def expansions(draw: Any) -> Sample:
    """An array and a shape it broadcasts to."""
    pair = hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=SIDE, max_dims=3)
    drawn = draw(pair)
    x = draw(arrays(drawn.input_shapes[0]))
    return Sample((x,), {"shape": drawn.result_shape})


@st.composite
def permutations(draw: Any) -> Sample:
    """An array and an order of its axes."""
    x = draw(shapes().flatmap(arrays))
    return Sample((x,), {"axes": tuple(draw(st.permutations(range(x.ndim))))})


@st.composite
def keys(draw: Any, shape: tuple[int, ...], unique: bool = False) -> tuple[Key, list[Array]]:
    """A basic or advanced key for an array of this shape, with its index arrays.

    The index arrays broadcast with each other and, unless `unique`, name positions repeatedly.
    """
    parts: list[Any] = []
    indices: list[Array] = []
    common = draw(shapes(max_dims=2))
    for size in shape[: draw(st.integers(0, len(shape)))]:
        kind = draw(st.sampled_from(["slice", "integer", "array", "new axis"]))
        if kind == "new axis":
            parts.append(None)
            kind = "slice"
        if kind == "slice" or size == 0 or (kind == "array" and unique):
            parts.append(draw(st.slices(size)))
        elif kind == "integer":
            parts.append(draw(st.integers(-size, size - 1)))
        else:
            parts.append(Key.ARRAY)
            own = tuple(1 if draw(st.booleans()) else n for n in common)
            rng = np.random.default_rng(draw(seeds))
            indices.append(rng.integers(-size, size, own))
    if draw(st.booleans()):
        parts.append(Ellipsis)
    return Key(tuple(parts)), indices


@st.composite
def readings(draw: Any) -> Sample:
    """An array and a key for it."""
    x = draw(shapes().flatmap(arrays))
    key, indices = draw(keys(x.shape))
    return Sample((x, *indices), {"key": key})


@st.composite
def scatterings(draw: Any) -> Sample:
    """Values for the places a key names in an array of zeros."""
    shape = draw(shapes())
    key, indices = draw(keys(shape))
    placed = np.zeros(shape)[key.fill(tuple(indices))]
    return Sample((draw(arrays(placed.shape)), *indices), {"key": key, "shape": shape})


def _scatter(x: Array, *indices: Array, key: Key, shape: tuple[int, ...]) -> Array:
    """Element for element: number every place of the target, then add to the numbers addressed."""
    target = np.zeros(shape)
    numbered = np.arange(target.size).reshape(shape)[key.fill(indices)]
    for place, value in zip(numbered.ravel(), x.ravel(), strict=True):
        target.reshape(-1)[place] += value
    return target


@st.composite
def writings(draw: Any) -> Sample:
    """The index arrays of a key that has some, for an array of this shape."""
    shape = draw(shapes(min_dims=1))
    key, indices = draw(keys(shape).filter(lambda drawn: drawn[1]))
    return Sample(tuple(indices), {"key": key, "shape": shape})


def _last_writer(*indices: Array, key: Key, shape: tuple[int, ...]) -> Array:
    """Element for element: nothing written later goes to the same place."""
    places = np.arange(np.prod(shape, dtype=int)).reshape(shape)[key.fill(indices)]
    flat = places.ravel().tolist()
    return np.array([p not in flat[i + 1 :] for i, p in enumerate(flat)]).reshape(places.shape)


@st.composite
def namings(draw: Any) -> Sample:
    """Positions along an axis, some from its end."""
    size = draw(st.integers(1, 9))
    index = np.random.default_rng(draw(seeds)).integers(-size, size, draw(shapes()))
    how = {"wraps": True, "ignored": None, "name": "gather", "where": "along axis 0"}
    return Sample((index,), {"size": size, **how})


@st.composite
def concatenations(draw: Any) -> Sample:
    """Arrays that differ along one axis at most."""
    shape = draw(shapes(min_dims=1))
    axis = draw(st.integers(0, len(shape) - 1))
    sizes = draw(st.lists(st.integers(0, SIDE), min_size=1, max_size=3))
    xs = tuple(draw(arrays((*shape[:axis], n, *shape[axis + 1 :]))) for n in sizes)
    return Sample(xs, {"axis": axis})


@st.composite
def products(draw: Any) -> Sample:
    """Two stacks of matrices that multiply."""
    rows, inner, columns = (draw(st.integers(0, SIDE)) for _ in range(3))
    stacks = draw(
        hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=2, max_dims=2)
    ).input_shapes
    a = draw(arrays((*stacks[0], rows, inner)))
    b = draw(arrays((*stacks[1], inner, columns)))
    return Sample((a, b))


@st.composite
def casts(draw: Any) -> Sample:
    """An array and a dtype wide enough for it."""
    x = draw(shapes().flatmap(arrays))
    return Sample((x,), {"dtype": np.dtype(np.float64)})


STRUCTURE: dict[str, Case] = {
    "sum": Case(reductions(), lambda x, axes, keepdims: x.sum(axis=axes, keepdims=keepdims)),
    "cumsum": Case(scans(), _scan),
    "expand": Case(expansions(), lambda x, shape: x + np.zeros(shape)),
    "reshape": Case(reshapes(), lambda x, shape: np.array(x.ravel().tolist()).reshape(shape)),
    "permute": Case(
        permutations(),
        lambda x, axes: np.einsum(x, list(range(x.ndim)), list(axes)),
    ),
    "getitem": Case(readings(), lambda x, *indices, key: x[key.fill(indices)]),
    "scatter": Case(scatterings(), _scatter),
    "concat": Case(concatenations(), lambda *xs, axis: np.concatenate(xs, axis)),
    "amax": Case(
        reductions(min_side=1, distinct=True),
        lambda x, axes, keepdims: np.maximum.reduce(x, axis=axes, keepdims=keepdims),
    ),
    "amin": Case(
        reductions(min_side=1, distinct=True),
        lambda x, axes, keepdims: np.minimum.reduce(x, axis=axes, keepdims=keepdims),
    ),
    "argmax": Case(
        positions(),
        lambda x, axis, keepdims: _last_of_order(x, axis, keepdims),
    ),
    "argmin": Case(
        positions(),
        lambda x, axis, keepdims: _last_of_order(-x, axis, keepdims),
    ),
    "argsort": Case(orders(), order_of),
    "last_writer": Case(writings(), _last_writer),
    "positions": Case(namings(), lambda i, size, **how: np.arange(size)[i]),
    "cast": Case(casts(), lambda x, dtype: x.astype(dtype)),
    "matmul": Case(products(), lambda a, b: np.einsum("...ij,...jk->...ik", a, b)),
}


def _last_of_order(x: Array, axis: int, keepdims: bool) -> Array:
    last = np.take(np.argsort(x, axis), -1, axis)
    return np.expand_dims(last, axis) if keepdims else last
