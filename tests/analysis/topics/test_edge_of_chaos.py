"""The critical line, against the numbers of a root finder."""

from __future__ import annotations

import math

import pytest
import sympy as sp

from tests.analysis.topics.steps import number, result, stated


@pytest.mark.parametrize(
    ("sigma_b2", "sigma_w2", "q"),
    [
        (0.01, 1.1142800634037773, 0.2532096563311422),
        (0.05, 1.3758390073466809, 0.517176837980565),
        (0.1, 1.5521178553336423, 0.7263592293849606),
    ],
)
def test_erf_networks_with_biases(sigma_b2: float, sigma_w2: float, q: float) -> None:
    """Solved numerically for the bias beforehand, with mpmath."""
    assert number(result("edge-of-chaos"), q=q) == pytest.approx(sigma_w2, rel=1e-12)
    bias = number(stated("edge-of-chaos", "`q` stays where"), q=q, sigma_w2=sigma_w2)
    assert bias == pytest.approx(sigma_b2, rel=1e-10)


def test_without_biases() -> None:
    assert stated("edge-of-chaos", "without biases `q` falls") == sp.pi / 4
    assert number(result("edge-of-chaos"), q=0) == pytest.approx(math.pi / 4)


def test_relu_leaky_relu_and_tanh() -> None:
    assert number(stated("edge-of-chaos", "leaky relu"), a=0) == 2
    assert number(stated("edge-of-chaos", "leaky relu"), a=0.2) == pytest.approx(1.92307692307692)
    assert stated("edge-of-chaos", "and then `q` stays") == 0
    assert stated("edge-of-chaos", "tanh") == 1
