"""The truncated normal law of mean 0 and standard deviation 1, against SciPy's formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kstest, truncnorm

from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.nn.truncated import TruncatedNormal, standardized

BOUNDS = [
    (-2.0, 2.0),
    (-1.75, 1.75),
    (-1.5, 2.5),
    (-1.2, 8.0),
    (-1.05, 30.0),
    (-1.01, 100.0),  # a tail so far out that 1 minus its probability is 1
    (-100.0, 1.01),
    (-3.0, math.inf),
    (-100.0, 100.0),
    (-math.inf, math.inf),
    (-4.0, 1.3),
]


def scipys(law: TruncatedNormal) -> object:
    """The same law, made by SciPy."""
    low, high = ((bound - law.location) / law.scale for bound in (law.low, law.high))
    return truncnorm(low, high, loc=law.location, scale=law.scale)


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_mean_0_and_variance_1(low: float, high: float) -> None:
    law = standardized(low, high)
    mean, variance, excess = scipys(law).stats("mvk")  # type: ignore[attr-defined]
    # SciPy loses digits in a tail this far out: 40-digit integrals give 1e-13 where it gives 2e-10.
    assert mean == pytest.approx(0, abs=1e-9)
    assert variance == pytest.approx(1, rel=1e-9)
    assert law.kurtosis == pytest.approx(excess + 3, rel=1e-6)


def test_known_laws() -> None:
    wide = standardized(-100.0, 100.0)  # nothing is cut off
    assert (wide.location, wide.scale, wide.kurtosis) == pytest.approx((0, 1, 3), abs=1e-12)
    flat = standardized(-1.7321, 1.7321)  # all but uniform
    assert flat.kurtosis == pytest.approx(9 / 5, abs=1e-3)
    # A normal law cut at two of its standard deviations keeps 0.879625661034 of them, with
    # kurtosis 2.365537 (closed forms in phi(2) and Phi(2)).
    bound = 2 / 0.879625661034
    cut = standardized(-bound, bound)
    assert cut.scale == pytest.approx(1 / 0.879625661034, rel=1e-10)
    assert cut.kurtosis == pytest.approx(2.365537, rel=1e-6)


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_draws_follow_the_law(low: float, high: float) -> None:
    law = standardized(low, high)
    numbers = law.draw(np.random.default_rng(5), (400, 50))
    assert numbers.shape == (400, 50)
    assert low <= numbers.min()
    assert numbers.max() <= high
    assert kstest(numbers.ravel(), scipys(law).cdf).pvalue > 1e-6  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("low", "high"), [(-1.0, 1.0), (-1.73, 1.73), (-0.9, 4.0), (-2.0, 1.0), (0.5, 2.0), (-2.0, 0.0)]
)
def test_there_is_no_such_law(low: float, high: float) -> None:
    with pytest.raises(ArgumentError, match=r"sqrt\(3\)"):
        standardized(low, high)
