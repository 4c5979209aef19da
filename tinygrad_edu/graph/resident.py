"""Leaves whose number and grad live in arrays, where native code reads and writes them.

A compiled step changes hundreds of parameters in a microsecond; telling each of their Values would
take fifty times that. So the Values move: their class becomes `Resident`, of the same layout, whose
`_data` and `_grad` look into the arrays. Nothing else about them changes.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import TraceError
from tinygrad_edu.graph.value import Value

# The memory that the two attributes have in every Value holds something else in a Resident: its
# cell, and the arrays' version when it was last written on a page of the tape.
_cell: Any = Value.__dict__["_data"]
_version: Any = Value.__dict__["_grad"]
_page: Any = Value.__dict__["_page"]


class _Cells:
    """The arrays, and which of their cells are free."""

    def __init__(self, size: int) -> None:
        self.data, self.grad = np.zeros(size), np.zeros(size)
        self.version = 0
        self._free = list(range(size - 1, -1, -1))
        self._owners: dict[int, weakref.ref[Value]] = {}

    def take(self, owner: Value) -> int:
        """A cell for as long as `owner` lives."""
        if not self._free:
            size = len(self.data)
            self.data = np.concatenate([self.data, np.zeros(size)])
            self.grad = np.concatenate([self.grad, np.zeros(size)])
            self._free.extend(range(2 * size - 1, size - 1, -1))
        cell = self._free.pop()
        self._owners[cell] = weakref.ref(owner, lambda _: self._release(cell))
        return cell

    def _release(self, cell: int) -> None:
        del self._owners[cell]
        self._free.append(cell)


cells = _Cells(1024)
"""Where residents live. The arrays are replaced when they have to grow."""


class Resident(Value):
    """A leaf that lives in `cells`."""

    __slots__ = ()

    @property
    def _data(self) -> float:
        return float(cells.data[_cell.__get__(self)])

    @_data.setter
    def _data(self, data: float) -> None:
        cells.data[_cell.__get__(self)] = data

    @property
    def _grad(self) -> float:
        return float(cells.grad[_cell.__get__(self)])

    @_grad.setter
    def _grad(self, grad: float) -> None:
        cells.grad[_cell.__get__(self)] = grad

    @property
    def _page(self) -> Any:
        # A page that was entered before the cells changed has the old number.
        return _page.__get__(self) if _version.__get__(self) == cells.version else None

    @_page.setter
    def _page(self, page: Any) -> None:
        _page.__set__(self, page)
        _version.__set__(self, cells.version)


def settle(leaves: Sequence[Value]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Make residents of the leaves; their cells.

    Raises `TraceError` for a leaf of a class of the user's, which might have a layout of its own.
    """
    for leaf in leaves:
        if leaf.__class__ is Value:
            data, grad, cell = leaf._data, leaf._grad, cells.take(leaf)
            leaf.__class__ = Resident
            _cell.__set__(leaf, cell)
            leaf._data, leaf._grad, leaf._page = data, grad, None
        elif leaf.__class__ is not Resident:
            raise TraceError(
                f"compile: a leaf is a {type(leaf).__name__}; only Values proper can be compiled."
            )
    return np.array([_cell.__get__(leaf) for leaf in leaves], np.int64)
