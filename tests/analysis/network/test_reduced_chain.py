"""Corrections of order 1/width against the exact law of a Gaussian network, at high precision.

Given |h|^2 the next layer's pre-activations are independent normals, and the gradient's squared
sizes along and across h obey a linear recursion whose coefficients are sums over the units
(`docs/finite-width.md`). So a network with Gaussian weights need not be drawn: its units are, which
is so much cheaper that standard errors fall far below the single terms of the correction.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

import analysis
import tinygrad_edu as tg
from tests.analysis.network.test_finite_width import network
from tinygrad_edu import nn

PATHS = 200_000
CHUNK = 20_000


def paths(
    phi: Callable[[np.ndarray], np.ndarray],
    slope: Callable[[np.ndarray], np.ndarray],
    widths: list[int],
    gain: float,
    bias_std: float,
    second: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """E[(ds/dy)^2] along each path: rows are paths, columns the outputs in order of use."""
    m = np.full(CHUNK, second)
    layers = []
    for n_in, n_out in itertools.pairwise(widths):
        u = np.sqrt(gain**2 * m)[:, None] * rng.standard_normal((CHUNK, n_out))
        z = u + bias_std * rng.standard_normal((CHUNK, n_out))
        layers.append((n_in, n_out, m, u, z))
        m = np.mean(phi(z) ** 2, axis=1)
    n_in, n_out, m, u, z = layers[-1]
    across = np.full(CHUNK, gain**2 / n_in * n_out)
    along = np.sum(u**2, axis=1) / (n_in * m)
    columns = [np.ones(CHUNK), (across * (n_in - 1) + along) / n_in]
    for n_in, n_out, m, u, z in reversed(layers[:-1]):
        f, d = phi(z), slope(z)
        length, slopes = np.sum(f**2, axis=1), np.sum(d**2, axis=1)
        shared = np.sum(f**2 * d**2, axis=1) / length
        moved = np.sum(f * d * u, axis=1) ** 2 / length
        columns.append((slopes * across + shared * (along - across)) / n_out)
        stretched = np.sum((d * u) ** 2, axis=1)
        along, across = (
            (along * moved + across * (stretched - moved)) / (n_in * m),
            gain**2 / n_in * (across * (slopes - shared) + along * shared),
        )
        columns.append((across * (n_in - 1) + along) / n_in)
    return np.stack(columns[:-1][::-1], axis=1)


def tanh_slope(z: np.ndarray) -> np.ndarray:
    return 1 - np.tanh(z) ** 2


CASES = {
    "biases": (nn.Tanh, np.tanh, tanh_slope, [30] * 8, 1.6, 0.6),
    "no biases": (nn.Tanh, np.tanh, tanh_slope, [30] * 6, 1.3, 0.0),
    "small gain": (nn.Tanh, np.tanh, tanh_slope, [24, 36] * 4, 1.05, 0.0),
}


@pytest.mark.parametrize("name", CASES)
def test_backward_corrections(name: str) -> None:
    activation, phi, slope, widths, gain, bias_std = CASES[name]
    tg.manual_seed(1)
    model = network(activation, widths, gain, "normal", bias_std)
    x = np.random.default_rng(2).standard_normal((1, widths[0]))
    report = analysis.analyze(model, input=x)
    rng = np.random.default_rng(3)
    arguments = (phi, slope, widths, gain, bias_std, float(np.mean(x**2)), rng)
    drawn = np.concatenate([paths(*arguments) for _ in range(PATHS // CHUNK)])
    assert drawn.shape[1] == len(report.layers)
    for row, sample in zip(report.layers, drawn.T, strict=True):
        prediction = row.backward.prediction
        error = sample.std(ddof=1) / math.sqrt(sample.size)
        assert abs(sample.mean() - prediction.corrected) <= prediction.bound / 2 + 6 * error, row
