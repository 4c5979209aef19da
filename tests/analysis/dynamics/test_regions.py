"""Where activations work: closed forms, sampling, and the limits."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

import analysis
import tinygrad_edu as tg
from analysis.dynamics.number import Number
from analysis.dynamics.regions import _alignment
from analysis.errors import InputError, InvalidLaw


def normal(t: float) -> float:
    """The standard normal distribution function."""
    return math.erfc(-t / math.sqrt(2)) / 2


def test_relu() -> None:
    at = analysis.regions("relu", -3.0, 4.0)
    assert at.off == at.saturated == pytest.approx(normal(1.5), rel=1e-14)
    assert analysis.regions("relu").linear == 0
    assert analysis.regions("relu", 5).linear == pytest.approx(normal(5), rel=1e-14)
    assert analysis.regions("relu").alignment == pytest.approx(0.25 / (0.5 - 0.5 / math.pi))


@pytest.mark.parametrize("q", [0.01, 1.0, 25.0, 1e6])
def test_tanh(q: float) -> None:
    """tanh'(x) < eps beyond |x| = acosh(1/sqrt(eps)); near s between two levels of it."""
    at = analysis.regions("tanh", 0, q, eps=0.1, tolerance=0.02)
    sigma = math.sqrt(q)
    assert at.saturated == pytest.approx(
        2 * normal(-math.acosh(1 / math.sqrt(0.1)) / sigma), rel=1e-10, abs=1e-15
    )
    outer, inner = (
        math.acosh(max(1.0, 1 / math.sqrt(at.slope * (1 + side * 0.02)))) for side in (-1, 1)
    )
    assert at.linear == pytest.approx(2 * (normal(outer / sigma) - normal(inner / sigma)), rel=1e-8)


SAMPLES = 200_000


@pytest.mark.parametrize(
    "name", ["gelu", "sigmoid", "elu", "hardtanh", "softsign", "sin", "leaky_relu"]
)
@pytest.mark.parametrize(("mean", "variance"), [(0.0, 1.0), (-1.5, 0.5), (0.7, 9.0)])
def test_it_is_what_sampling_gives(name: str, mean: float, variance: float) -> None:
    """Six standard errors."""
    eps = tolerance = 0.08
    at = analysis.regions(name, mean, variance, eps=eps, tolerance=tolerance)
    z = np.random.default_rng(1).standard_normal(SAMPLES)
    x = tg.tensor(mean + math.sqrt(variance) * z, requires_grad=True)
    y = getattr(tg, name)(x)
    y.sum().backward()
    slope, value = x.grad.numpy(), y.detach().numpy()
    for expected, sample in (
        (at.saturated, np.abs(slope) < eps),
        (at.off, slope == 0),
        (at.linear, np.abs(slope - at.slope) <= tolerance * abs(at.slope)),
        (at.slope, slope),
    ):
        spread = max(
            float(sample.std()), math.sqrt(expected * (1 - expected)) if 0 < expected < 1 else 0
        )
        assert abs(sample.mean() - expected) <= 6 * spread / math.sqrt(SAMPLES) + 1e-6
    assert at.alignment == pytest.approx(np.corrcoef(z, value)[0, 1] ** 2, abs=0.02)


def test_limits() -> None:
    line = analysis.regions("linear", 3, 2)
    assert (line.linear, line.alignment, line.off, line.saturated) == (1, pytest.approx(1), 0, 0)
    step = analysis.regions("sign")
    assert (step.off, step.linear) == (1, 0)
    assert step.alignment == pytest.approx(2 / math.pi)
    point = analysis.regions("tanh", 2.0, 0.0)
    assert point.linear == point.alignment == 1
    assert point.slope == pytest.approx(1 / math.cosh(2) ** 2)
    assert analysis.regions("tanh", 50, 1).saturated == pytest.approx(1)


def test_errors_reach_the_alignment() -> None:
    """s^2 variance / spread moves by so much where s and the spread move by their errors."""
    s, spread = Number(0.5, 1e-6), Number(0.8, 2e-6)
    found = _alignment(s, 1.2, SimpleNamespace(variance=spread))
    ends = [(0.5 + a * 1e-6) ** 2 * 1.2 / (0.8 + b * 2e-6) for a in (-1, 1) for b in (-1, 1)]
    assert found == pytest.approx(0.375)
    assert found.error == pytest.approx(max(abs(end - found) for end in ends), rel=1e-4)
    assert _alignment(Number(0.0), 1.0, SimpleNamespace(variance=spread)).error == 0


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="eps"):
        analysis.regions("tanh", eps=0)
    with pytest.raises(InputError, match="tolerance"):
        analysis.regions("tanh", tolerance=1.5)
    with pytest.raises(InvalidLaw):
        analysis.regions("tanh", 0, -1)
