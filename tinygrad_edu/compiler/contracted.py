"""Simplifications of what contracts axes: reductions, matrix products, the picking of elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_edu.compiler.shapes import Shape, reshape, splits_rows, squeezed, swapped
from tinygrad_edu.compiler.term import Graph, Term
from tinygrad_edu.ops.structural import Key
from tinygrad_edu.ops.table import TABLE

Params = Mapping[str, Any]


def _sum(graph: Graph, xs: tuple[Term, ...], params: Params, shape: Shape) -> Term | None:
    return _reduction(graph, "sum", xs[0], params, shape)


def _amax(graph: Graph, xs: tuple[Term, ...], params: Params, shape: Shape) -> Term | None:
    return _reduction(graph, "amax", xs[0], params, shape)


def _amin(graph: Graph, xs: tuple[Term, ...], params: Params, shape: Shape) -> Term | None:
    return _reduction(graph, "amin", xs[0], params, shape)


def _reduction(graph: Graph, name: str, x: Term, params: Params, shape: Shape) -> Term | None:
    """Reductions keep their axes, and reduce none of size 1."""
    op, axes = TABLE[name], tuple(axis for axis in params["axes"] if x.shape[axis] != 1)
    if not axes:
        return reshape(x, shape)
    everything = len(squeezed(shape)) == 0 and 0 not in x.shape
    if everything and x.name == "reshape":
        y = x.inputs[0]
        return reshape(graph.apply(op, y, axes=_all(y), keepdims=True), shape)
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    if axes != params["axes"] or not params["keepdims"]:
        return reshape(graph.apply(op, x, axes=axes, keepdims=True), shape)
    if x.name == "reshape" and splits_rows(x):
        last = len(x.shape) - 1
        if axes == (last,) or axes == tuple(range(last)):
            inner = graph.apply(op, x.inputs[0], axes=(int(axes == (last,)),), keepdims=True)
            return reshape(inner, shape)
    if name == "sum":
        return _simpler_sum(graph, x, axes, kept)
    return None


def _all(x: Term) -> tuple[int, ...]:
    return tuple(range(len(x.shape)))


def _simpler_sum(graph: Graph, x: Term, axes: tuple[int, ...], kept: Shape) -> Term | None:
    if x.name == "neg":
        return -graph.apply(TABLE["sum"], x.inputs[0], axes=axes, keepdims=True)
    if x.name == "where" and axes == (len(x.shape) - 1,):
        found = _summed_choice(graph, x, kept)
        if found is not None:
            return found
    if x.name == "mul" and x.dtype.kind == "f" and math.prod(kept) != 1:
        # What does not vary along the sum is multiplied afterwards, once.
        for y, r in (x.inputs, x.inputs[::-1]):
            if y.shape == x.shape and (r.size == 1 or r.shape == kept):
                return graph.apply(TABLE["sum"], y, axes=axes, keepdims=True) * r
    if x.name == "matmul" and len(x.shape) > 2 and axes == tuple(range(len(x.shape) - 2)):
        return _summed_product(graph, x, kept)
    return None


def _summed_choice(graph: Graph, x: Term, kept: Shape) -> Term | None:
    """The sum of a row that is 0 except in the column of a class number: what stands there."""
    condition, value, zero = x.inputs
    parts = condition.inputs if condition.name == "logical_and" else (condition,)
    number = next((n for n in map(_compared_class, parts) if n is not None), None)
    if number is None or zero.number != 0 or value.shape not in (kept, ()):
        return None
    count = x.shape[-1]
    if not (number.shape == kept and np.array_equal(_columns(parts), np.arange(count))):
        return None
    apply = graph.apply
    holds = apply(TABLE["logical_and"], number >= 0, number < count)
    for part in parts:
        if _compared_class(part) is None:
            if part.shape != kept:
                return None
            holds = apply(TABLE["logical_and"], holds, part)
    return apply(TABLE["where"], holds, value, 0)


def _compared_class(t: Term) -> Term | None:
    """The class number that t compares with the numbers of the columns."""
    if t.name == "eq" and t.inputs[1].value is not None and len(t.inputs[1].shape) == 1:
        return t.inputs[0]
    return None


def _columns(parts: tuple[Term, ...]) -> Any:
    return next(t.inputs[1].value for t in parts if _compared_class(t) is not None)


def _summed_product(graph: Graph, x: Term, kept: Shape) -> Term | None:
    """The sum over a batch of products A^T B is one product: the batch is summed with the depth."""
    a, b = x.inputs
    if a.name != "permute" or a.shape[:-2] != b.shape[:-2] or swapped(a).name == "permute":
        return None
    a = swapped(a)
    a, b = (reshape(t, (math.prod(t.shape[:-1]), t.shape[-1])) for t in (a, b))
    return reshape(graph.apply(TABLE["matmul"], swapped(a), b), kept)


def _matmul(graph: Graph, xs: tuple[Term, ...], params: Params, shape: Shape) -> Term | None:
    """A batch of matrices times one matrix is one product of taller matrices."""
    a, b = xs
    if len(shape) == 2 or math.prod(b.shape[:-2]) != 1 or a.name == "permute":
        return None
    if math.prod(a.shape[:-2]) * a.shape[-2] * shape[-1] != math.prod(shape):
        return None
    tall = reshape(a, (math.prod(a.shape[:-1]), a.shape[-1]))
    flat = b.name == "permute"
    matrix = swapped(reshape(swapped(b), (b.shape[-1], b.shape[-2]))) if flat else b
    matrix = matrix if flat else reshape(b, b.shape[-2:])
    return reshape(graph.apply(TABLE["matmul"], tall, matrix), shape)


# ------------------------------------------------------------------------------ picking


def _getitem(graph: Graph, xs: tuple[Term, ...], params: Params, shape: Shape) -> Term | None:
    """``x[arange(n), labels]``, the label's element of each row, as a sum over a mask. (Labels
    that do not exist were reported before.)"""
    x = xs[0]
    if not _picks(params["key"], x.shape, xs[1:]) or x.dtype.kind != "f":
        return None
    chosen = graph.apply(TABLE["where"], _mask(graph, xs[2], x.shape), x, 0)
    picked = graph.apply(TABLE["sum"], chosen, axes=(1,), keepdims=True)
    return reshape(picked, shape)


def _scatter(graph: Graph, xs: tuple[Term, ...], params: Params, shape: Shape) -> Term | None:
    """The transpose of picking: each number at its row's label, 0 elsewhere."""
    x = xs[0]
    if not _picks(params["key"], shape, xs[1:]) or x.dtype.kind != "f":
        return None
    mask = _mask(graph, xs[2], shape)
    column = graph.apply(TABLE["expand"], x, shape=shape[:1])
    column = reshape(column, (shape[0], 1))
    return graph.apply(TABLE["where"], mask, column, 0)


def _picks(key: Any, shape: Shape, indices: tuple[Term, ...]) -> bool:
    """Whether a key takes one element of each row of a matrix."""
    if key.parts != (Key.ARRAY, Key.ARRAY) or len(shape) != 2 or len(indices) != 2:
        return False
    rows, labels = indices
    if rows.value is None or rows.shape != (shape[0],) or labels.shape != rows.shape:
        return False
    if labels.dtype.kind != "i" or min(shape) < 2:
        return False
    return bool(np.array_equal(rows.value, np.arange(shape[0])))


def _mask(graph: Graph, labels: Term, shape: Shape) -> Term:
    """Where each row has its label."""
    column = reshape(labels, (shape[0], 1))
    return graph.apply(TABLE["eq"], column, np.arange(shape[1], dtype=column.dtype))


RULES: dict[str, Callable[..., Term | None]] = {
    "sum": _sum,
    "amax": _amax,
    "amin": _amin,
    "matmul": _matmul,
    "getitem": _getitem,
    "scatter": _scatter,
}
