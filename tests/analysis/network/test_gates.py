"""Gates of two slices of one layer: what they have in common along the signal, exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest

import analysis
import tinygrad_edu as tg
from tests.analysis.network.nets import Net, linear
from tinygrad_edu import nn


@pytest.mark.parametrize("n", [4, 12])
def test_both_factors_grow_along_the_signal(n: int) -> None:
    """y = a sigmoid(b) of (a, b) = W x with x fixed: across x the gradient at x has
    Var(W) E|dy/d(a, b)|^2, along it E[(a dy/da + b dy/db)^2] / |x|^2, both exactly."""
    x = np.random.default_rng(0).standard_normal((1, n))
    m, q = 10, float(np.mean(x**2))

    def halves(s: Net, given: tg.Tensor) -> tg.Tensor:
        a, b = s.layer(s.seen(given)).chunk(2, -1)
        return s.last(a * b.sigmoid())

    layers = {"seen": nn.Identity(), "layer": linear(n, 2 * m), "last": linear(m, 8)}
    found = {row.name: row for row in analysis.analyze(Net(halves, **layers), x).layers}
    z, weight = np.polynomial.hermite_e.hermegauss(80)
    weight, b = weight / weight.sum(), math.sqrt(q) * z
    value = 1 / (1 + np.exp(-b))
    slope = value * (1 - value)
    squares = weight @ (value**2 + q * slope**2)
    along = weight @ (value + b * slope) ** 2  # E[a^2] = q = |x|^2 / n
    exact = 8 / n * ((1 - 1 / n) * squares + along / n)
    assert found["seen"].backward.prediction.corrected == pytest.approx(exact, rel=1e-6)
