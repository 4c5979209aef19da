"""Histograms whose bins are the same for every layer and step, from 1e-38 to 1e38.

A float32 is a sign, an exponent and a fraction. Its leading bits, read as a whole number, are
therefore the number of a bin: eight to a factor of two, on either side of 0. No range has to be
known beforehand, histograms can be added, and counting takes a shift.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

FRACTION_BITS = 3
"""Of the fraction's 23 bits, how many take part: 2^3 bins to a factor of two."""
SHIFT = 23 - FRACTION_BITS
NEGATIVE = 1 << (8 + FRACTION_BITS)
"""The bit of the sign in the number of a bin."""
NOT_FINITE = 255 << FRACTION_BITS
"""From here on (without the sign) the exponent is that of infinities and NaN."""

PIECE = 8192
"""Elements looked at in one go. Copies of more leave the cache, which takes five times as long, and
BLAS would send more to its threads, which takes longer still beside a training step."""

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Histogram:
    """How many values fell into which bin.

    Attributes:
        bins: The numbers of the bins that are not empty, ascending: the leading bits of a float32.
        counts: How many values are in each.
    """

    bins: npt.NDArray[np.uint16]
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, values: Array) -> Histogram:
        """Count the values of an array of floats, rounded to float32."""
        counts = np.zeros(2 * NEGATIVE, np.int64)
        for piece in pieces(values):
            bits = _as_float32(piece).view(np.int32)
            bins = (bits >> SHIFT) & (2 * NEGATIVE - 1)
            counts += np.bincount(bins, minlength=2 * NEGATIVE)
        # NumPy finds the places of truth values several times as fast as those of numbers.
        used = np.not_equal(counts, 0).nonzero()[0]
        return cls(used.astype(np.uint16), counts[used])

    def __add__(self, other: Histogram) -> Histogram:
        """The histogram of the values of both."""
        counts = np.zeros(2 * NEGATIVE, np.int64)
        for part in (self, other):
            counts[part.bins] += part.counts
        used = counts.nonzero()[0]
        return Histogram(used.astype(np.uint16), counts[used])

    @property
    def total(self) -> int:
        """How many finite values were counted."""
        return int(self.counts.sum()) - self.not_finite

    @property
    def zeros(self) -> int:
        """How many values are 0 (or below 1.5e-39)."""
        return int(self.counts[self.bins & (NEGATIVE - 1) == 0].sum())

    def without_zeros(self) -> Histogram:
        """The histogram of the values that are not 0."""
        kept = self.bins & (NEGATIVE - 1) != 0
        return Histogram(self.bins[kept], self.counts[kept])

    def magnitudes(self) -> Histogram:
        """The histogram of the absolute values."""
        counts = np.bincount(self.bins & (NEGATIVE - 1), self.counts).astype(np.int64)
        used = counts.nonzero()[0]
        return Histogram(used.astype(np.uint16), counts[used])

    @property
    def not_finite(self) -> int:
        """How many values are infinite or NaN."""
        return int(self.counts[self.bins & (NEGATIVE - 1) >= NOT_FINITE].sum())

    @cached_property
    def ends(self) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
        """Lower ends, upper ends and counts of the bins of finite values, ascending."""
        size = self.bins & (NEGATIVE - 1)
        finite = size < NOT_FINITE
        nearer, farther = _magnitude(size[finite]), _magnitude(size[finite] + 1)
        negative = self.bins[finite] >= NEGATIVE
        low, high = np.where(negative, -farther, nearer), np.where(negative, -nearer, farther)
        order = np.argsort(low, kind="stable")
        return low[order], high[order], self.counts[finite][order]

    def into(self, edges: Floats) -> Floats:
        """How many values lie between each two of the edges, a bin's values taken as spread evenly
        over it; what is outside the edges is left out."""
        low, high, counts = self.ends
        if not len(low):
            return np.zeros(len(edges) - 1)
        below = np.cumsum(counts)
        positions = np.stack([low, high], 1).ravel()
        totals = np.stack([below - counts, below], 1).ravel()
        return np.diff(np.interp(edges, positions, totals))

    def quantile(self, share: float) -> float:
        """The end of the bin up to which this share of the finite values lies; NaN if there are
        none."""
        _, high, counts = self.ends
        if not len(high):
            return float("nan")
        below = np.cumsum(counts)
        return float(high[np.searchsorted(below, share * below[-1])])

    def to_dict(self) -> dict[str, Any]:
        """Plain lists."""
        low, high, counts = self.ends
        return {
            "low": low.tolist(),
            "high": high.tolist(),
            "count": counts.tolist(),
            "not_finite": self.not_finite,
        }


def pieces(values: Array) -> Iterator[Array]:
    """The elements of an array, `PIECE` at a time."""
    flat = np.ascontiguousarray(values).reshape(-1)
    return (flat[start : start + PIECE] for start in range(0, len(flat), PIECE))


def _as_float32(values: Array) -> Array:
    """Too large ones become infinite."""
    if values.dtype == np.float32:
        return values
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _magnitude(bins: Array) -> Floats:
    """The least magnitude in each bin; that after the last ends at 2^128."""
    values = (bins.astype(np.uint32) << SHIFT).view(np.float32).astype(np.float64)
    return np.where(np.isinf(values), 2.0**128, values)
