"""The kernels of relu and erf, against integrals over one input after the other."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from analysis.topics import derive
from tests.analysis.topics.steps import number, result, stated


def relu_given(mean: float, std: float) -> float:
    """E[relu(v)] for v ~ N(mean, std^2)."""
    return mean * mpmath.ncdf(mean / std) + std * mpmath.npdf(mean / std)


@pytest.mark.parametrize("rho", [-0.9, -0.3, 0.0, 0.5, 0.99])
def test_the_arccosine_kernel(rho: float) -> None:
    std = mpmath.sqrt(1 - rho**2)
    integral = mpmath.quad(
        lambda u: u * relu_given(rho * u, std) * mpmath.npdf(u), [0, 1, 3, 9, 30]
    )
    assert number(result("arccosine-kernel"), rho=rho) == pytest.approx(float(integral), rel=1e-9)


def test_its_ends() -> None:
    assert number(result("arccosine-kernel"), rho=1) == pytest.approx(0.5)
    assert number(result("arccosine-kernel"), rho=-1) == pytest.approx(0, abs=1e-15)
    assert stated("arccosine-kernel", "equal inputs stay") == 1
    assert number(stated("arccosine-kernel", "its slope, which"), rho=1) == 1


@pytest.mark.parametrize(("q", "rho"), [(0.5, 0.3), (1.0, -0.8), (4.0, 0.9)])
def test_the_arcsine_kernel(q: float, rho: float) -> None:
    """A product of Gauss-Hermite rules, exact enough for functions as smooth as these."""
    erf = np.vectorize(lambda x: float(mpmath.erf(x)))
    z, weight = np.polynomial.hermite_e.hermegauss(80)
    weight = weight / weight.sum()
    u = np.sqrt(q) * z[:, None]
    v = np.sqrt(q) * (rho * z[:, None] + np.sqrt(1 - rho**2) * z[None])
    integral = weight @ (erf(u) * erf(v)) @ weight
    assert number(result("arcsine-kernel"), q=q, rho=rho) == pytest.approx(integral, rel=1e-6)


def test_both_rest_on_price() -> None:
    for name in ("arccosine-kernel", "arcsine-kernel"):
        assert [used.name for used in derive(name).uses] == ["price-theorem"]


def test_price_for_a_polynomial() -> None:
    """f = u^2, g = v^2: E = 1 + 2 rho^2, whose slope 4 rho is E[2 u 2 v]; and the density's."""
    u, v, rho = 0.4, -1.1, 0.35

    def log_density(r: float) -> float:
        return -(u**2 - 2 * r * u * v + v**2) / (2 * (1 - r**2)) - np.log(1 - r**2) / 2

    slope = (log_density(rho + 1e-6) - log_density(rho - 1e-6)) / 2e-6
    assert number(stated("price-theorem", "differentiate"), u=u, v=v, rho=rho) == pytest.approx(
        slope, rel=1e-8
    )
