"""Pooling of dependent positions: predictions against networks, fields against samples."""

from __future__ import annotations

import numpy as np
import pytest

import analysis
from analysis.network.points import normal_points, square_root
from analysis.network.rules.largest import Window, winning
from tinygrad_edu import nn

NETWORKS = 300


def convolutional(activation: nn.Module, pool: nn.Module, channels: int = 16) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1),
        activation,
        pool,
        nn.Conv2d(channels, channels, 3),
        activation,
        pool,
        nn.Flatten(),
        nn.Linear(channels * 9, 10),
    )


@pytest.mark.parametrize("pool", [nn.AvgPool2d(2), nn.MaxPool2d(2)])
@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Tanh(), nn.Identity()])
def test_predictions_hold(activation: nn.Module, pool: nn.Module) -> None:
    model, shape = convolutional(activation, pool), (3, 16, 16)
    report = analysis.analyze(model, shape)
    assert all(row.forward and row.backward for row in report.layers), report.findings
    measured = analysis.measure(model, NETWORKS, batch=8, seed=1, input=shape, progress=False)
    assert all(v.agrees for v in analysis.verify(report, measured))


def test_independent_positions_would_be_wrong() -> None:
    """Behind relu the inputs have a mean, so neighbours of the next convolution are correlated, and
    an average of four falls by much less than to a quarter."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.AvgPool2d(2), nn.Flatten()
    )
    report = analysis.analyze(model, (3, 12, 12))
    convolved, pooled = (report.layers[i].forward for i in (2, 3))
    assert convolved is not None
    assert pooled is not None
    assert pooled.second > 1.8 * convolved.second / 4
    measured = analysis.measure(model, NETWORKS, seed=4, input=(3, 12, 12), progress=False)
    assert all(v.agrees for v in analysis.verify(report, measured))


def test_on_data() -> None:
    """Examples with dark corners, each followed by itself."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((6, 1, 8, 8)) * np.linspace(0, 2, 8)
    model = nn.Sequential(
        nn.Conv2d(1, 24, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24 * 9, 5)
    )
    report = analysis.analyze(model, images)
    assert all(row.forward and row.backward for row in report.layers), report.findings
    measured = analysis.measure(model, NETWORKS, seed=2, input=images, progress=False)
    assert all(v.agrees for v in analysis.verify(report, measured))


def test_max_behind_what_falls_is_unknown_backward() -> None:
    model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.GELU(), nn.MaxPool2d(2), nn.Flatten())
    first, _, pooled, _ = analysis.analyze(model, (2, 8, 8)).layers
    assert pooled.forward is not None
    assert first.backward is None


# ------------------------------------------------------------------------------ the parts


def correlated(k: int, rho: float) -> np.ndarray:
    return np.full((k, k), rho) + (1 - rho) * np.eye(k)


def test_square_roots() -> None:
    for matrix in (correlated(4, 0.3), correlated(3, 1.0), np.zeros((2, 2))):
        root = square_root(matrix)
        np.testing.assert_allclose(root @ root.T, matrix, atol=1e-12)


def test_points_are_normal() -> None:
    z = normal_points(2048, 4, 0)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(z.T @ z / 2048, np.eye(4), atol=5e-3)
    assert not np.array_equal(z, normal_points(2048, 4, 1))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_somebody_wins(rho: float) -> None:
    """Averaged over its own law each of k alike positions wins one time in k."""
    k = 4
    window = Window(
        np.arange(k)[None], np.zeros((1, 1, k)), square_root(correlated(k, rho))[None, None]
    )
    u = np.sort(np.random.default_rng(0).standard_normal(4096))
    won = winning(window, np.tile(u, (k, 1)), k)
    # 4096 draws of a probability: standard error below 0.5 / 64
    np.testing.assert_allclose(won.mean(axis=1), 1 / k, atol=5 * 0.5 / 64)


def test_largest_of_independent_values_is_the_derived_one() -> None:
    """max-pooling: 4 independent standard normal values."""
    model = nn.Sequential(nn.MaxPool2d(2))
    (row,) = analysis.analyze(model, (1, 8, 8)).layers
    assert row.forward is not None
    wanted = float(analysis.derive("max-pooling").result.evalf())
    assert row.forward.mean == pytest.approx(wanted, rel=1e-3)
