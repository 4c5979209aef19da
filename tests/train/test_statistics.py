"""Moments and responses of arrays, against NumPy and against formulas."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_edu.train.histogram import PIECE
from tinygrad_edu.train.statistics import NEAR_LINEAR, Moments, by_unit, near_linear


@given(hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e6, 1e6)))
def test_moments(x: np.ndarray) -> None:
    moments = Moments.of(x)
    size = max(1.0, float(np.abs(x).max()))  # rounding is relative to the largest value
    assert moments.mean == pytest.approx(x.mean(), abs=1e-13 * size)
    assert moments.variance == pytest.approx(x.var(), rel=1e-12, abs=1e-13 * size**2)
    assert moments.second == pytest.approx((x**2).mean(), rel=1e-12)
    assert (moments.std, moments.rms) == (
        math.sqrt(moments.variance),
        math.sqrt(moments.second),
    )


def test_moments_of_many_values_and_of_small_gradients() -> None:
    x = np.random.default_rng(0).normal(3, 2, (5, PIECE)).astype(np.float32)
    assert Moments.of(x).variance == pytest.approx(x.var(dtype=np.float64), rel=1e-12)
    tiny = np.full(10, 1e-30, np.float32)
    assert Moments.of(tiny).second == pytest.approx(1e-60)  # below the least float32


def test_moments_can_be_written_as_json() -> None:
    assert json.loads(json.dumps(Moments.of(np.array([1.0, 3.0])).to_dict()))["mean"] == 2
    assert Moments.of(np.array([np.nan])).to_dict()["mean"] is None
    json.dumps(Moments.of(np.array([np.inf, 0.0])).to_dict(), allow_nan=False)


def test_units_are_features_or_channels() -> None:
    x = np.arange(24.0)
    assert by_unit(x[:6].reshape(2, 3), 1).shape == (2, 3)
    assert by_unit(x.reshape(2, 3, 4), -1).T.tolist() == x.reshape(6, 4).T.tolist()
    assert by_unit(x.reshape(2, 3, 4), 1)[:, 0].tolist() == [0, 1, 2, 3, 12, 13, 14, 15]
    assert by_unit(x, -1).shape == (24, 1)


def test_near_linear_units() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 5))
    y = x.copy()
    y[:, 0] = 3 - 2 * x[:, 0]  # a line
    y[:, 1] = np.maximum(x[:, 1], 0)
    y[:, 2] = 7  # does not vary
    y[:, 3] = x[:, 3] + rng.normal(size=1000) * math.sqrt(0.5 * NEAR_LINEAR)
    y[:, 4] = x[:, 4] + rng.normal(size=1000) * math.sqrt(2.0 * NEAR_LINEAR)
    shares = [near_linear(x[:, [i]], y[:, [i]]) for i in range(5)]
    assert shares == [1, 0, 0, 1, 0]
    assert near_linear(x, y) == 0.4


@pytest.mark.parametrize("scale", [1e-17, 1e13, 1e30])
def test_near_linear_does_not_depend_on_the_scale(scale: float) -> None:
    """Products of four float32 values would leave the range of float32."""
    x = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    y = np.concatenate([2 * x[:, :3], np.abs(x[:, 3:])], axis=1)
    with np.errstate(all="raise"):
        assert near_linear(x * np.float32(scale), y * np.float32(scale)) == 0.5


@pytest.mark.parametrize(("scale", "expected"), [(0.3, 1.0), (0.45, 0.0)])
def test_tanh_is_nearly_linear_up_to_a_scale(scale: float, expected: float) -> None:
    x = scale * np.random.default_rng(1).normal(size=(20_000, 4))
    assert near_linear(x, np.tanh(x)) == expected
