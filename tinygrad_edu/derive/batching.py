"""How each kind of op takes a batch axis: from a graph traced on one example to one that runs all.

A value that differs between the examples has one more axis, in front; one that does not is left as
it is. So a rule only says where the op's own axes have moved to. An op without a rule runs example
by example, which is right for every op, and slow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.derive import batching_windows  # noqa: F401 - enters its rules
from tinygrad_edu.derive.batched import RULES, Batched, Rule, aligned, register
from tinygrad_edu.derive.walk import ordered
from tinygrad_edu.graph import modes
from tinygrad_edu.graph.functions import stack
from tinygrad_edu.graph.layout import movedim
from tinygrad_edu.graph.node import Node
from tinygrad_edu.graph.reader import apply, graph_reader
from tinygrad_edu.graph.tensor import Tensor, make
from tinygrad_edu.ops.fused import Fused
from tinygrad_edu.ops.kinds import Elementwise
from tinygrad_edu.ops.structural import Key
from tinygrad_edu.ops.table import Op


def run(roots: Sequence[Node], known: dict[Node, Batched], size: int) -> list[Batched]:
    """The values of traced nodes, from those of the traced inputs; what does not depend on these is
    the same for all examples. What was not to be differentiated in the trace is not here, either.
    """
    values = dict(known)
    recording = modes.is_grad_enabled()
    for node in ordered(roots, constants=True):
        if node in values:
            continue
        operands = [values[x] for x in node.inputs]
        if not any(x.varied for x in operands):
            values[node] = Batched(make(node), False)
            continue
        assert node.op is not None
        with modes.set_grad_enabled(recording and node.requires_grad):
            batched = rule_of(node.op)(node.op, operands, size, node.params)
        values[node] = Batched(batched, True)
    return [values[root] for root in roots]


def rule_of(op: Op) -> Rule:
    """How this op takes a batch axis."""
    if op.name in RULES:
        return RULES[op.name]
    if isinstance(op, Elementwise):
        return _elementwise
    return _by_definition if isinstance(op, Fused) else _one_by_one


# ------------------------------------------------------------------------------ any op


def _elementwise(op: Op, xs: Sequence[Batched], size: int, params: Mapping[str, Any]) -> Tensor:
    rank = max(x.rank for x in xs)
    return apply(op, *(aligned(x, rank) for x in xs), **params)


def _by_definition(op: Op, xs: Sequence[Batched], size: int, params: Mapping[str, Any]) -> Tensor:
    assert isinstance(op, Fused)
    one = [x.example() for x in xs]
    with modes.enable_grad():
        result = op.definition(graph_reader(one[0].dtype), *one, **params)
    known = {traced.node: x for traced, x in zip(one, xs, strict=True) if x.varied}
    return run([result.node], known, size)[0].spread(size)


def _one_by_one(op: Op, xs: Sequence[Batched], size: int, params: Mapping[str, Any]) -> Tensor:
    if not size:
        shape, dtype = op.infer(*(x.example() for x in xs), **params)
        return make(Node(np.zeros((0, *shape), dtype)))
    examples = ([x.tensor[i] if x.varied else x.tensor for x in xs] for i in range(size))
    return stack([apply(op, *example, **params) for example in examples])


# ------------------------------------------------------------------------------ axes that move


@register("sum", "amax", "amin", "mean")
def _reduced(op: Op, xs: Sequence[Batched], size: int, params: Mapping[str, Any]) -> Tensor:
    axes = tuple(axis + 1 for axis in params["axes"])
    return apply(op, xs[0].tensor, **{**params, "axes": axes})


@register("cumsum", "argmax", "argmin", "argsort", "softmax", "log_softmax")
def _along(op: Op, xs: Sequence[Batched], size: int, params: Mapping[str, Any]) -> Tensor:
    return apply(op, xs[0].tensor, **{**params, "axis": params["axis"] + 1})


@register("positions")
def _positions(op: Op, xs: Sequence[Batched], size: int, params: Mapping[str, Any]) -> Tensor:
    return apply(op, xs[0].tensor, **params)


@register("concat")
def _joined(op: Op, xs: Sequence[Batched], size: int, params: Mapping[str, Any]) -> Tensor:
    return apply(op, *(x.spread(size) for x in xs), axis=params["axis"] + 1)


@register("reshape")
def _reshaped(op: Op, xs: Sequence[Batched], size: int, params: Mapping[str, Any]) -> Tensor:
    return apply(op, xs[0].tensor, shape=(size, *params["shape"]))


@register("expand")
def _expanded(op: Op, xs: Sequence[Batched], size: int, params: Mapping[str, Any]) -> Tensor:
    shape = params["shape"]
    return apply(op, aligned(xs[0], len(shape)), shape=(size, *shape))


@register("permute")
def _permuted(op: Op, xs: Sequence[Batched], size: int, params: Mapping[str, Any]) -> Tensor:
    return apply(op, xs[0].tensor, axes=(0, *(axis + 1 for axis in params["axes"])))


@register("cast")
def _cast(op: Op, xs: Sequence[Batched], size: int, params: Mapping[str, Any]) -> Tensor:
    return apply(op, xs[0].tensor, **params)


@register("matmul")
def _multiplied(op: Op, xs: Sequence[Batched], size: int, params: Mapping[str, Any]) -> Tensor:
    a, b = xs
    if not b.varied and b.rank == 2:  # one large product instead of many small ones
        rows = a.tensor.shape[:-1]
        flat = apply(ops.reshape, a.tensor, shape=(math.prod(rows), a.tensor.shape[-1]))
        product = apply(op, flat, b.tensor)
        return apply(ops.reshape, product, shape=(*rows, product.shape[-1]))
    rank = max(a.rank, b.rank)
    return apply(op, aligned(a, rank), aligned(b, rank))


# ------------------------------------------------------------------------------ indexing


@register("getitem")
def _read(op: Op, xs: Sequence[Batched], size: int, params: Mapping[str, Any]) -> Tensor:
    x, *indices = xs
    place = _Place(params["key"], indices, x.rank)
    if place.keeps_its_axes:
        return apply(op, x.tensor, *(i.tensor for i in indices), key=place.after_batch)
    read = apply(op, x.spread(size), *place.indices(size), key=place.with_batch)
    return movedim(read, place.behind_batch, place.in_result)


@register("scatter")
def _written(op: Op, xs: Sequence[Batched], size: int, params: Mapping[str, Any]) -> Tensor:
    x, *indices = xs
    shape = (size, *params["shape"])
    place = _Place(params["key"], indices, len(params["shape"]))
    if place.keeps_its_axes:
        return apply(op, x.tensor, *(i.tensor for i in indices), key=place.after_batch, shape=shape)
    values = movedim(x.spread(size), place.in_result, place.behind_batch)
    return apply(op, values, *place.indices(size), key=place.with_batch, shape=shape)


@register("last_writer")
def _last_writer(op: Op, xs: Sequence[Batched], size: int, params: Mapping[str, Any]) -> Tensor:
    shape = (size, *params["shape"])
    place = _Place(params["key"], xs, len(params["shape"]))
    last = apply(op, *place.indices(size), key=place.with_batch, shape=shape)
    return movedim(last, place.behind_batch, place.in_result)


class _Place:
    """What a key addresses, with a batch axis before it.

    If no index varies and the index arrays stand side by side, the batch axis is one more slice.
    Else the number of the example becomes an index array as well. Then NumPy puts the axes of the
    index arrays right behind the batch axis, where `in_result` says where they are in one example:
    in front if the index arrays stand apart, else in place of the axes they index.
    """

    def __init__(self, key: Key, indices: Sequence[Batched], rank: int) -> None:
        self._given = indices
        self._common = max((i.rank for i in indices), default=0)
        parts = key.parts
        # Beside index arrays integers count as such.
        arrays = [
            p for p, part in enumerate(parts) if part is Key.ARRAY or isinstance(part, int)
        ] if indices else []  # fmt: skip
        apart = arrays != list(range(arrays[0], arrays[-1] + 1)) if arrays else False
        self.keeps_its_axes = not apart and not any(i.varied for i in indices)
        self.after_batch = Key((slice(None), *parts))
        self.with_batch = Key((Key.ARRAY, *parts))
        self.behind_batch = tuple(range(1, 1 + self._common))
        taken = sum(part is not None and part is not Ellipsis for part in parts)
        before = () if apart or not arrays else parts[: arrays[0]]
        first = 1 + sum(rank - taken if part is Ellipsis else 1 for part in before)
        self.in_result = tuple(range(first, first + self._common))

    def indices(self, size: int) -> list[Tensor]:
        """The number of the example and the index arrays, in shapes that broadcast."""
        examples = np.arange(size).reshape(size, *(1,) * self._common)
        return [make(Node(examples)), *(aligned(i, self._common) for i in self._given)]
