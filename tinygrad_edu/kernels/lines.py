"""What goes along one axis of an array: the lines of elements, and how a kernel walks them.

An array is walked as `outer` x `count` x `inner` elements, of which the middle axis is the one in
question. Where `inner` is more than 1, several neighbours go along it at once, in vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels.control import I64, function, loop
from tinygrad_edu.kernels.lanes import STORED

ARGUMENTS = ("out", "x", "outer", "count", "inner")
"""Of all these kernels."""

WIDTH = 8
"""Neighbours that go along the axis together."""

Body = Callable[[Any, int], None]


def lines(b: ir.IRBuilder, x: dict[str, Any], body: Body, widths: tuple[int, ...]) -> None:
    """body(first, width) for each line along the axis, or so many lines side by side; `first` is
    the number of the element where they start."""
    with loop(b, I64(0), x["outer"], 1) as o:
        row = b.mul(o, b.mul(x["count"], x["inner"]))
        start: Any = I64(0)
        for width in widths:
            stop = b.and_(x["inner"], I64(-width))
            with loop(b, start, stop, width) as i:
                body(b.add(row, i), width)
            start = stop


def vector_of(element: ir.Type, width: int) -> ir.Type:
    """The type of so many elements side by side."""
    return element if width == 1 else ir.VectorType(element, width)


def slot(b: ir.IRBuilder, kind: ir.Type) -> Any:
    """Memory for a number that changes, at the function's beginning."""
    with b.goto_entry_block():
        return b.alloca(kind)


class Array:
    """An argument that is the address of an array."""

    def __init__(self, b: ir.IRBuilder, address: Any, element: ir.Type, size: int) -> None:
        self.b, self.address, self.element, self.size = b, address, element, size

    def _place(self, i: Any, width: int) -> Any:
        place = self.b.add(self.address, self.b.mul(i, I64(self.size)))
        return self.b.inttoptr(place, vector_of(self.element, width).as_pointer())

    def load(self, i: Any, width: int = 1) -> Any:
        """Elements from number i on."""
        value = self.b.load(self._place(i, width))
        value.align = self.size
        return value

    def store(self, value: Any, i: Any, width: int = 1) -> None:
        """Set them."""
        self.b.store(value, self._place(i, width), align=self.size)


def arrays(
    name: str, dtype: np.dtype[Any], result: np.dtype[Any]
) -> tuple[ir.Module, ir.IRBuilder, Callable[[int], Any], dict[str, Any]]:
    """A kernel that is to be written: its module, the builder, what loads argument q, and the
    arguments by name, of which `out` and `x` are arrays."""
    module, b, argument = function(name)
    x: dict[str, Any] = {key: argument(q) for q, key in enumerate(ARGUMENTS)}
    x["out"] = Array(b, x["out"], STORED[result], result.itemsize)
    x["x"] = Array(b, x["x"], STORED[dtype], dtype.itemsize)
    return module, b, argument, x
