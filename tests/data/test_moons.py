"""The two moons lie where they should, and follow from their seed."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_edu.data import two_moons
from tinygrad_edu.errors import DataError


@given(st.integers(2, 150), st.floats(0, 2), st.integers(0, 2**40))
def test_shapes_types_and_labels(n: int, noise: float, seed: int) -> None:
    points, labels = two_moons(n, noise, seed)
    assert points.shape == (n, 2)
    assert points.dtype == np.float64
    assert labels.shape == (n,)
    assert labels.dtype == np.int64
    assert (labels == -1).sum() == n // 2
    assert (labels == 1).sum() == n - n // 2
    again, same_labels = two_moons(n, noise, seed)
    assert np.array_equal(points, again)
    assert np.array_equal(labels, same_labels)


@given(st.integers(2, 150), st.integers(0, 2**40))
def test_without_noise_points_lie_on_two_unit_half_circles(n: int, seed: int) -> None:
    points, labels = two_moons(n, noise=0, seed=seed)
    upper, lower = points[labels == -1], points[labels == 1]
    assert np.allclose(np.hypot(*upper.T), 1)
    assert (upper[:, 1] >= 0).all()
    assert np.allclose(np.hypot(lower[:, 0] - 1, lower[:, 1] - 0.5), 1)
    assert (lower[:, 1] <= 0.5).all()


@pytest.mark.parametrize("n", [4, 7, 100])
def test_points_are_spread_evenly_from_end_to_end(n: int) -> None:
    points, labels = two_moons(n, noise=0)
    for sign, start in ((-1, -1.0), (1, 0.0)):
        x = np.sort(points[labels == sign, 0])
        expected = start + 1 - np.cos(np.linspace(0, np.pi, len(x)))
        assert np.allclose(x, expected, rtol=0, atol=1e-15)


def test_noise_has_the_standard_deviation_asked_for() -> None:
    n, noise = 20_000, 0.3
    clean, _ = two_moons(n, 0, seed=5)
    noisy, _ = two_moons(n, noise, seed=5)
    errors = (noisy - clean).ravel()
    # Standard errors of the mean and the standard deviation of 2n normal draws, times 5.
    assert abs(errors.mean()) < 5 * noise / np.sqrt(2 * n)
    assert abs(errors.std() - noise) < 5 * noise / np.sqrt(4 * n)


def test_both_moons_come_early() -> None:
    labels = two_moons(100, seed=0)[1]
    assert set(labels[:20]) == {-1, 1}


@pytest.mark.parametrize("n", [2, 5, 100])
def test_the_points_of_scikit_learn(sklearn: ModuleType, n: int) -> None:
    theirs, their_labels = sklearn.datasets.make_moons(n, shuffle=False, noise=None)
    ours, labels = two_moons(n, noise=0)
    for sign, label in ((-1, 0), (1, 1)):
        mine, other = ours[labels == sign], theirs[their_labels == label]
        assert np.allclose(np.sort(mine, axis=0), np.sort(other, axis=0), rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    "arguments",
    [{"n": 1}, {"n": 2.5}, {"noise": -0.1}, {"noise": float("nan")}, {"seed": -1}],
)
def test_refuses_what_makes_no_moons(arguments: dict[str, float]) -> None:
    with pytest.raises(DataError, match=next(iter(arguments))):
        two_moons(**arguments)  # type: ignore[arg-type]
