"""Relu networks of finite width, against numbers computed and simulated beforehand."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from analysis.symbolic.expectation import E
from analysis.topics.finite_width import M, N
from tests.analysis.topics.steps import number, result, stated

WIDTH, LAYERS = 20, 5


def test_normal_weights() -> None:
    assert sp.expand(result("finite-width") - (1 + 5 / N) * E(M**2)) == 0
    deep = number(stated("finite-width", "after `L`"), n=WIDTH, L=LAYERS)
    assert deep == pytest.approx(3.0517578125)  # 1.25^5; simulated 3.09 +- 0.12


def moments(kappa: float, layers: int) -> tuple[float, float]:
    """E[M^2] and E[Q] behind some layers of one width, from an input of ones."""
    m2 = q = 1.0
    for _ in range(layers):
        at = {"n": WIDTH, "n_in": WIDTH, "kappa": kappa, "E[M**2]": m2, "E[Q]": q}
        m2, q = (
            number(result("weight-kurtosis"), **at),
            number(stated("weight-kurtosis", "fourth powers goes on"), **at),
        )
    return m2, q


def test_weights_of_any_law() -> None:
    """Uniform weights have kurtosis 1.8; simulated 2.86 +- 0.07 at width 20, depth 5."""
    assert moments(3.0, LAYERS)[0] == pytest.approx(3.0517578125)
    assert moments(1.8, LAYERS)[0] == pytest.approx(2.782, abs=5e-4)
    assert 2.86 - 2 * 0.07 < moments(1.8, LAYERS)[0] < 2.86 + 2 * 0.07


def test_one_layer_of_signs_by_enumeration() -> None:
    """Weights +-sqrt(2/3), kurtosis 1, three inputs and two units: all 2^6 draws."""
    y = np.array([1.0, 2.0, 0.5])
    signs = np.array(list(np.ndindex(*[2] * 6))).reshape(-1, 2, 3) * 2 - 1
    z = np.sqrt(2 / 3) * signs @ y
    exact = np.mean(np.mean(np.maximum(z, 0) ** 2, axis=1) ** 2)
    at = {"n": 2, "n_in": 3, "kappa": 1, "E[M**2]": np.mean(y**2) ** 2, "E[Q]": np.mean(y**4)}
    assert number(result("weight-kurtosis"), **at) == pytest.approx(exact)


def test_orthogonal_weights() -> None:
    """(1 + 3/18)^5 at width 16; simulated 2.168."""
    one = number(result("orthogonal"), n=16, **{"E[M**2]": 1})
    assert one**5 == pytest.approx(2.1613940329218115)
    assert number(stated("orthogonal", "kurtosis"), n=16) == pytest.approx(3 * 16 / 18)


def test_dead_units() -> None:
    assert number(result("dead-units"), n=10) == 2**-10
    # simulated 0.2768
    assert number(stated("dead-units", "five layers")) == pytest.approx(1 - (1 - 2**-4) ** 5)
    assert number(stated("dead-units", "of `L`"), n=4, L=5) == pytest.approx(0.275803565979)


@pytest.mark.parametrize(
    ("n", "mean", "variance"),
    [(16, -0.17639732440705, 0.41959339410678), (64, -0.04010859883575, 0.08299735055645)],
)
def test_the_log_scale(n: int, mean: float, variance: float) -> None:
    """By mpmath, from the chi-square law for each number of active units."""
    derived = number(result("log-norm"), n=n)
    assert derived == pytest.approx(mean, rel=1e-11)
    assert number(stated("log-norm", "in all"), n=n, c=derived) == pytest.approx(
        variance, rel=1e-11
    )
