"""From operands as users write them to recorded nodes, and the reader in which tensors flow."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu.errors import DTypeError
from tinygrad_edu.graph.node import Node, record
from tinygrad_edu.ops import dtypes
from tinygrad_edu.ops.table import TABLE, Op, Reader

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Tensor

make_tensor: Any = None
"""Wraps a node as a `Tensor`; set by `tensor.py`, which is built on this module."""


def apply(op: Op, *operands: Any, **params: Any) -> Tensor:
    """Run an op on tensors, arrays and Python numbers, recording it where needed."""
    nodes: list[Any] = [getattr(operand, "node", None) for operand in operands]
    if None in nodes:
        nodes = _lift(op, operands, nodes)
    return make_tensor(record(op, nodes, params))  # type: ignore[no-any-return]


def _lift(op: Op, operands: Sequence[Any], nodes: list[Any]) -> list[Node]:
    """Constant nodes for arrays and numbers; numbers take the dtype of the tensors beside them."""
    for i, operand in enumerate(operands):
        if nodes[i] is None and isinstance(operand, np.ndarray | np.generic):
            nodes[i] = Node(np.array(operand))
            dtypes.category(nodes[i].data.dtype)
    valued = [node for node in nodes[op.selects :] if node is not None]
    near = dtypes.promote(valued) if valued else None
    for i, operand in enumerate(operands):
        if nodes[i] is None:
            nodes[i] = Node(np.array(operand, _number_dtype(op, operand, near)))
    return nodes


def _number_dtype(op: Op, operand: Any, near: np.dtype[Any] | None) -> np.dtype[Any]:
    if not isinstance(operand, numbers.Real):
        raise DTypeError(
            f"{op.name}: cannot use {type(operand).__name__} as an operand; pass a Tensor, a NumPy "
            "array or a number (tg.tensor(...) converts nested lists)."
        )
    kept = operand if isinstance(operand, bool | int) else float(operand)
    return dtypes.of_number(kept, near)


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


_graph_readers: dict[np.dtype[Any], GraphReader] = {}


def graph_reader(dtype: np.dtype[Any]) -> GraphReader:
    """The graph reader for results of this dtype (one is kept for each)."""
    reader = _graph_readers.get(dtype)
    if reader is None:
        reader = _graph_readers[dtype] = GraphReader(dtype)
    return reader
