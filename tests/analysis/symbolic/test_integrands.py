"""Both readings of an integrand keep their digits; what cannot be computed is refused by name."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

from analysis.errors import NotANumber, UnsupportedActivation
from analysis.symbolic.integrands import guarded, integrand

x = sp.Symbol("x", real=True)


def test_the_tail_of_gelu() -> None:
    """x Phi(x) at -25, where 1 + erf cancels to nothing in doubles and in 120 digits."""
    f = integrand(x * (1 + sp.erf(x / sp.sqrt(2))) / 2, x)
    with mpmath.workdps(300):
        exact = float(-25 * mpmath.erfc(25 / mpmath.sqrt(2)) / 2)
    at = np.array([-25.0])
    assert f.at(at)[0] == pytest.approx(exact, rel=1e-13)
    assert f.precisely_at(at)[0] == pytest.approx(exact, rel=1e-15)


def test_the_slope_of_tanh_does_not_cancel() -> None:
    f = integrand(sp.diff(sp.tanh(x), x), x)
    assert f.at(np.array([30.0]))[0] == pytest.approx(4 * np.exp(-60), rel=1e-13)


def test_exponentials_beyond_memory() -> None:
    tower = guarded(sp.exp(sp.exp(sp.exp(x))), x)
    assert tower(mpmath.mpf(37)) == mpmath.inf
    assert guarded(sp.exp(-sp.exp(sp.exp(x))), x)(mpmath.mpf(37)) == 0
    assert guarded(sp.cosh(sp.exp(x)), x)(mpmath.mpf(40)) == mpmath.inf
    assert guarded(sp.sinh(-sp.exp(x)), x)(mpmath.mpf(40)) == -mpmath.inf


def test_functions_that_the_engine_does_not_have() -> None:
    f = integrand(sp.besselj(0, x), x)
    assert f.at(np.array([1.5]))[0] == pytest.approx(0.5118276717359181, rel=1e-14)


def test_what_cannot_be_computed() -> None:
    with pytest.raises(UnsupportedActivation, match="cannot be computed"):
        integrand(sp.Function("g")(x), x)
    with pytest.raises(NotANumber, match="until a have"):
        integrand(sp.Symbol("a") * x, x)


@pytest.mark.filterwarnings("error")
def test_branches_that_are_not_taken_do_not_warn() -> None:
    f = integrand(sp.diff(sp.sqrt(sp.Abs(x)), x) ** 2, x)
    assert f.at(np.array([4.0, -4.0])) == pytest.approx(1 / 16)
