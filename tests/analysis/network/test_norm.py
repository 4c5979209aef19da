"""Norms over one example: corrections of order 1/n against laws on the sphere and samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chi2

import analysis
import tinygrad_edu as tg
from analysis.report.report import Row
from tests.analysis.network.nets import linear
from tinygrad_edu import nn


def rows(model: nn.Module, given: object) -> dict[str, Row]:
    return {row.name: row for row in analysis.analyze(model, given).layers}


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
@pytest.mark.parametrize("phi", [nn.Tanh, nn.Sigmoid])
@pytest.mark.parametrize("n", [20, 80])
def test_an_activation_behind_a_norm_sees_a_sphere(norm: type, phi: type, n: int) -> None:
    """The units of y = norm(z), z normal, lie on a sphere of m dimensions, m = n or, about the
    mean, n - 1: y = r sin(t) with density cos(t)^(m - 2), independent of the length that is lost.
    The gradient at z is E[1/v] E[phi'(y)^2 (1 - (n - m)/n - y^2/n)]; all but 1/n^2 is predicted."""
    m = n - 1 if norm is nn.LayerNorm else n
    model = nn.Sequential(linear(16, n), norm(n, eps=0.0), phi(), linear(n, 8))
    x = np.random.default_rng(0).standard_normal((1, 16))
    t, weight = np.polynomial.legendre.leggauss(200)
    weight = weight * np.cos(math.pi / 2 * t) ** (m - 2)
    y = tg.tensor(math.sqrt(m) * np.sin(math.pi / 2 * t), requires_grad=True)
    value = phi()(y)
    value.sum().backward()
    slope, squares = y.grad.numpy(), y.detach().numpy() ** 2

    def mean(values: np.ndarray) -> float:
        return float(np.average(values, weights=weight))

    inverse = n / (m - 2) / np.mean(x**2)  # E[1/v], v = q chi^2_m / n
    kept = 1 - (n - m) / n - squares / n
    found = rows(model, x)
    assert found["2"].forward.prediction.corrected == pytest.approx(
        mean(value.detach().numpy() ** 2), rel=1 / n**2
    )
    assert found["0"].backward.prediction.corrected == pytest.approx(
        8 / n * inverse * mean(slope**2 * kept), rel=5 / n**2
    )


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
@pytest.mark.parametrize("share", [0.3, 1.0, 30.0])
@pytest.mark.parametrize("n", [20, 80])
def test_a_norm_whose_eps_is_not_small(norm: type, share: float, n: int) -> None:
    """With v = q chi^2_m / n and t = v / (v + eps), E[y^2] = E[t]; of the gradient the directions
    across keep 1 / (v + eps), and the one along y keeps (1 - t)^2 of that."""
    m = n - 1 if norm is nn.LayerNorm else n
    x = np.random.default_rng(0).standard_normal((1, 16))
    q = float(np.mean(x**2))
    found = rows(nn.Sequential(linear(16, n), norm(n, eps=share * q), linear(n, 8)), x)
    v = q / n * chi2(m).ppf((np.arange(20000) + 0.5) / 20000)
    t = v / (v + share * q)
    forward = found["1"].forward.prediction
    backward = found["0"].backward.prediction
    back = 8 / n * np.mean(((m - 1) + (1 - t) ** 2) / n * t / v)
    assert forward.corrected == pytest.approx(np.mean(t), rel=1 / n**2)
    assert backward.corrected == pytest.approx(back, rel=1 / n**2)
    assert abs(forward.corrected - np.mean(t)) < forward.bound
    assert abs(backward.corrected - back) < backward.bound


@pytest.mark.parametrize("share", [1e-5, 0.3])
@pytest.mark.parametrize("n", [24, 48])
def test_a_layer_norm_behind_relu(share: float, n: int) -> None:
    """E[v / (v + eps)] of relus with a mean, by sampling: v scatters by their fourth moment about
    it, 4.4 Var(x)^2 / n, whose square is what is left out. The bound covers that where few of n
    units may be on."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((1, 16))
    eps = share * float(np.mean(x**2))
    model = nn.Sequential(linear(16, n), nn.ReLU(), nn.LayerNorm(n, eps=eps), linear(n, 8))
    z = generator.standard_normal((100_000, n)) * math.sqrt(np.mean(x**2))
    v = np.maximum(z, 0.0).var(axis=1)
    sample = v / (v + eps)
    found = rows(model, x)["2"].forward.prediction
    noise = 6 * sample.std() / math.sqrt(len(sample))
    assert abs(found.corrected - sample.mean()) < 60 / n**2 * (1 - sample.mean()) + noise
    assert abs(found.corrected - sample.mean()) < found.bound
