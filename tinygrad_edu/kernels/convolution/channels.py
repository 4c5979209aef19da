"""Convolution with channels in the lanes of vectors.

A result has many channels, so a vector of them is summed at once: each number of a window, the same
for all, times a vector of factors. In what is read the numbers may lie anywhere, so only results
(and, in the transpose by the weight, the other factor) are transposed, in registers, between
channels of pixels and pixels of channels. With one channel to each group (depthwise) there is no
number that is the same for all lanes: groups are the lanes, and what is read is transposed as well.

This module is loaded with LLVM, on first use.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.kernels import door
from tinygrad_edu.kernels.convolution.channel_loops import Copy, Outer, Products
from tinygrad_edu.kernels.convolution.channel_program import (
    BIAS,
    FACTORS,
    OTHER,
    PADDED,
    RESULT,
    SOURCE,
    SUMS,
    Channels,
    Program,
    channels_of,
    machine,
    panels,
    starts,
)
from tinygrad_edu.kernels.convolution.sweep import (
    Line,
    Sweep,
    forward_sweep,
    job_table,
    padded,
    pairs,
    plain,
    sums,
    transposed_sweep,
)
from tinygrad_edu.kernels.convolution.windows import Sizes, Windows

_CHUNK_BYTES = 1 << 19
"""What is read and written for a few images: half of a common L2 cache."""

REALS = (np.dtype(np.float32), np.dtype(np.float64))

Array = Any

# ------------------------------------------------------------------------------ what is summed


class _Layout:
    """A sweep's operands in memory, in chunks of images."""

    def __init__(self, sweep: Sweep, c: Channels, images: int) -> None:
        self.sweep, self.c, self.images = sweep, c, images
        self.source = padded(sweep, c.element)
        self.result = plain(sweep.result, c.row)
        self.copied = c.lanewise or any(map(sum, sweep.padding))
        self.source_image = c.channels * self.source.bytes
        self.result_image = c.groups * self.result.bytes
        self.pixels = math.prod(sweep.result)
        self.chunk = max(1, min(images, _CHUNK_BYTES // (self.source_image + self.result_image)))
        size = c.dtype.itemsize
        self.plane = math.prod(sweep.source) * size
        self.original_image = self.plane * (c.lanes if c.lanewise else c.channels)
        self.turned_image = c.groups * c.lanes * self.pixels * size

    def read(self, program: Program, images: int) -> int:
        """Calls that pad a chunk of the source; the array in which it is then."""
        c, size = self.c, self.c.dtype.itemsize
        if not self.copied:
            return SOURCE
        program.need(PADDED, self.chunk * self.source_image)
        *outer, width = self.sweep.source
        whole = plain(self.sweep.source, size)
        rows = [range(n) for n in outer] + [range(1)]
        reads, writes = (
            sums([grid.places(axis, n) for axis, n in enumerate(rows)])
            for grid in (whole, self.source)
        )
        common = {"out": (PADDED, 0), "source": (SOURCE, 0), "images": images,
                  "out_image": self.source_image, "source_image": self.original_image}  # fmt: skip
        if c.lanewise:
            program.turn(c.lanes, width, pairs(reads, writes), out_row=c.row,
                         source_row=self.plane, **common)  # fmt: skip
        else:
            every = np.arange(c.channels)
            table = pairs(np.add.outer(every * self.plane, reads),
                          np.add.outer(every * self.source.bytes, writes))  # fmt: skip
            program.call(Copy(c.dtype), count=len(table) // 2, jobs=program.table(table),
                         bytes=width * size, **common)  # fmt: skip
        return PADDED

    def turns(self, program: Program, images: int, forth: bool) -> None:
        """Calls that turn the chunk's pixels of channels (in `SUMS`) into the result's channels of
        pixels, or, `forth`, the other operand's channels into pixels."""
        c, size = self.c, self.c.dtype.itemsize
        groups = np.arange(c.groups)
        program.need(SUMS, self.chunk * self.result_image)
        turned = (SUMS, groups * self.result.bytes, self.result_image, c.row, self.pixels)
        plain = (OTHER if forth else RESULT, groups * c.lanes * self.pixels * size,
                 self.turned_image, self.pixels * size, c.lanes)  # fmt: skip
        source, out = (plain, turned) if forth else (turned, plain)
        program.turn(
            source[4], out[4], pairs(source[1], out[1]), images=images,
            source=(source[0], 0), source_image=source[2], source_row=source[3],
            out=(out[0], 0), out_image=out[2], out_row=out[3],
        )  # fmt: skip

    def panels(self, width: int) -> Iterator[tuple[int, int, int, int]]:
        """Of every group and panel of columns: the group, its vectors, the bytes to the panel, and
        those in the source."""
        c = self.c
        vector = machine(c.dtype).lanes * c.dtype.itemsize
        for group in range(c.groups):
            for v, vectors in panels(c.vectors, width):
                inside = v * vector if c.lanewise else group * c.numbers * self.source.bytes
                yield group, vectors, v * vector, inside

    def offsets(self, lines: Sequence[Line]) -> np.ndarray:
        """From a result's place in the source to each number of its window."""
        c = self.c
        shifts = self.source.steps([line.shifts for line in lines])
        starts = np.arange(c.numbers) * self.source.bytes
        return np.asarray(np.add.outer(starts, shifts)).reshape(-1)


_CHUNK, _REST = 0, 1
"""The stages of both programs: a chunk of images, and those that are left."""
_WEIGHTS = 2
"""The stage that turns the weights, before or after."""


def _stages(program: Program, layout: _Layout) -> Iterator[int]:
    """The images of `_CHUNK` and `_REST`, each a stage."""
    for images in (layout.chunk, layout.images % layout.chunk):
        program.stage()
        if images:
            yield images


def _sweeping(
    sweep: Sweep, c: Channels, kernel: Sizes, images: int, backward: bool
) -> tuple[Program, int]:
    """The program of `convolve` or, `backward`, of `convolve_input`, and the images of a chunk."""
    program, layout, size = Program(c.dtype), _Layout(sweep, c, images), c.dtype.itemsize
    taps = math.prod(kernel)
    depth = c.numbers * taps
    for count in _stages(program, layout):
        source = layout.read(program, count)
        for lines in sweep.phases():
            _phase(program, layout, lines, kernel, source, count)
        layout.turns(program, count, forth=False)
    program.stage()
    program.need(FACTORS, c.groups * depth * c.row)
    # In w the lanes are outermost within a group, or within each of its source channels.
    apart, columns = (c.groups * c.numbers, taps) if backward else (c.groups, depth)
    each = np.arange(apart) * columns
    program.turn(c.lanes, columns, pairs(each * c.lanes * size, each * c.row),
                 out=(FACTORS, 0), source=(OTHER, 0), out_row=c.row,
                 source_row=columns * size)  # fmt: skip
    program.images = {SOURCE: layout.original_image, RESULT: layout.turned_image}
    program.finish(layout.chunk * layout.pixels * c.lanes)
    return program, layout.chunk


def _phase(
    program: Program, layout: _Layout, lines: Sequence[Line], kernel: Sizes, source: int,
    images: int,
) -> None:  # fmt: skip
    """Calls that sum one phase's results."""
    c, last = layout.c, lines[-1]
    pixels, width = c.tile(last.results)
    each = math.prod(kernel) * c.row
    taps = plain(kernel, c.row).steps([line.taps for line in lines])
    rows = np.add.outer(np.arange(c.numbers) * each, taps)
    steps = pairs(layout.offsets(lines), rows.reshape(-1))
    table = job_table(layout.source, layout.result, lines, starts(last.results, pixels))
    tables = {"jobs": program.table(table), "steps": program.table(steps)}
    for group, vectors, v, inside in layout.panels(width):
        step = last.source_step * c.element
        program.call(
            Products(c.dtype, pixels, vectors, step, c.lanewise), images=images,
            source=(source, inside), source_image=layout.source_image,
            out=(SUMS, group * layout.result.bytes + v), out_image=layout.result_image,
            out_step=last.step * c.row, factors=(FACTORS, group * c.numbers * each + v),
            bias=(BIAS, group * c.row + v), count=len(table) // 2, depth=len(steps) // 2, **tables,
        )  # fmt: skip


_PIXELS = 2048
"""Products that are added up in one register, so that rounding errors stay small: above it, sums
of sums are taken."""


def _gathering(sweep: Sweep, c: Channels, images: int) -> tuple[Program, int]:
    """The program of `convolve_weight`, and the images of a chunk."""
    program, size = Program(c.dtype), c.dtype.itemsize
    layout = _Layout(sweep, c, images)
    layout.chunk = max(1, min(layout.chunk, _PIXELS // layout.pixels))
    (lines,) = sweep.phases()
    depth = c.numbers * math.prod(len(line.taps) for line in lines)
    program.need(FACTORS, c.groups * depth * c.row)
    for count in _stages(program, layout):
        source = layout.read(program, count)
        layout.turns(program, count, forth=True)
        _outer(program, layout, lines, source, count)
    program.stage()
    each = np.arange(c.groups) * depth
    program.turn(depth, c.lanes, pairs(each * c.row, each * c.lanes * size),
                 out=(RESULT, 0), source=(FACTORS, 0), out_row=depth * size,
                 source_row=c.row)  # fmt: skip
    program.images = {SOURCE: layout.original_image, OTHER: layout.turned_image}
    program.finish(layout.chunk * layout.pixels * c.lanes)
    return program, layout.chunk


def _outer(
    program: Program, layout: _Layout, lines: Sequence[Line], source: int, images: int
) -> None:
    """Calls that add a chunk's share to all factors."""
    c, last, offsets = layout.c, lines[-1], layout.offsets(lines)
    height, width = c.tile(len(offsets))
    table = job_table(layout.source, layout.result, lines, [0])
    most = 2 * max(1, _PIXELS // last.results)
    step = last.source_step * c.element
    for group, vectors, v, inside in layout.panels(width):
        for row, start in product(range(0, len(offsets), height), range(0, len(table), most)):
            part, rows = table[start : start + most], offsets[row : row + height]
            program.call(
                Outer(c.dtype, len(rows), vectors, step, c.lanewise), images=images,
                source=(source, inside), source_image=layout.source_image,
                out=(FACTORS, (group * len(offsets) + row) * c.row + v), out_row=c.row,
                other=(SUMS, group * layout.result.bytes + v), other_step=c.row,
                other_image=layout.result_image, width=last.results,
                count=len(part) // 2, jobs=program.table(part), starts=program.table(rows),
            )  # fmt: skip


# ------------------------------------------------------------------------------ running


_LEAST_USED = 0.5
"""The part of the lanes that must be used, or other schemes are faster."""

_LEAST_TILE = 4
"""Sums in a tile, below which most of the time is spent waiting for the last one."""


def suits(outer: int, inner: int, groups: int, width: int, dtype: np.dtype[Any]) -> bool:
    """Whether there are kernels for so many result and source channels in a group, rows of this
    many results fill the registers, and vectors are at least half used."""
    if dtype not in REALS or not door.exists():
        return False
    c = channels_of(outer, inner, groups, dtype)
    used = c.lanes * dtype.itemsize / c.row
    return used >= _LEAST_USED and math.prod(c.tile(width)) >= _LEAST_TILE


def _flat(windows: Windows, size: Sizes, counts: Sizes) -> tuple[Windows, Sizes, Sizes]:
    """Windows of single elements, all of them: as in one long row."""
    if size != counts or max(windows.kernel) > 1 or any(map(any, windows.padding)):
        return windows, size, counts
    length = (math.prod(size),)
    return Windows((1,), (1,), ((0, 0),), (1,)), length, length


class Run(NamedTuple):
    """What a convolution runs: stages of its program, each with the image at which it begins; the
    memory it needs besides its operands (bytes by array, all zero at first), and which of it must
    be zero each time."""

    program: Program
    channels: Channels
    stages: list[tuple[int, int]]
    memory: dict[int, int]
    cleared: tuple[int, ...]


Shapes = tuple[Sizes, Sizes, Sizes]
"""Those of a convolution's result and of its two operands."""


def _chunks(images: int, chunk: int) -> list[tuple[int, int]]:
    """For each chunk its stage and first image."""
    starts = range(0, images, chunk)
    return [(_CHUNK if start + chunk <= images else _REST, start) for start in starts]


def _swept(sweep: Sweep, c: Channels, kernel: Sizes, images: int, backward: bool) -> Run:
    program, chunk = _sweeping(sweep, c, kernel, images, backward)
    memory = {**program.scratch, BIAS: c.groups * c.row}
    return Run(program, c, [(_WEIGHTS, 0), *_chunks(images, chunk)], memory, ())


@functools.lru_cache(maxsize=256)
def convolving(shapes: Shapes, dtype: np.dtype[Any], windows: Windows, groups: int) -> Run | None:
    """How to `convolve` arrays of these shapes; None if that does not suit them."""
    y, x, w = shapes
    if not suits(w[0] // groups, w[1], groups, y[-1], dtype):
        return None
    c = channels_of(w[0] // groups, w[1], groups, dtype)
    windows, size, _ = _flat(windows, x[2:], y[2:])
    return _swept(forward_sweep(windows, size), c, windows.kernel, x[0], False)


@functools.lru_cache(maxsize=256)
def convolving_input(
    shapes: Shapes, dtype: np.dtype[Any], windows: Windows, groups: int
) -> Run | None:
    """How to `convolve_input`."""
    x, y, w = shapes
    if not suits(w[1], w[0] // groups, groups, x[-1], dtype):
        return None
    c = channels_of(w[1], w[0] // groups, groups, dtype)
    windows, size, counts = _flat(windows, x[2:], y[2:])
    return _swept(transposed_sweep(windows, size, counts), c, windows.kernel, x[0], True)


@functools.lru_cache(maxsize=256)
def convolving_weight(
    shapes: Shapes, dtype: np.dtype[Any], windows: Windows, groups: int
) -> Run | None:
    """How to `convolve_weight`."""
    w, x, y = shapes
    if not suits(w[0] // groups, w[1], groups, y[-1], dtype):
        return None
    c = channels_of(w[0] // groups, w[1], groups, dtype)
    program, chunk = _gathering(forward_sweep(windows, x[2:]), c, x[0])
    stages = [*_chunks(x[0], chunk), (_WEIGHTS, 0)]
    return Run(program, c, stages, program.scratch, (FACTORS,))


def _sweep(run: Run | None, result: Array, source: Array, w: Array, bias: Array | None) -> None:
    assert run is not None
    program, c = run.program, run.channels
    source, w, own = np.ascontiguousarray(source), np.ascontiguousarray(w), program.memory()
    biases = np.zeros((c.groups, c.row // w.itemsize), w.dtype)
    if bias is not None:
        biases[:, : c.lanes] = bias.reshape(c.groups, c.lanes)
    for stage, image in run.stages:
        program.run(stage, source[image:], w, biases, own, result[image:])


def convolve(
    y: Array, x: Array, w: Array, windows: Windows, groups: int, bias: Array | None
) -> None:
    """Write into y, which is contiguous, what `convolve.convolve` says, of what `suits`."""
    _sweep(convolving((y.shape, x.shape, w.shape), x.dtype, windows, groups), y, x, w, bias)


def convolve_input(x: Array, y: Array, w: Array, windows: Windows, groups: int) -> None:
    """Write into x, which is contiguous, what `convolve.convolve_input` says."""
    _sweep(convolving_input((x.shape, y.shape, w.shape), y.dtype, windows, groups), x, y, w, None)


def convolve_weight(w: Array, x: Array, y: Array, windows: Windows, groups: int) -> None:
    """Write into w, which is contiguous, what `convolve.convolve_weight` says."""
    run = convolving_weight((w.shape, x.shape, y.shape), x.dtype, windows, groups)
    assert run is not None
    x, y, own = np.ascontiguousarray(x), np.ascontiguousarray(y), run.program.memory()
    for stage, image in run.stages:
        run.program.run(stage, x[image:], y[image:], w, own, w)
