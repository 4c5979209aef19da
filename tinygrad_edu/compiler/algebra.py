"""Simplifications applied while terms are made.

They bring a program to a form in which fusion sees what belongs together: reductions keep their
axes, reshapes that only drop or add axes of size 1 move behind elementwise ops, transposes reach
the matrix products that can read transposed operands, broadcasting is left to whoever reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_edu.compiler import averaged, contracted
from tinygrad_edu.compiler.shapes import Shape, reshape, splits_rows, squeezed, swapped
from tinygrad_edu.compiler.term import Graph, Term
from tinygrad_edu.kernels.whole_powers import MOST_FACTORS, MOST_INVERSES, product
from tinygrad_edu.ops.kinds import Elementwise
from tinygrad_edu.ops.table import TABLE, Op

Params = Mapping[str, Any]


def simplify(graph: Graph, op: Op, xs: tuple[Term, ...], params: Params, shape: Shape) -> Any:
    """Another term for ``op(*xs, **params)``, or None where it is as simple as it gets."""
    if isinstance(op, Elementwise):
        return _elementwise(graph, op, xs, params, shape)
    rule = _RULES.get(op.name)
    if rule is None or TABLE.get(op.name) is not op:
        return None
    return rule(graph, xs, params, shape)


# ------------------------------------------------------------------------------ elementwise


def _elementwise(
    graph: Graph, op: Elementwise, xs: tuple[Term, ...], params: Params, shape: Shape
) -> Term | None:
    plain = _without_expansions(xs, shape)
    if plain != xs:
        return graph.make(op, plain, params, shape, _dtype_of(op, xs))
    sunk = _sink_reshape(graph, op, xs, params, shape)
    if sunk is not None:
        return sunk
    rule = _ALGEBRA.get(op.name)
    kept = rule(*xs) if rule is not None and TABLE[op.name] is op else None
    if kept is None:
        return None
    if kept.shape != shape:
        return graph.apply(TABLE["expand"], kept, shape=shape)
    return kept


def _dtype_of(op: Elementwise, xs: tuple[Term, ...]) -> np.dtype[Any]:
    return op.infer(*xs)[1]


def _without_expansions(xs: tuple[Term, ...], shape: Shape) -> tuple[Term, ...]:
    """Operands as they were before they were repeated, where the op repeats them anyway."""
    plain = list(xs)
    for i, x in enumerate(xs):
        y = x
        while y.name in ("expand", "reshape") and (y.name == "expand" or y.size == 1):
            y = y.inputs[0]
            others = [t.shape for k, t in enumerate(plain) if k != i]
            small = y.size == 1 and len(y.shape) <= len(shape)
            if not (y.size == 1 and x.size == 1 and small) and (
                np.broadcast_shapes(y.shape, *others) != shape
            ):
                continue
            if len(y.shape) <= len(shape):
                plain[i] = y
    return tuple(plain)


def _sink_reshape(
    graph: Graph, op: Elementwise, xs: tuple[Term, ...], params: Params, shape: Shape
) -> Term | None:
    """f(reshape(x)) = reshape(f(x)) where the reshape only adds or drops axes of size 1."""
    inner = next((x.inputs[0] for x in xs if x.shape == shape and _sinks(x)), None)
    if inner is None or math.prod(shape) == 1:
        return None
    ys = []
    for x in xs:
        if x.size == 1:
            ys.append(_as_scalar(x))
        elif x.shape == shape:
            ys.append(reshape(x, inner.shape))
        elif x.size == shape[-1] == inner.shape[-1] and x.shape[-1] == shape[-1]:
            ys.append(reshape(x, shape[-1:]))
        else:
            return None
    return reshape(graph.make(op, tuple(ys), params, inner.shape, _dtype_of(op, xs)), shape)


def _as_scalar(x: Term) -> Term:
    return x if x.shape == () else reshape(x, ())


def _sinks(x: Term) -> bool:
    """A reshape of something computed that only drops axes of size 1, or only splits the rows of a
    matrix. (Were axes of size 1 added as well, two operands could push each other for ever.)"""
    if x.name != "reshape" or x.inputs[0].op is None:
        return False
    inner = x.inputs[0].shape
    if squeezed(x.shape) == squeezed(inner):
        return len(inner) > len(x.shape)
    return splits_rows(x)


def _add(a: Term, b: Term) -> Term | None:
    if b.number is not None and b.number == 0:
        return a
    if a.number is not None:
        return b + a
    if b.name == "neg" and a.dtype.kind == "f":
        return a - b.inputs[0]
    if a.name == "neg" and a.dtype.kind == "f":
        return b - a.inputs[0]
    return None


def _sub(a: Term, b: Term) -> Term | None:
    if b.number is not None and b.number == 0:
        return a
    if b.name == "neg" and a.dtype.kind == "f":
        return a + b.inputs[0]
    return None


def _mul(a: Term, b: Term) -> Term | None:
    if b.number is not None and b.number == 1 and a.dtype != np.bool_:
        return a
    if a.number is not None:
        return b * a
    if b.number is not None and a.name == "mul" and a.dtype.kind == "f":
        first, second = a.inputs
        if second.number is not None:
            product: Term = first * (second * b)
            return product
    return None


def _div(a: Term, b: Term) -> Term | None:
    """Division by a number, and by what many elements share, is multiplication by the inverse. That
    rounds twice, and overflows where the divisor is below the smallest normal number."""
    if b.dtype.kind == "f" and b.value is None and 0 < 4 * b.size <= a.size:
        shared: Term = a * a.graph.apply(TABLE["div"], 1, b)
        return shared
    if b.number is None or b.number == 0 or b.dtype.kind != "f":
        return None
    if b.number == 1:
        return a
    inverse = b.dtype.type(1) / b.dtype.type(b.number)
    if not np.isfinite(inverse) or abs(inverse) < np.finfo(b.dtype).tiny:
        return None
    product: Term = a * inverse
    return product


def _neg(a: Term) -> Term | None:
    return a.inputs[0] if a.name == "neg" else None


def _pow(x: Term, n: Term) -> Term | None:
    """Whole powers are products: of floats a few, of integers, which wrap around, any. (The inverse
    is taken first, as the product of small numbers is 0 before its inverse is infinite.)"""
    if n.number is None or n.number != int(n.number) or n.number == 0:
        return None
    power = int(n.number)
    if x.dtype.kind == "i":
        return product(x, power) if n.dtype == x.dtype and power > 0 else None
    if x.dtype.kind != "f" or not -MOST_INVERSES <= power <= MOST_FACTORS:
        return None
    found: Term = product(x if power > 0 else x.graph.apply(TABLE["div"], 1, x), abs(power))
    return found


_INT32 = np.dtype(np.int32)


def _eq(a: Term, b: Term) -> Term | None:
    """Class numbers are compared with counted columns in 32 bits: twice as many at a time."""
    if b.value is None or b.size < 2 or a.dtype != np.int64 or b.dtype != np.int64:
        return None
    highest = np.iinfo(np.int32).max
    if a.value is not None or b.value.min() < 0 or b.value.max() >= highest:
        return None
    apply = a.graph.apply
    near = apply(TABLE["clamp"], a, -1, highest)  # what is outside stays different from all of b
    counted = a.graph.constant(b.value.astype(np.int32))
    return apply(TABLE["eq"], apply(TABLE["cast"], near, dtype=_INT32), counted)


_ALGEBRA: dict[str, Callable[..., Term | None]] = {
    "eq": _eq,
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "neg": _neg,
    "pow": _pow,
}


# ------------------------------------------------------------------------------ layout


def _reshape(graph: Graph, xs: tuple[Term, ...], params: Params, shape: Shape) -> Term | None:
    (x,) = xs
    if x.shape == shape:
        return x
    if x.name == "reshape":
        return reshape(x.inputs[0], shape)
    if x.name == "expand" and x.inputs[0].size == 1:
        return graph.apply(TABLE["expand"], reshape(x.inputs[0], ()), shape=shape)
    if isinstance(x.op, Elementwise) and _only_adds_axes(x.shape, shape):
        return _raised(graph, x, shape)
    return None


def _only_adds_axes(shape: Shape, longer: Shape) -> bool:
    return len(longer) > len(shape) and squeezed(longer) == squeezed(shape)


_DEEPEST = 50
"""How far a reshape is moved towards the operands of a chain of elementwise ops."""


def _raised(graph: Graph, x: Term, shape: Shape) -> Term | None:
    """reshape(f(y)) = f(reshape(y)) where the reshape only adds axes of size 1: the counterpart of
    `_sink_reshape`, so that both ways lead to the shape with more axes."""
    assert isinstance(x.op, Elementwise)
    key = (x, shape)
    if key not in graph.raised:
        deep = 1 + max((graph.depth.get(y, 0) for y in x.inputs), default=0)
        if deep > _DEEPEST or any(y.size != 1 and y.shape != x.shape for y in x.inputs):
            return None
        ys = tuple(_as_scalar(y) if y.size == 1 else reshape(y, shape) for y in x.inputs)
        graph.raised[key] = graph.make(x.op, ys, x.params, shape, x.dtype)
    return graph.raised[key]


def _expand(graph: Graph, xs: tuple[Term, ...], params: Params, shape: Shape) -> Term | None:
    (x,) = xs
    if x.size == math.prod(shape):
        return reshape(x, shape)
    if x.name == "expand":
        return graph.apply(TABLE["expand"], x.inputs[0], shape=shape)
    return None


def _permute(graph: Graph, xs: tuple[Term, ...], params: Params, shape: Shape) -> Term | None:
    (x,), axes = xs, params["axes"]
    moved = [axis for axis in axes if x.shape[axis] != 1]
    if moved == sorted(moved):
        return reshape(x, shape)
    if x.name == "permute":
        before = x.params["axes"]
        return graph.apply(TABLE["permute"], x.inputs[0], axes=tuple(before[axis] for axis in axes))
    n = len(axes)
    if x.name == "matmul" and axes == (*range(n - 2), n - 1, n - 2):
        a, b = x.inputs
        return graph.apply(x.op, swapped(b), swapped(a)) if x.op is not None else None
    return None


def _cast(graph: Graph, xs: tuple[Term, ...], params: Params, shape: Shape) -> Term | None:
    return xs[0] if xs[0].dtype == params["dtype"] else None


def _concat(graph: Graph, xs: tuple[Term, ...], params: Params, shape: Shape) -> Term | None:
    return xs[0] if len(xs) == 1 else None


_RULES: dict[str, Callable[..., Term | None]] = {
    "reshape": _reshape,
    "expand": _expand,
    "permute": _permute,
    "cast": _cast,
    "concat": _concat,
    **averaged.RULES,
    **contracted.RULES,
}
