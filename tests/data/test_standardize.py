"""Standardized training data has mean 0 and variance 1, feature by feature."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_edu.data import Standardize, load_digits
from tinygrad_edu.errors import DataError

tables = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 30), st.integers(1, 5)),
    elements=st.integers(-1000, 1000).map(float),  # so that two values are equal or far apart
)


@given(tables)
def test_training_data_gets_mean_0_and_variance_1(x: np.ndarray) -> None:
    z = Standardize.fit(x)(x)
    constant = (x == x[0]).all(axis=0)
    assert np.allclose(z.mean(axis=0), 0, atol=1e-12)
    assert np.allclose(z.std(axis=0), np.where(constant, 0, 1), atol=1e-12)
    assert (z[:, constant] == 0).all()


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-30, 1e30, -7.7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_features_become_exactly_0(value: float, dtype: type) -> None:
    x = np.full((1000, 3), value, dtype)
    assert not Standardize.fit(x)(x).any()


def test_other_data_is_measured_with_the_training_data() -> None:
    standardize = Standardize.fit(np.array([[0.0, 5.0], [4.0, 5.0]]))
    assert standardize.mean.tolist() == [2, 5]
    assert standardize.std.tolist() == [2, 1]
    assert standardize(np.array([[6.0, 7.0]])).tolist() == [[2, 2]]


def test_digits() -> None:
    train, test = load_digits().split()
    standardize = Standardize.fit(train.images)
    z = standardize(train.images)
    assert z.dtype == np.float32
    varying = train.images.std(axis=0) > 0
    assert varying.sum() < 64  # the corners are blank on every form
    assert np.allclose(z.mean(axis=0, dtype=np.float64), 0, atol=1e-6)
    assert np.allclose(z.std(axis=0, dtype=np.float64)[varying], 1, atol=1e-6)
    assert np.isfinite(standardize(test.images)).all()


@pytest.mark.parametrize(
    ("dtype", "result"),
    [
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.float16, np.float32),
        (np.uint8, np.float32),
        (np.int64, np.float64),
        (np.bool_, np.float32),
    ],
)
def test_dtype_of_the_result(dtype: type, result: type) -> None:
    x = np.array([[0], [1]], dtype)
    assert Standardize.fit(x)(x).dtype == result


def test_images_keep_their_shape() -> None:
    x = np.random.default_rng(0).normal(size=(10, 1, 8, 8))
    standardize = Standardize.fit(x)
    assert standardize.mean.shape == (1, 8, 8)
    assert standardize(x[:3]).shape == (3, 1, 8, 8)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(3), "examples along the first axis"),
        (np.zeros((0, 3)), "examples along the first axis"),
        (np.array(1.0), "examples along the first axis"),
        ([[np.nan]], "NaN or an infinity"),
        ([[np.inf]], "NaN or an infinity"),
        ([["a"]], "real numbers"),
        ([[1j]], "real numbers"),
    ],
    ids=["no features", "no examples", "scalar", "nan", "infinity", "text", "complex"],
)
def test_fit_refuses(x: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Standardize.fit(x)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(4, 2), (4,), (), (4, 3, 1)])
def test_call_refuses_other_features(shape: tuple[int, ...]) -> None:
    standardize = Standardize.fit(np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"fitted to features of shape \(3,\)"):
        standardize(np.zeros(shape))
