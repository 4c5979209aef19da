"""From operands as users write them to recorded nodes, and the reader in which tensors flow."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu.errors import ArgumentError, DTypeError, TraceError
from tinygrad_edu.graph.node import Abstract, Node, record, tracing
from tinygrad_edu.kernels import alignment
from tinygrad_edu.ops import dtypes
from tinygrad_edu.ops.fused import Fused
from tinygrad_edu.ops.table import TABLE, Op, Reader

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Tensor

make_tensor: Any = None
"""Wraps a node as a `Tensor`; set by `tensor.py`, which is built on this module."""

_ARRAYS = (np.ndarray, np.generic)
_NUMBERS = (float, int, bool)


def apply(op: Op, *operands: Any, **params: Any) -> Tensor:
    """Run an op on tensors, arrays and Python numbers, recording it where needed."""
    nodes: list[Any] = [getattr(operand, "node", None) for operand in operands]
    if None in nodes:
        _lift(op, operands, nodes)
    return make_tensor(record(op, nodes, params))  # type: ignore[no-any-return]


def compose(op: Fused, *operands: Tensor, **params: Any) -> Tensor:
    """Run a fused composite of tensors; where they are only traced, record its definition, unless
    it is to be kept whole. The trace of a training step keeps every composite whole, since its
    derivative is then the short one."""
    nodes = [operand.node for operand in operands]
    if not op.whole and tracing() is None:
        for node in nodes:
            if node.data.__class__ is Abstract:
                reader = graph_reader(operands[0].dtype)
                return op.definition(reader, *operands, **params)  # type: ignore[no-any-return]
    return make_tensor(record(op, nodes, params))  # type: ignore[no-any-return]


def is_operand(x: Any) -> bool:
    """Whether `x` may stand beside a tensor in arithmetic."""
    return hasattr(x, "node") or isinstance(x, (*_ARRAYS, numbers.Real))


def _lift(op: Op, operands: Sequence[Any], nodes: list[Any]) -> None:
    """Fill in constant nodes for arrays and numbers; numbers take the dtype of what is beside
    them, a condition its own."""
    for i, operand in enumerate(operands):
        if nodes[i] is None and isinstance(operand, _ARRAYS):
            nodes[i] = leaf(operand)
    valued = [node for node in nodes[op.selects :] if node is not None]
    near = None if not valued else valued[0].dtype if len(valued) == 1 else dtypes.promote(valued)
    for i, operand in enumerate(operands):
        if nodes[i] is None:
            beside = getattr(operand, "node_beside", None)  # a number that a trace keeps open
            dtype = None if i < op.selects else near
            nodes[i] = beside(dtype) if beside else Node(_number(op, operand, dtype))


def _number(op: Op, operand: Any, near: np.dtype[Any] | None) -> np.ndarray:
    """A Python number as a zero-dimensional array."""
    if operand.__class__ not in _NUMBERS:
        if not isinstance(operand, numbers.Real):
            raise DTypeError(
                f"{op.name}: cannot use {type(operand).__name__} as an operand; pass a Tensor, a "
                "NumPy array or a number (tg.tensor(...) converts nested lists)."
            )
        operand = int(operand) if isinstance(operand, int) else float(operand)
    dtype = dtypes.of_number(operand, near)
    try:
        return np.array(operand, dtype)
    except OverflowError:
        raise ArgumentError(
            f"{op.name}: the number {operand} does not fit into {dtype}; convert the tensor with "
            ".long() or .double() first."
        ) from None


def to_array(
    data: Any, dtype: Any = None, whole: np.dtype[Any] = dtypes.int64, name: str = "tensor"
) -> np.ndarray:
    """A fresh array of `data`. Arrays and tensors keep their dtype; Python floats become float32
    and Python integers `whole`."""
    node = getattr(data, "node", None)
    if node is not None:
        if node.is_abstract:
            raise TraceError(
                f"{name}: a copy of a tensor that is being traced has no values; use .detach()."
            )
        data = node.data
    try:
        if data is None:  # to NumPy, NaN
            raise TypeError("None is no number")
        dtype = None if dtype is None else dtypes.named(dtype)
        plain = data.__class__ is np.ndarray and (dtype is None or dtype == data.dtype)
        array = alignment.copied(data) if plain else np.array(data, dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise DTypeError(
            f"{name}: cannot make numbers of {type(data).__name__}: {error}. Nested lists must be "
            "rectangular and hold numbers only."
        ) from None
    category = dtypes.category(array.dtype)
    if dtype is None and category > 0:
        if not _has_dtype(data):
            if array.dtype.kind == "u":  # only for integers above int64's
                raise DTypeError(f"{name}: {array.max()} does not fit into int64.")
            array = array.astype(dtypes.default_float if category == 2 else whole, copy=False)
        elif isinstance(data, list | tuple):
            array = array.astype(functools.reduce(dtypes.promote_pair, _dtypes(data)), copy=False)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array


def _has_dtype(data: Any) -> bool:
    """Whether the data come with a dtype of their own: arrays, or lists of them."""
    while isinstance(data, list | tuple) and data:
        data = data[0]
    return hasattr(data, "dtype")


def _dtypes(data: Any) -> Iterator[np.dtype[Any]]:
    """The dtypes of the elements of nested lists."""
    if isinstance(data, list | tuple):
        for part in data:
            yield from _dtypes(part)
    else:
        yield getattr(data, "dtype", None) or dtypes.of_number(data, None)


def as_tensor(x: Any) -> Tensor:
    """`x` itself if it is a tensor, else a constant tensor of the same values."""
    if getattr(x, "node", None) is not None:
        return x  # type: ignore[no-any-return]
    return make_tensor(leaf(x))  # type: ignore[no-any-return]


def leaf(data: Any, dtype: Any = None, whole: np.dtype[Any] = dtypes.int64) -> Node:
    """A new leaf with a copy of the data. A step that is traced reads the arrays it did not make
    itself anew at each call."""
    now = tracing()
    if now is not None:
        read = now.array(data)
        if read is not None:
            if dtype is None or dtypes.named(dtype) == read.dtype:
                return read  # type: ignore[no-any-return]
            return record(TABLE["cast"], (read,), {"dtype": dtypes.named(dtype)})
    return Node(to_array(data, dtype, whole))


class GraphReader(Reader):
    """Derivative rules on tensors: whatever a rule computes is recorded, so that it can be
    differentiated or traced again."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        super().__init__(apply, dtype=dtype)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        """As the op; two bare numbers take this reader's dtype."""
        if isinstance(a, int | float) and isinstance(b, int | float):
            a = make_tensor(Node(np.array(a, self.dtype)))
        return apply(TABLE["where"], condition, a, b)

    @staticmethod
    def detach(x: Any) -> Any:
        """The same value as a constant."""
        return x.detach()

    @staticmethod
    def zeros_like(x: Any) -> Any:
        """Zeros of the shape and dtype of `x`."""
        return make_tensor(Node(np.zeros(x.shape, x.dtype)))


_graph_readers: dict[np.dtype[Any], GraphReader] = {}


def graph_reader(dtype: np.dtype[Any]) -> GraphReader:
    """The graph reader for results of this dtype (one is kept for each)."""
    reader = _graph_readers.get(dtype)
    if reader is None:
        reader = _graph_readers[dtype] = GraphReader(dtype)
    return reader
