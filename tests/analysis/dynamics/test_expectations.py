"""Vectorised expectations against mpmath, over many orders of magnitude of the variance."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp

from analysis.dynamics.closed import closed_kernel
from analysis.dynamics.expectations import Expectations, gaussian_rule
from analysis.symbolic.reading import X, read

Q = np.array([1e-9, 1e-3, 0.4, 1.0, 30.0, 1e4, 1e9])


@pytest.mark.parametrize("name", ["tanh", "gelu", "softsign", "hardtanh", "selu", "sigmoid"])
def test_curves(name: str) -> None:
    activation = read(name)
    phi = sp.lambdify(X, activation.expression, "mpmath")
    slope = sp.lambdify(X, activation.derivative, "mpmath")
    expect = Expectations(activation)
    curves = expect.curves(Q)
    for i, q in enumerate(Q):
        sigma = mpmath.sqrt(q)
        marks = [*expect.kinks, 0, *(s * b for b in (0.3, 1, 3, 8, 20, 50) for s in (-1, 1))]
        cuts = sorted({-14, -6, -3, -1, 1, 3, 6, 14, *(m / sigma for m in marks)})
        cuts = [cut for cut in cuts if abs(cut) <= 14]

        def of(g: Any, cuts: list[Any] = cuts, sigma: Any = sigma) -> float:
            return float(mpmath.quad(lambda z: g(z, sigma * z) * mpmath.npdf(z), cuts))

        assert curves.second[i] == pytest.approx(of(lambda _, x: phi(x) ** 2), rel=1e-11)
        assert curves.chi[i] == pytest.approx(of(lambda _, x: slope(x) ** 2), rel=1e-11)
        rate = of(lambda z, x: z * phi(x) * slope(x)) / float(sigma)
        assert curves.slope[i] == pytest.approx(rate, rel=1e-10, abs=1e-14)


def test_an_activation_that_jumps() -> None:
    """sign: V = 1 whatever q is, which Stein's lemma with phi' alone would not see for x + sign."""
    expect = Expectations(read("x + sign(x)"))
    assert expect.jumps
    q = 0.7  # E (x + sign)^2 = q + 2 sqrt(2q/pi) + 1
    assert expect.curves(np.array([q])).slope[0] == pytest.approx(1 + np.sqrt(2 / np.pi / q))
    assert np.isinf(expect.curves(np.array([q])).chi[0])


def test_overflow_is_infinite() -> None:
    assert np.isinf(Expectations(read("exp")).curves(np.array([1e6])).second[0])


@pytest.mark.parametrize("name", ["relu", "erf", "leaky_relu", "abs"])
@pytest.mark.parametrize("c", [-0.9, 0.0, 0.3, 0.8, 0.999])
def test_the_series_and_the_iterated_integral_agree_with_closed_forms(name: str, c: float) -> None:
    activation = read(name)
    closed = closed_kernel(activation.expression)
    assert closed is not None
    expect = Expectations(activation)
    at = sp.Float(0.7, 30), sp.Float(c, 30)
    for of_slope, f in ((False, expect.phi), (True, expect.slope)):
        exact = float((closed.slope_kernel if of_slope else closed.kernel)(*at).evalf(20))
        value, error = expect.kernel(0.7, c, of_slope)
        assert abs(value - exact) <= error
        assert error < 1e-12
        assert expect._iterated(f, 0.7, c, 18) == pytest.approx(exact, rel=1e-12, abs=1e-15)


def test_coefficients_of_a_cube() -> None:
    """(sqrt(q) z)^3 = q^(3/2) (3 h_1 + sqrt(6) h_3)."""
    coefficients, total = Expectations(read("x**3"))._hermite(2.0, False)
    expected = 2**1.5 * np.array([0, 3, 0, np.sqrt(6), 0, 0])
    assert coefficients[:6] == pytest.approx(expected, abs=1e-12)
    assert total == pytest.approx(8 * 15)


def test_the_series_is_enough_for_smooth_activations(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> float:
        raise AssertionError("an integral of integrals takes a hundred times as long")

    monkeypatch.setattr(Expectations, "_iterated", refused)
    expect = Expectations(read("tanh"))
    value, error = expect.kernel(1.0, 0.5)
    second = expect.curves(np.ones(1)).second[0]
    assert value / second == pytest.approx(0.4725513993752427, rel=1e-11)  # as in test_maps
    assert error < 1e-13


def test_closed_kernels_are_found_where_they_are() -> None:
    for name in ("tanh", "gelu", "hardtanh", "relu6", "sign", "elu"):
        assert closed_kernel(read(name).expression) is None
    for text in ("2*erf(3*x)", "where(x > 0, 3*x, -x)", "5*x"):
        assert closed_kernel(read(text).expression) is not None


def test_the_rule_integrates_polynomials() -> None:
    sigma = np.array([1e-3, 1.0, 1e5])
    z, weight = gaussian_rule(sigma, (0.5,), mean=np.array([0.0, 2.0, -40.0]))
    for power, moment in ((0, 1), (1, 0), (2, 1), (4, 3), (8, 105)):
        assert np.allclose((z**power * weight).sum(1), moment, atol=1e-13 * max(moment, 1))
