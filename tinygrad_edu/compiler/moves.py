"""Terms that only move elements (permute, slices, concatenation), as strided copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinygrad_edu.compiler.term import Term
from tinygrad_edu.kernels.native import COPIED_AXES
from tinygrad_edu.ops.structural import Key
from tinygrad_edu.ops.table import TABLE


@dataclass(frozen=True)
class Move:
    """Copy operand number `source` into the result: for each axis the extent and the distances in
    bytes in the result and in the operand, after an offset into each. The itemsize is 0 where the
    last axis is a run of bytes."""

    source: int
    itemsize: int
    target_offset: int
    source_offset: int
    axes: tuple[tuple[int, int, int], ...]


def moves_of(t: Term) -> tuple[bool, tuple[Move, ...]] | None:
    """Whether the result is zeroed first, and the copies that make it; None for another term."""
    if TABLE.get(t.name) is not t.op or t.dtype != t.inputs[0].dtype:
        return None
    strided = _Strided(t.shape, t.dtype.itemsize)
    sources = [_Strided(x.shape, t.dtype.itemsize) for x in t.inputs]
    zeroed = False
    if t.name == "permute":
        pairs = [(strided.view, sources[0].view.transpose(t.params["axes"]))]
    elif t.name == "getitem" and t.params["key"].is_basic:
        pairs = [(strided.view, sources[0].part(t.params["key"]))]
    elif t.name == "scatter" and t.params["key"].is_basic:
        zeroed = True
        pairs = [(strided.part(t.params["key"]), sources[0].view)]
        if pairs[0][0].shape != sources[0].view.shape:
            return None
    elif t.name == "concat":
        pairs, start, axis = [], 0, t.params["axis"]
        for x, source in zip(t.inputs, sources, strict=True):
            part = (slice(None),) * axis + (slice(start, start + x.shape[axis]),)
            pairs.append((strided.view[part], source.view))
            start += x.shape[axis]
    else:
        return None
    moves = []
    for i, (to, part) in enumerate(pairs):
        if to.size == 0:
            continue
        axes, itemsize = _collapsed(to, part)
        if len(axes) > COPIED_AXES:
            return None
        moves.append(Move(i, itemsize, strided.offset(to), sources[i].offset(part), axes))
    return zeroed, tuple(moves)


class _Strided:
    """A layout without memory: views of it tell strides and offsets."""

    def __init__(self, shape: Sequence[int], itemsize: int) -> None:
        # One element, looked at as the whole array: nothing ever reads it.
        sizes = [itemsize, *shape[:0:-1]] if shape else []
        strides = tuple(int(s) for s in np.cumprod(sizes, dtype=np.int64)[::-1])
        one = np.zeros(1, np.dtype((np.void, itemsize)))
        self.view = np.lib.stride_tricks.as_strided(one, tuple(shape), strides, writeable=False)
        self._start = one.__array_interface__["data"][0]

    def part(self, key: Key) -> np.ndarray:
        """The view that a basic key takes. Without an ellipsis NumPy copies a single element."""
        parts = key.fill(())
        view: np.ndarray = self.view[parts if Ellipsis in parts else (*parts, ...)]
        return view

    def offset(self, view: np.ndarray) -> int:
        """Bytes from the start of the array to that of a view of it."""
        place: int = view.__array_interface__["data"][0] - self._start
        return place


def _collapsed(to: np.ndarray, source: np.ndarray) -> tuple[tuple[tuple[int, int, int], ...], int]:
    """The axes of a copy, neighbours joined where both sides allow; and the size of an element, 0
    if the last axis became a run of bytes."""
    itemsize = to.dtype.itemsize
    axes: list[tuple[int, int, int]] = []
    for extent, a, b in zip(to.shape, to.strides, source.strides, strict=True):
        if extent == 1:
            continue
        if axes and axes[-1][1:] == (extent * a, extent * b):
            axes[-1] = (axes[-1][0] * extent, a, b)
        else:
            axes.append((extent, a, b))
    if not axes or axes[-1][1:] == (itemsize, itemsize):
        run = axes.pop()[0] if axes else 1
        return (*axes, (run * itemsize, 1, 1)), 0
    return tuple(axes), itemsize
