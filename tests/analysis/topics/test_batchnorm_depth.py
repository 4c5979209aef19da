"""What batch norm adds to the gradient with every layer."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

from analysis.topics import derive
from analysis.topics.batchnorm import M
from tests.analysis.topics.steps import number, result, stated

RELU, ERF = 1.46694220692425986, 1.2257000037856907
"""E[phi'^2] / Var(phi), by mpmath with 25 digits."""


def test_the_factor_of_relu_and_erf() -> None:
    assert number(stated("batchnorm-depth", "relu,")) == pytest.approx(RELU, rel=1e-14)
    assert stated("batchnorm-depth", "relu,") == sp.pi / (sp.pi - 1)
    assert number(stated("batchnorm-depth", "erf,")) == pytest.approx(ERF, rel=1e-14)


def test_the_weights_do_not_matter() -> None:
    assert "Var(W)" not in str(result("batchnorm-depth"))
    assert {used.name for used in derive("batchnorm-depth").uses} >= {
        "batchnorm",
        "gaussian-poincare",
    }


@pytest.mark.parametrize("coefficients", [(0.0, 1.0), (2.0, -1.0, 0.5, 3.0), (1.0, 0.0, 2.0)])
def test_poincare_for_polynomials(coefficients: tuple[float, ...]) -> None:
    """phi = sum a_k He_k / sqrt(k!), integrated by a Gauss-Hermite rule that is exact for it."""
    hermite = np.polynomial.hermite_e
    scaled = [a / np.sqrt(float(sp.factorial(k))) for k, a in enumerate(coefficients)]
    z, weight = hermite.hermegauss(10)
    weight = weight / weight.sum()
    phi, slope = hermite.hermeval(z, scaled), hermite.hermeval(z, hermite.hermeder(scaled))
    left = weight @ slope**2 - weight @ phi**2 + (weight @ phi) ** 2
    total = result("gaussian-poincare")
    ((k, low, _),) = total.limits
    terms = [total.function.xreplace({k: sp.Integer(n)}) for n in range(int(low), 4)]
    a = dict(enumerate(coefficients))
    values = [number(term, **{f"a[{n}]": a.get(n, 0.0)}) for n, term in enumerate(terms, int(low))]
    assert sum(values) == pytest.approx(left, abs=1e-12)


def test_finite_batches_of_a_linear_network() -> None:
    assert sp.simplify(result("batchnorm-finite-batch") - (M - 2) / (M - 3)) == 0
    assert number(result("batchnorm-finite-batch"), m=16) == pytest.approx(1.0769230769230769)


@pytest.mark.parametrize("d", [3, 7, 20])
def test_the_mean_of_the_inverse_square_length(d: int) -> None:
    """E[1/x] for a chi-square x of d degrees, by quadrature."""

    def density(x: float) -> float:
        return x ** (d / 2 - 1) * mpmath.exp(-x / 2) / (2 ** (d / 2) * mpmath.gamma(d / 2))

    integral = mpmath.quad(lambda x: density(x) / x, [0, d, 10 * d, mpmath.inf])
    assert number(stated("batchnorm-finite-batch", "so on average"), d=d) == pytest.approx(
        float(integral), rel=1e-8
    )
