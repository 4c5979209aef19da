"""Embedding: a table whose rows are looked up by number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_edu.errors import ArgumentError, DTypeError, IndexingError, ShapeError
from tinygrad_edu.graph.axes import whole
from tinygrad_edu.graph.creation import zeros
from tinygrad_edu.graph.functions import as_tensor, where
from tinygrad_edu.graph.tensor import Operand, Tensor
from tinygrad_edu.nn import init
from tinygrad_edu.nn.module import Module
from tinygrad_edu.nn.parameter import Draw, Parameter


def embedding(input: Operand, weight: Operand, padding_idx: int | None = None) -> Tensor:
    """Row k of weight (rows, width) for each number k of the input: (...) to (..., width).

    The row `padding_idx` (from the end, if negative) is looked up as well, but gets no gradient.

    Raises:
        DTypeError: Numbers that are no integers. ShapeError: A weight that is no matrix.
        IndexingError: A number outside 0 ... rows - 1. (Negative ones do not count from the end.)
        ArgumentError: A padding_idx that is no row.
    """
    numbers, weight = as_tensor(input), as_tensor(weight)
    if numbers.dtype.kind not in "iu":
        raise DTypeError(f"embedding: rows are looked up by integers, not {numbers.dtype}.")
    if weight.ndim != 2:
        raise ShapeError(f"embedding: weight must be (rows, width), got shape {weight.shape}.")
    if not numbers.node.is_abstract and numbers.numel():
        low, high = numbers.node.data.min(), numbers.node.data.max()
        if low < 0 or high >= len(weight):
            raise IndexingError(
                f"embedding: row numbers run from {low} to {high}; the table has rows 0 to "
                f"{len(weight) - 1}."
            )
    rows = weight[numbers]
    if padding_idx is None:
        return rows
    padding = _row("embedding", padding_idx, len(weight))
    return where((numbers == padding).unsqueeze(-1), rows.detach(), rows)


def _row(name: str, padding_idx: int, rows: int) -> int:
    row = whole(padding_idx)
    if not -rows <= row < rows:
        raise ArgumentError(f"{name}: padding_idx {padding_idx} is no row of {rows}.")
    return row % rows


def _without(draw: Draw, row: int) -> Draw:
    """The same draws with one row of zeros."""

    def drawn(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        values = draw(generator, shape)
        values[row] = 0
        return values

    return drawn


class Embedding(Module):
    """A table of `num_embeddings` vectors that are looked up by number.

    As in torch, weight (num_embeddings, embedding_dim) starts standard normal, and the row
    `padding_idx`, if given, as zeros, which it stays: it gets no gradient.

    Raises:
        ArgumentError: No rows or columns, or a padding_idx that is no row.
        IndexingError, DTypeError: Called with numbers that are no rows.
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        dtype: Any = None,
    ) -> None:
        self.num_embeddings = whole(num_embeddings)
        self.embedding_dim = whole(embedding_dim)
        if min(self.num_embeddings, self.embedding_dim) < 1:
            raise ArgumentError(
                f"Embedding: needs at least one row and one column, got {num_embeddings} and "
                f"{embedding_dim}."
            )
        self.padding_idx = (
            None if padding_idx is None else _row("Embedding", padding_idx, self.num_embeddings)
        )
        self.weight = Parameter(zeros(num_embeddings, embedding_dim, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight)
        law = self.weight.law
        if self.padding_idx is not None and law is not None:
            values = self.weight.node.data.copy()
            values[self.padding_idx] = 0
            self.weight.node.assign(values)
            self.weight.law = replace(law, draw=_without(law.draw, self.padding_idx))

    def forward(self, x: Operand) -> Tensor:
        """(...) whole numbers to (..., embedding_dim)."""
        return embedding(x, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """The arguments it was made with."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
