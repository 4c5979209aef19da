"""Bins of a float's leading bits: every value is in the one bin that holds it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_edu.train.histogram import FRACTION_BITS, PIECE, Histogram

LEAST_NORMAL = float(np.finfo(np.float32).tiny)
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)
arrays = hnp.arrays(np.float32, st.integers(0, 50), elements=numbers)


def values_in(low: float, high: float, x: np.ndarray) -> int:
    """How many belong to a bin: its end nearer to 0 is part of it."""
    x = x.astype(np.float64)
    return int(((x > low) & (x <= high) if high <= 0 else (x >= low) & (x < high)).sum())


@given(arrays)
def test_each_bin_holds_its_values(x: np.ndarray) -> None:
    x = x + np.float32(0)  # -0 is 0
    histogram = Histogram.of(x)
    low, high, counts = histogram.ends
    assert counts.tolist() == [values_in(a, b, x) for a, b in zip(low, high, strict=True)]
    assert counts.sum() == histogram.total == len(x)
    assert (low[1:] >= high[:-1]).all()
    assert histogram.zeros == (x == 0).sum()


def test_bins_are_narrow() -> None:
    low, high, _ = Histogram.of(np.geomspace(1e-37, 1e37, 10_000)).ends
    assert (high / low - 1 <= 2**-FRACTION_BITS).all()
    assert (high / low - 1 >= 2**-FRACTION_BITS / 2).all()


@given(arrays, arrays)
def test_sums_count_both(x: np.ndarray, y: np.ndarray) -> None:
    both, together = Histogram.of(x) + Histogram.of(y), Histogram.of(np.concatenate([x, y]))
    assert both.bins.tolist() == together.bins.tolist()
    assert both.counts.tolist() == together.counts.tolist()


@given(arrays)
def test_magnitudes_and_zeros(x: np.ndarray) -> None:
    folded, expected = Histogram.of(x).magnitudes(), Histogram.of(np.abs(x))
    assert folded.to_dict() == expected.to_dict()
    assert Histogram.of(x).without_zeros().total == (x != 0).sum()


def test_many_values_are_counted_in_pieces() -> None:
    x = np.random.default_rng(0).normal(size=3 * PIECE + 7)
    low, high, counts = Histogram.of(x).ends
    as_single = x.astype(np.float32)
    assert counts.tolist() == [values_in(a, b, as_single) for a, b in zip(low, high, strict=True)]


def test_what_is_not_finite_is_in_no_bin() -> None:
    histogram = Histogram.of(np.array([1.0, np.nan, np.inf, -np.inf, 1e300, -2.0]))
    assert histogram.not_finite == 4  # 1e300 is infinite in single precision
    assert histogram.ends[2].tolist() == [1, 1]
    assert histogram.to_dict()["not_finite"] == 4


def test_other_bins() -> None:
    """A bin is taken as flat, so what is put elsewhere is wrong by its width, 1/8 of the value, at
    either end of the new bin."""
    x = np.random.default_rng(0).normal(size=100_000)
    edges = np.linspace(-3, 3, 13)
    expected = np.histogram(x, edges)[0]
    got = Histogram.of(x).into(edges)
    assert got.sum() == pytest.approx(((x > -3) & (x < 3)).sum(), rel=1e-3)
    assert np.abs(got - expected).max() < 0.02 * expected.max()
    assert Histogram.of(np.array([])).into(edges).tolist() == [0] * 12


def test_quantiles() -> None:
    x = np.random.default_rng(0).normal(size=100_000)
    for share in (0.01, 0.3, 0.5, 0.9):
        exact = np.quantile(x, share)
        assert Histogram.of(x).quantile(share) == pytest.approx(exact, rel=0.13, abs=0.005)
    assert np.isnan(Histogram.of(np.array([])).quantile(0.5))
