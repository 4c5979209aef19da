"""The maps against closed forms, against published and independently computed numbers, and against
a wide network."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import sympy as sp

import analysis
import tinygrad_edu as tg
from analysis.dynamics.maps import Maps, _scale
from analysis.dynamics.number import Number
from analysis.errors import InputError, InvalidLaw, UnknownActivation

# V(q) and E[phi'^2] at variance q. mpmath, 25 digits
CURVES = {
    ("tanh", 0.01): (0.009805468755532409, 0.9806702434649816),
    ("tanh", 0.25): (0.17351614343237184, 0.71737986160311),
    ("tanh", 4.0): (0.6352612342569399, 0.2559504432252089),
    ("tanh", 100.0): (0.9205368634305167, 0.05310678774811601),
    ("gelu", 0.01): (0.0025469634945774963, 0.25624131882887735),
    ("gelu", 4.0): (1.9298650158644435, 0.506044764053799),
    ("gelu", 100.0): (49.981482730022826, 0.5053998641834169),
    ("relu", 4.0): (2.0, 0.5),
}

# The correlation after one layer at q = 1, sigma_b2 = 0. mpmath, two-dimensional quadrature
CORRELATIONS = {
    ("tanh", 0.25): 0.233500468211349,
    ("tanh", 0.5): 0.4725513993752427,
    ("tanh", 0.9): 0.8856409589431004,
    ("erf", 0.25): 0.22946653835963168,
    ("erf", 0.5): 0.46570375475590153,
    ("erf", 0.9): 0.8818373585023301,
}


@pytest.mark.parametrize(("name", "q"), CURVES)
def test_variance_and_chi(name: str, q: float) -> None:
    deep = analysis.maps(name)
    second, slope = CURVES[name, q]
    after, chi = deep.q(q, 1.7, 0.3), deep.chi(q, 1.7)
    assert after == pytest.approx(1.7 * second + 0.3, rel=1e-13)
    assert chi == pytest.approx(1.7 * slope, rel=1e-13)
    assert 0 < max(after.error / after, chi.error / chi) < 1e-13
    grid = deep.q(np.array([q, 2 * q]), 1.7, 0.3)
    assert grid[0] == pytest.approx(after, rel=1e-13)


@pytest.mark.parametrize(("name", "c"), CORRELATIONS)
def test_correlation(name: str, c: float) -> None:
    found = analysis.maps(name).c(c, 1.0, 2.0)
    assert found == pytest.approx(CORRELATIONS[name, c], rel=1e-11)
    assert found.error < 1e-13


def test_errors_of_expectations_reach_the_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a map is what it moves by, at most, when each expectation moves by its own."""
    monkeypatch.setattr(Maps, "kernel", lambda *_: Number(0.3, 1e-6))
    monkeypatch.setattr(Maps, "second", lambda *_: Number(0.4, 2e-6))
    monkeypatch.setattr(Maps, "derivative_second", lambda *_: Number(0.5, 3e-6))
    w, b = 1.7, 0.3
    deep = analysis.maps("tanh")
    assert deep.chi(1.0, w).error == pytest.approx(w * 3e-6)
    assert deep.q(1.0, w, b).error == pytest.approx(w * 2e-6)

    def moved(kernel: float, second: float) -> float:
        return (w * (0.3 + kernel) + b) / (w * (0.4 + second) + b)

    farthest = max(abs(moved(k, s) - moved(0, 0)) for k in (-1e-6, 1e-6) for s in (-2e-6, 2e-6))
    assert deep.c(0.5, 1.0, w, b).error == pytest.approx(farthest, rel=1e-4)  # of second order


SAMPLES = 200_000


@pytest.mark.parametrize("name", ["tanh", "hardtanh", "gelu", "elu", "softplus", "relu", "erf"])
@pytest.mark.parametrize("c", [-1.0, -0.4, 0.0, 0.7, 0.995, 1.0])
def test_the_correlation_map_is_what_sampling_gives(name: str, c: float) -> None:
    """Six standard errors."""
    rng = np.random.default_rng(3)
    u, w = rng.standard_normal((2, SAMPLES)) * math.sqrt(1.3)
    v = c * u + math.sqrt(1 - c * c) * w
    phi = getattr(tg, name)
    product = phi(tg.tensor(u)).numpy() * phi(tg.tensor(v)).numpy()
    deep = analysis.maps(name)
    expected = deep.c(c, 1.3, 1.0) * deep.q(1.3, 1.0)
    assert abs(product.mean() - expected) <= 6 * product.std() / math.sqrt(SAMPLES) + 1e-15


def test_the_correlation_map_near_1_where_the_series_does_not_reach() -> None:
    """hardtanh by an iterated integral in mpmath, split at the kinks."""
    c, q = 0.995, 1.0
    spread = mpmath.sqrt(1 - c * c)

    def phi(t: object) -> object:
        return max(-1, min(1, t))

    def inner(u: object) -> object:
        ends = sorted({-9, 9, *(min(9, max(-9, (k - c * u) / spread)) for k in (-1, 1))})
        return mpmath.quad(lambda w: phi(c * u + spread * w) * mpmath.npdf(w), ends, maxdegree=4)

    expected = mpmath.quad(
        lambda u: phi(u) * inner(u) * mpmath.npdf(u),
        [-9, -1.4, -1, -0.6, 0, 0.6, 1, 1.4, 9],
        maxdegree=4,
    )
    deep = analysis.maps("hardtanh")
    found = deep.kernel(q, c)
    assert abs(found - float(expected)) < 1e-8  # mpmath's own error at this degree
    assert found.error < 1e-12


def test_closed_forms_with_symbols() -> None:
    q, w, b = sp.symbols("q sigma_w2 sigma_b2", positive=True)
    c = sp.Symbol("c", real=True)
    relu = analysis.maps("relu")
    assert sp.simplify(relu.q(q, w, b).exact - (q * w / 2 + b)) == 0
    assert r"\frac{" in relu.q(q, w, b).latex()
    assert relu.chi(q, w).exact == w / 2
    map_c = relu.c(c, q, w, 0).exact
    kernel = (sp.sqrt(1 - c**2) + c * (sp.pi - sp.acos(c))) / sp.pi  # Cho and Saul 2009
    assert sp.simplify(map_c - kernel) == 0
    erf = analysis.maps("erf").c(c, q, w, b).exact
    assert float(erf.subs({c: 0.3, q: 0.8, w: 1.5, b: 0.2})) == pytest.approx(
        analysis.maps("erf").c(0.3, 0.8, 1.5, 0.2)
    )
    assert analysis.maps("tanh").q(q, w, b).exact is None
    with pytest.raises(InvalidLaw, match="no closed form"):
        analysis.maps("tanh").c(c, q, w, b)


def test_any_activation_has_maps() -> None:
    for given in ("x*tanh(log(1 + exp(x)))", tg.mish, sp.Symbol("x") ** 3, "leaky_relu"):
        deep = analysis.maps(given)
        assert isinstance(deep, Maps)
        assert deep.q(0.5, 1.0) > 0
    assert analysis.maps("x*tanh(log(1 + exp(x)))").q(0.5, 2) == pytest.approx(
        analysis.maps("mish").q(0.5, 2), rel=1e-13
    )
    assert analysis.maps("leaky_relu", negative_slope=0.5).chi(1.0, 1.0) == pytest.approx(0.625)


def test_the_chaos_of_an_activation_that_jumps() -> None:
    step = analysis.maps("sign")
    assert step.chi(1.0, 1.0) == math.inf
    assert step.c(0.5, 1.0, 1.0) == pytest.approx(2 / math.pi * math.asin(0.5), rel=1e-11)


@pytest.mark.parametrize("name", ["tanh", "hardtanh", "relu", "erf"])
def test_signals_of_no_variance(name: str) -> None:
    """Only the biases are left, which all inputs share."""
    deep = analysis.maps(name)
    with np.errstate(divide="raise", invalid="raise"):
        assert deep.kernel(0.0, 0.5) == 0
        assert deep.c(0.5, 0.0, 1.3, 0.2) == pytest.approx(1)


def test_impossible_arguments() -> None:
    tanh = analysis.maps("tanh")
    for call in (
        lambda: tanh.q(-1, 1),
        lambda: tanh.q(1, -1),
        lambda: tanh.q(1, 1, math.nan),
        lambda: tanh.q(1, math.inf),
        lambda: tanh.q("1 + 1", None),
        lambda: tanh.c(1.1, 1, 1),
        lambda: tanh.q(np.array([1.0, -1.0]), 1),
        lambda: tanh.phase([1.0], [math.inf]),
    ):
        with pytest.raises((InvalidLaw, ValueError)):
            call()
    with pytest.raises(UnknownActivation):
        analysis.maps("tnah")
    with pytest.raises(InputError):
        analysis.maps("x.real")


def test_depth_scales() -> None:
    """tanh, sigma_b2 = 0.05 (Schoenholz et al. 2017, eq. 7 and 9), computed elsewhere by iterating
    the maps."""
    tanh = analysis.maps("tanh")
    for sigma_w2, xi_c in (
        (1.0, 3.626975618),
        (1.3, 7.834069268),
        (1.5, 15.790994034),
        (2.0, 25.21341),
        (2.5, 11.795597516),
    ):
        found = tanh.depth_scale(sigma_w2, 0.05)
        assert found.xi_c == pytest.approx(xi_c, rel=1e-6)
        assert found.xi_c.error < 1e-10
    edge = tanh.critical(0.05)
    assert tanh.depth_scale(edge.sigma_w2, 0.05).xi_c > 1e9
    assert tanh.depth_scale(edge.sigma_w2, 0.05).xi_q == pytest.approx(1.5210974, rel=1e-7)


def test_the_error_of_a_slope_reaches_the_depth_scale() -> None:
    """What -1 / log(slope) moves by where the slope moves by its error."""
    slope, error = -0.7, 1e-6
    moved = abs(1 / math.log(0.7 + error) - 1 / math.log(0.7))
    assert _scale(Number(slope, error)).error == pytest.approx(moved, rel=1e-4)
    assert _scale(Number(slope)) == pytest.approx(-1 / math.log(0.7))


def test_the_depth_scale_is_that_of_the_iterated_map() -> None:
    """Twenty layers from the fixed point's neighbourhood shrink by exp(-20/xi)."""
    w, b = 2.0, 0.05
    tanh = analysis.maps("tanh")
    at, scales = tanh.fixed_point(w, b), tanh.depth_scale(w, b)
    q, c = at.q + 1e-4, at.c + 1e-4
    for _ in range(20):
        c = float(tanh.c(c, at.q, w, b))
    for _ in range(5):
        q = float(tanh.q(q, w, b))
    assert math.log((c - at.c) / 1e-4) == pytest.approx(-20 / scales.xi_c, rel=1e-3)
    assert math.log((q - at.q) / 1e-4) == pytest.approx(-5 / scales.xi_q, rel=1e-3)


def test_the_height_of_an_error_function_is_squared() -> None:
    high, one = analysis.maps("3*erf(x)"), analysis.maps("erf")
    for slope in (False, True):
        assert high.kernel(0.7, 0.4, slope) == pytest.approx(9 * one.kernel(0.7, 0.4, slope))
