"""Shapes and layouts of terms."""

from __future__ import annotations

from tinygrad_edu.compiler.term import Term
from tinygrad_edu.ops.table import TABLE

Shape = tuple[int, ...]


def reshape(x: Term, shape: Shape) -> Term:
    """x under another shape."""
    return x.graph.apply(TABLE["reshape"], x, shape=tuple(shape))


def swapped(x: Term) -> Term:
    """The matrix transpose of the last two axes."""
    n = len(x.shape)
    return x.graph.apply(TABLE["permute"], x, axes=(*range(n - 2), n - 1, n - 2))


def squeezed(shape: Shape) -> Shape:
    """The shape without axes of size 1."""
    return tuple(size for size in shape if size != 1)


def splits_rows(x: Term) -> bool:
    """Whether x is a matrix under a shape with more leading axes."""
    inner = x.inputs[0].shape
    return len(inner) == 2 and len(x.shape) > 2 and inner[1] == x.shape[-1] > 1
