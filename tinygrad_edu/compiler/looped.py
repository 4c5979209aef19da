"""Terms that a kernel of their own computes: what picks by position, and what goes along an axis.

Positions are looked at once, by the op `positions` (see `lower`); the kernels that use them trust
them. `call_of` says how a term is computed; None is for terms that are left to NumPy.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_edu.compiler import windowed
from tinygrad_edu.compiler.called import OUT, REPORT, SCRATCH, Argument, Call, Shared
from tinygrad_edu.compiler.lower import base
from tinygrad_edu.compiler.term import Term
from tinygrad_edu.kernels import indexed, native, scans, sorting
from tinygrad_edu.kernels.indexed import INT32, INT64, Walk
from tinygrad_edu.kernels.lanes import TYPES
from tinygrad_edu.ops.positions import out_of_range
from tinygrad_edu.ops.structural import Key
from tinygrad_edu.ops.table import TABLE


def call_of(t: Term) -> Call | None:
    """How to compute a term, or None."""
    maker = _MAKERS.get(t.name)
    known = maker is not None and TABLE.get(t.name) is t.op
    if not known or t.dtype not in TYPES or any(x.dtype not in TYPES for x in t.inputs):
        return None
    return maker(t)  # type: ignore[misc]


# ------------------------------------------------------------------------------ along an axis


def _spans(t: Term, x: Term) -> tuple[int, int, int]:
    axis = t.params["axis"]
    return math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])


def _cumsum(t: Term) -> Call:
    (x,) = t.inputs
    kernel = scans.running_sum(t.dtype, t.params["reverse"])
    return Call(((kernel, (OUT, base(x), *_spans(t, x))),))


def _extreme(t: Term) -> Call | None:
    (x,) = t.inputs
    if not x.shape[t.params["axis"]]:
        return None
    kernel = scans.extreme(x.dtype, t.name == "argmax")
    return Call(((kernel, (OUT, base(x), *_spans(t, x))),))


def _argsort(t: Term) -> Call:
    (x,) = t.inputs
    kernel, spans = sorting.sort(x.dtype, t.params["descending"]), _spans(t, x)
    return Call(
        ((kernel, (OUT, base(x), *spans, (SCRATCH, 0))),), scratch=sorting.sort_bytes(spans[1])
    )


# ------------------------------------------------------------------------------ by position


def _positions(t: Term) -> Call | None:
    (index,) = t.inputs
    if index.dtype not in (INT32, INT64):
        return None
    size, wraps, ignored = (t.params[name] for name in ("size", "wraps", "ignored"))
    first = -size if wraps else 0
    ignores = (int(ignored is not None), ignored or 0)
    arguments = (base(index), OUT, index.size, size, first, *ignores, REPORT)
    names = {name: t.params[name] for name in ("size", "wraps", "name", "where")}
    error = functools.partial(out_of_range, **names)
    return Call(((indexed.checked(index.dtype), arguments),), error=error)


@dataclass(frozen=True)
class Space:
    """What a key addresses: for each axis of it the extent, the distance in bytes of one element
    from the next and the distances in elements of the positions; all of it after an offset in
    bytes. `distances` in bytes are those of one position from the next."""

    axes: tuple[tuple[int, int, tuple[int, ...]], ...]
    offset: int
    distances: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what is addressed."""
        return tuple(extent for extent, _, _ in self.axes)

    @property
    def collapsed(self) -> Space:
        """The same with neighbouring axes joined where that can be."""
        joined: list[tuple[int, int, tuple[int, ...]]] = []
        for extent, step, steps in self.axes:
            if extent == 1:
                continue
            wide = (extent * step, tuple(extent * s for s in steps))
            if joined and joined[-1][1:] == wide:
                joined[-1] = (joined[-1][0] * extent, step, steps)
            else:
                joined.append((extent, step, steps))
        return Space(tuple(joined), self.offset, self.distances)


def space_of(
    key: Key, shape: Sequence[int], itemsize: int, indices: Sequence[tuple[int, ...]]
) -> Space:
    """What a key with index arrays of these shapes addresses in an array of this shape.

    Integers count as index arrays. If these stand side by side, their axes come in place of those
    they index, else in front (NumPy's rule of advanced indexing).
    """
    strides = [math.prod(shape[d + 1 :]) * itemsize for d in range(len(shape))]
    common = np.broadcast_shapes(*indices)
    offset, axis, taken = 0, 0, sum(p is not None and p is not Ellipsis for p in key.parts)
    plain: list[tuple[int, int, tuple[int, ...]]] = []
    none = (0,) * len(indices)
    distances: list[int] = []
    advanced: list[int] = []
    before = 0
    parts = key.parts if Ellipsis in key.parts else (*key.parts, ...)
    for number, part in enumerate(parts):
        if part is None:
            plain.append((1, 0, none))
        elif part is Ellipsis:
            for _ in range(len(shape) - taken):
                plain.append((shape[axis], strides[axis], none))
                axis += 1
        elif isinstance(part, slice):
            start, stop, step = part.indices(shape[axis])
            offset += start * strides[axis]
            plain.append((len(range(start, stop, step)), step * strides[axis], none))
            axis += 1
        else:
            if not advanced:
                before = len(plain)
            advanced.append(number)
            if part is Key.ARRAY:
                distances.append(strides[axis])
            else:
                offset += (part + shape[axis] if part < 0 else part) * strides[axis]
            axis += 1
    apart = advanced[-1] - advanced[0] + 1 != len(advanced)
    at = 0 if apart else before
    steps = [_steps(own, common) for own in indices]
    looked = [(n, 0, tuple(s[d] for s in steps)) for d, n in enumerate(common)]
    return Space((*plain[:at], *looked, *plain[at:]), offset, tuple(distances))


def _steps(own: tuple[int, ...], common: tuple[int, ...]) -> list[int]:
    """Distances in an index array that is repeated to the common shape."""
    padded = (1,) * (len(common) - len(own)) + own
    return [0 if n == 1 else math.prod(padded[d + 1 :]) for d, n in enumerate(padded)]


def _walk(
    what: str, t: Term, indices: Sequence[Term], space: Space, dtype: Any, elements: Argument,
    memory: Argument,
) -> tuple[int, tuple[Argument, ...]]:  # fmt: skip
    """The kernel that goes over a space, and its arguments but the array in the space's order."""
    space = space.collapsed
    varies = tuple(tuple(s != 0 for s in steps) for _, _, steps in space.axes)
    runs = bool(space.axes) and space.axes[-1][1] == dtype.itemsize and not any(varies[-1])
    walk = Walk(what, dtype, varies, len(indices), runs and what == "read")
    arguments: list[Argument] = [elements, memory, space.offset]
    for index, distance in zip(indices, space.distances, strict=True):
        arguments += [base(index), distance]
    for extent, step, steps in space.axes:
        arguments += [extent, step, *(s * INT64.itemsize for s in steps if s)]
    return walk.address, tuple(arguments)


def _fits(shape: Sequence[int], indices: Sequence[Term]) -> bool:
    """Whether the kernels can do it: there is something to read, and positions are int64."""
    return bool(math.prod(shape) and indices) and all(i.dtype == INT64 for i in indices)


def _getitem(t: Term) -> Call | None:
    x, *indices = t.inputs
    if not _fits(x.shape, indices):
        return None
    shapes = [i.shape for i in indices]
    space = space_of(t.params["key"], x.shape, t.dtype.itemsize, shapes)
    assert space.shape == t.shape
    return Call((_walk("read", t, indices, space, t.dtype, OUT, base(x)),))


def _scatter(t: Term) -> Call | None:
    x, *indices = t.inputs
    if not _fits(t.shape, indices):
        return None
    shapes = [i.shape for i in indices]
    space = space_of(t.params["key"], t.shape, t.dtype.itemsize, shapes)
    if space.shape != x.shape:
        return None
    zeros = (native.fill_zero(), (OUT, t.nbytes))
    kernels = (zeros, _walk("add", t, indices, space, t.dtype, base(x), OUT))
    return Call(kernels, shared=_scattered(t, *indices))


def _scattered(t: Term, *indices: Term) -> Shared | None:
    """What a pooling's windows get lies in their own image, so threads may share the images."""
    positions = base(indices[0])
    if positions.name != "max_pool_positions" or t.shape != (positions.inputs[0].size,):
        return None
    (x,), size = positions.inputs, t.dtype.itemsize
    images = x.shape[0]
    if len(x.shape) == len(positions.params["kernel"]):
        return None
    windows, image = positions.size // images, x.size // images * size

    def part(start: int, count: int) -> Call:
        zeros = (native.fill_zero(), ((OUT, start * image), count * image))
        line = Space(((count * windows, 0, (1,)),), 0, (size,))
        elements = (base(t.inputs[0]), start * windows * size)
        kernel, arguments = _walk("add", t, indices, line, t.dtype, elements, OUT)
        index = (positions, start * windows * INT64.itemsize)
        own = tuple(index if x is positions else x for x in arguments)
        return Call((zeros, (kernel, own)))

    return Shared(images, part, (windows * size, windows * INT64.itemsize), image)


def _last_writer(t: Term) -> Call | None:
    indices, shape = t.inputs, t.params["shape"]
    if not _fits(shape, indices):
        return None
    space = space_of(t.params["key"], shape, INT64.itemsize, [i.shape for i in indices])
    memory = (SCRATCH, 0)
    kernels = (
        _walk("mark", t, indices, space, INT64, OUT, memory),
        _walk("compare", t, indices, space, INT64, OUT, memory),
    )
    return Call(kernels, scratch=math.prod(shape) * INT64.itemsize)


_MAKERS: dict[str, Callable[[Term], Call | None]] = {
    "cumsum": _cumsum,
    "argmax": _extreme,
    "argmin": _extreme,
    "argsort": _argsort,
    "positions": _positions,
    "getitem": _getitem,
    "scatter": _scatter,
    "last_writer": _last_writer,
    "max_pool": windowed.max_pool,
    "max_pool_positions": windowed.max_pool,
    "avg_pool": windowed.sum_pool,
    "avg_pool_input": windowed.sum_pool,
    "convolution": windowed.convolution,
    "convolution_input": windowed.convolution,
    "convolution_weight": windowed.convolution,
}
