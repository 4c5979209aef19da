"""How a matrix product is cut into register tiles; `tiled` computes it.

A tile is a block of the result that stays in registers while the depth is walked: `height` rows of
`width` vectors. In each step of the depth the row's vectors of B are loaded once and every row
multiplies them by its own element of A: height x width multiplications for height + width loads, so
the multipliers are what limits it. A product of a training step is small enough to live in the
caches, so nothing is packed but a transposed B, panel by panel, which must be turned around anyway.

The result is cut into panels of `width` and `width - 1` vectors and blocks of `height` and
``height - 1`` rows, so that none is much smaller than the others; the lanes of the last vector that
stand beyond the matrix are masked.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.kernels import llvm

_REGISTERS = 32
_LARGEST = 1e8
"""m n k from which the operands leave the second cache, and BLAS, which packs them, wins."""
_DEEPEST = 2048
"""A sum is formed in one register, so its rounding error grows with the depth."""
_FEWEST_ROWS, _USED, _USED_IF_SMALL, _SMALL = 4, 0.9, 0.55, 5e5
"""BLAS wins where there are fewer rows, or where fewer of the lanes are columns of the result than
the one part of them, or, below this m n k, the other."""
_AT_ONCE = 512
"""Depth that is walked at a time: a panel of B so deep stays in the second cache."""
_NEAR_BYTES = 16_384
"""A panel of B up to which it stays in the first cache beside everything else."""
_CLOSE = 0.03
"""A difference of estimates that means nothing."""
_HIGHEST, _WIDEST = 8, 5
"""Rows and vectors of a tile."""


class Tiles(NamedTuple):
    """The tiles of a product: the most rows and vectors of one, how many blocks of rows have
    `height` of them and how many one less, and the same for panels of vectors."""

    height: int
    width: int
    high_blocks: int
    low_blocks: int
    wide_panels: int
    narrow_panels: int


def suits(m: int, n: int, k: int, dtype: np.dtype[Any], target: llvm.Target | None = None) -> bool:
    """Whether a product is computed in tiles."""
    target = target or llvm.host()
    if not target.masks or dtype.kind != "f" or dtype.itemsize not in (4, 8):
        return False
    lanes = 64 // dtype.itemsize
    least = _USED_IF_SMALL if m * n * k < _SMALL else _USED
    enough = m >= _FEWEST_ROWS and n > least * lanes * -(-n // lanes)
    return enough and 0 < k <= _DEEPEST and m * n * k <= _LARGEST


@functools.cache
def tiles(m: int, n: int, k: int, itemsize: int) -> Tiles:
    """The tiles for a result of m rows of n elements: of those that are estimated to take least, or
    hardly more, the ones with the shortest kernel, which many results then share."""
    vectors = -(-n * itemsize // 64)
    shapes = [
        (height, width)
        for height, width in itertools.product(range(1, _HIGHEST + 1), range(1, _WIDEST + 1))
        if height * width + width + 1 <= _REGISTERS and height <= m and width <= vectors
    ]
    found = {_cut(m, vectors, height, width) for height, width in shapes}
    cycles = {t: _cycles(t, k) for t in found}
    most = (1 + _CLOSE) * min(cycles.values())
    return min((t for t in found if cycles[t] <= most), key=_text)


def _cut(m: int, vectors: int, height: int, width: int) -> Tiles:
    blocks, panels = -(-m // height), -(-vectors // width)
    height, width = -(-m // blocks), -(-vectors // panels)
    low, narrow = blocks * height - m, panels * width - vectors
    return Tiles(height, width, blocks - low, low, panels - narrow, narrow)


def _text(t: Tiles) -> tuple[int, Tiles]:
    """How long the kernel's text is: multiplications of all kinds of tiles."""
    heights = 2 * t.height - 1 if t.low_blocks else t.height
    widths = 2 * t.width - 1 if t.narrow_panels else t.width
    return heights * widths, t


def _cycles(t: Tiles, k: int) -> float:
    """Estimated cycles for a step of the depth, for a processor that multiplies and loads two
    vectors at a time, waits four cycles for a sum, and three for each vector of a panel that does
    not stay in the first cache."""
    total = 0.0
    for height, blocks in ((t.height, t.high_blocks), (t.height - 1, t.low_blocks)):
        for width, panels in ((t.width, t.wide_panels), (t.width - 1, t.narrow_panels)):
            waiting = 3.0 * width if 64 * width * k > _NEAR_BYTES else 0.0
            busy = max(height * width / 2, (height + width) / 2, 5.0, waiting) + 0.25
            total += blocks * panels * busy
    return total


def depth_of(k: int) -> int:
    """How much of the depth is walked at a time, in parts of about one size."""
    parts = -(-k // _AT_ONCE)
    return k if parts == 1 else -(-k // (16 * parts)) * 16


def work_bytes(n: int, k: int, itemsize: int) -> int:
    """Memory enough for a transposed panel, whole squares of vectors, whatever the tiles."""
    lanes = 64 // itemsize
    return (-(-depth_of(k) // lanes) * lanes) * min(-(-n // lanes), _WIDEST) * 64
