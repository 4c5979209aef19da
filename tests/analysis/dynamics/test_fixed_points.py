"""Fixed points and the edge of chaos: values computed elsewhere, closed forms, iteration."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp

import analysis
from analysis.dynamics.fixed_points import bisected
from analysis.dynamics.maps import Maps
from analysis.dynamics.number import Number
from analysis.errors import NoFixedPoint

# sigma_b2: (sigma_w2, q). Poole et al. 2016 and Schoenholz et al. 2017 define it; numbers by mpmath
EDGES = {
    ("tanh", 0.01): (1.4242052904885951, 0.273300913458231),
    ("tanh", 0.05): (1.7609546396067381, 0.5700478816407636),
    ("tanh", 0.1): (1.9860726411358647, 0.805799181913488),
    ("erf", 0.01): (1.1142800634037773, 0.2532096563311422),
    ("erf", 0.05): (1.3758390073466809, 0.517176837980565),
    ("erf", 0.1): (1.5521178553336423, 0.7263592293849606),
}

# tanh, sigma_b2 = 0.05, by iterating the maps: sigma_w2: (q, chi_1, c)
TANH = {
    1.0: (0.1935925202452985, 0.7590316471853922, 1.0),
    1.5: (0.4180372005334797, 0.93863626819885, 1.0),
    2.0: (0.7217618726520733, 1.0476659995757343, 0.74408242),
    2.5: (1.06395837741681, 1.1335156987042725, 0.44680423),
    4.0: (2.1954939280344874, 1.3424024144451923, 0.16506491),
}

# The slope of the variance map at q = 1 with sigma_w2 = 1 / E[phi(z)^2]. mpmath
MATCHED = {
    "gelu": 1.1440631965,
    "silu": 1.1725940537,
    "elu": 0.8909679721,
    "selu": 0.7826478836,
    "tanh": 0.4610708317,
    "erf": 0.4085666692,
}


@pytest.mark.parametrize(("name", "sigma_b2"), EDGES)
def test_the_edge_of_chaos(name: str, sigma_b2: float) -> None:
    edge = analysis.maps(name).critical(sigma_b2)
    sigma_w2, q = EDGES[name, sigma_b2]
    assert edge.sigma_w2 == pytest.approx(sigma_w2, rel=1e-11)
    assert edge.q == pytest.approx(q, rel=1e-10)
    assert edge.stable
    assert edge.q is not None
    assert max(edge.sigma_w2.error, edge.q.error) < 1e-12
    at = analysis.maps(name).fixed_point(edge.sigma_w2, sigma_b2)
    assert at.q == pytest.approx(edge.q, rel=1e-11)
    assert at.chi_1 == pytest.approx(1, abs=1e-11)


@pytest.mark.parametrize("sigma_b2", [0.003, 0.2, 1.5])
def test_the_edge_of_erf_is_its_closed_form(sigma_b2: float) -> None:
    """q = ((4w/pi)^2 - 1)/4 and sigma_b2 = q - (2w/pi) asin(2q/(1 + 2q)), w = sigma_w2."""
    edge = analysis.maps("erf").critical(sigma_b2)
    q = ((4 * edge.sigma_w2 / math.pi) ** 2 - 1) / 4
    assert edge.q == pytest.approx(q, rel=1e-11)
    b = q - 2 * edge.sigma_w2 / math.pi * math.asin(2 * q / (1 + 2 * q))
    assert b == pytest.approx(sigma_b2, rel=1e-10)


@pytest.mark.parametrize(
    ("name", "sigma_w2", "stable"),
    [
        ("tanh", 1.0, True),
        ("erf", math.pi / 4, True),
        ("hardtanh", 1.0, True),
        ("softsign", 1.0, True),
        ("elu", 1.0, True),
        ("selu", 0.476771017882753, True),  # 2 / (scale^2 (1 + alpha^2))
        ("gelu", 4.0, False),
        ("silu", 4.0, False),
    ],
)
def test_the_edge_without_biases(name: str, sigma_w2: float, stable: bool) -> None:
    edge = analysis.maps(name).critical(0)
    assert edge.sigma_w2 == pytest.approx(sigma_w2, rel=1e-14)
    assert edge.q == 0
    assert edge.stable == stable


def test_rectifiers_have_their_edge_without_biases_only() -> None:
    edge = analysis.maps("relu").critical(0)
    assert edge.sigma_w2 == pytest.approx(2, rel=1e-14)
    assert edge.q is None
    assert "any variance" in edge.message
    leaky = analysis.maps("leaky_relu", negative_slope=0.2).critical()
    assert leaky.sigma_w2 == pytest.approx(2 / 1.04, rel=1e-14)
    with pytest.raises(NoFixedPoint, match="sigma_b2 = 0 only"):
        analysis.maps("relu").critical(0.1)
    at = analysis.maps("relu").fixed_point(2.0)
    assert (at.q, at.chi_1, at.c) == (1, pytest.approx(1), 1)
    assert not at.stable
    assert "whatever it is" in at.message


def test_there_may_be_no_edge() -> None:
    with pytest.raises(NoFixedPoint, match="no edge of chaos"):
        analysis.maps("softplus").critical(0.05)
    with pytest.raises(NoFixedPoint, match="jumps"):
        analysis.maps("sign").critical(0.05)


@pytest.mark.parametrize("sigma_w2", TANH)
def test_the_fixed_point_of_tanh(sigma_w2: float) -> None:
    at = analysis.maps("tanh").fixed_point(sigma_w2, 0.05)
    q, chi, c = TANH[sigma_w2]
    assert at.q == pytest.approx(q, rel=1e-12)
    assert at.chi_1 == pytest.approx(chi, rel=1e-12)
    assert at.c == pytest.approx(c, rel=1e-6)
    assert at.stable
    assert max(at.q.error, at.c.error) < 1e-11
    assert ("chaotic" in at.message) == (chi > 1)
    again = analysis.maps("tanh").c(at.c, at.q, sigma_w2, 0.05)
    assert again == pytest.approx(at.c, rel=1e-11)


def test_fixed_points_of_other_activations() -> None:
    """The gains of torch's table, iterated from 1: what their activations settle at."""
    assert analysis.maps("selu").fixed_point(0.5625).q == pytest.approx(0.023033784612, rel=1e-9)
    sigmoid = analysis.maps("sigmoid").fixed_point(1.0)
    assert sigmoid.q == pytest.approx(0.26468687518, rel=1e-10)
    assert sigmoid.chi_1 == pytest.approx(0.0557207067697, rel=1e-10)
    tanh = analysis.maps("tanh").fixed_point(25 / 9)
    assert tanh.q == pytest.approx(1.17848049039, rel=1e-11)
    assert tanh.chi_1 == pytest.approx(1.20983132038, rel=1e-11)
    assert tanh.c == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", MATCHED)
def test_whether_the_variance_stays_at_the_matched_gain(name: str) -> None:
    at = analysis.maps(name).matched()
    assert at.q == pytest.approx(1)
    assert at.slope == pytest.approx(MATCHED[name], rel=1e-8)
    assert at.stable == (MATCHED[name] < 1)


def test_gelu_leaves_its_matched_gain() -> None:
    """Started at 0.9 or 1.1, forty layers later: 5.9e-6 and 53.2."""
    gelu = analysis.maps("gelu")
    w = 1 / float(analysis.moments("gelu").second)
    for start, end in ((0.9, 5.880210867e-6), (1.1, 53.24122169)):
        q = start
        for _ in range(40):
            q = float(gelu.q(q, w))
        assert q == pytest.approx(end, rel=1e-6)
    assert gelu.fixed_point(w, start=0.9).q == 0
    beyond = gelu.fixed_point(w, start=1.1)
    assert beyond.q == math.inf
    assert "without bound" in beyond.message
    assert [other.q for other in beyond.others] == [0, pytest.approx(1)]


def test_several_fixed_points() -> None:
    """phi = x^2: q = 3 w q^2 + b has the two roots of a quadratic equation."""
    w, b = 0.1, 0.5
    low, high = (
        float(root)
        for root in sp.real_roots(
            sp.Poly(sp.Rational(3, 10) * sp.Symbol("q") ** 2 - sp.Symbol("q") + sp.Rational(1, 2))
        )
    )
    at = analysis.maps("x**2").fixed_point(w, b)
    assert at.q == pytest.approx(low, rel=1e-12)
    assert [o.q for o in at.others] == [pytest.approx(high, rel=1e-12), math.inf]
    assert [o.stable for o in at.others] == [False, True]
    close = analysis.maps("x**2").fixed_point(w, 0.8333333)  # 1/(12 w) = 0.83333... is the last
    roots = [close.q, close.others[0].q]
    assert roots == [pytest.approx(5 / 3, rel=1e-3)] * 2
    assert roots[0] < roots[1]


def test_none_but_infinity() -> None:
    at = analysis.maps("relu").fixed_point(2.0, 0.1)
    assert at.q == math.inf
    assert at.others == ()
    assert analysis.maps("tanh").fixed_point(0.5).q == 0


def test_a_decreasing_map_is_iterated() -> None:
    """phi = exp(-x^2) maps variance down: V(q) = 1/sqrt(1 + 4q)."""
    at = analysis.maps("exp(-x**2)").fixed_point(1.0)
    assert at.q == pytest.approx(1 / math.sqrt(1 + 4 * at.q), rel=1e-12)
    assert at.slope == pytest.approx(-2 / (1 + 4 * at.q) ** 1.5, rel=1e-10)


def test_a_map_that_rises_and_falls_is_iterated() -> None:
    """phi = 3 x exp(-x^2): V(q) = 9 q / (1 + 4 q)^(3/2), which leaves 0 and settles."""
    at = analysis.maps("3*x*exp(-x**2)").fixed_point(1.0)
    assert at.q == pytest.approx((9 ** (2 / 3) - 1) / 4, rel=1e-12)
    assert at.stable
    assert [other.q for other in at.others] == [0]


def test_bisection() -> None:
    assert bisected(lambda x: x**3 - 2, 0.0, 2.0) == pytest.approx(2 ** (1 / 3), rel=1e-15)
    assert bisected(lambda x: math.inf if x > 1 else x - 0.5, 0.0, 2.0) == pytest.approx(0.5)
    assert bisected(np.sign, -1.0, 3.0) == pytest.approx(0.0, abs=1e-15)


def _shifted(monkeypatch: pytest.MonkeyPatch, name: str, error: float) -> None:
    """Every expectation of that name says that it may be off by `error`."""
    right = getattr(Maps, name)
    monkeypatch.setattr(
        Maps, name, lambda *given, **options: Number(float(right(*given, **options)), error)
    )


def test_errors_of_expectations_reach_the_fixed_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error e of E[phi^2] moves q as biases of variance w e more would; one of E[phi phi'] moves
    c as far as the crossing of the shifted map lies from it. All but e^2."""
    w, b, e = 2.0, 0.05, 1e-6
    tanh = analysis.maps("tanh")
    moved_q = tanh.fixed_point(w, b + w * e).q - tanh.fixed_point(w, b).q
    at = tanh.fixed_point(w, b)

    def beyond(c: float) -> float:
        return (w * (tanh.kernel(at.q, c) + e) + b) / at.q - c

    moved_c = bisected(beyond, at.c - 0.1, at.c + 0.1) - at.c
    _shifted(monkeypatch, "second", e)
    _shifted(monkeypatch, "kernel", e)
    found = tanh.fixed_point(w, b)
    assert found.q.error == pytest.approx(moved_q, rel=1e-3)
    assert found.c.error == pytest.approx(moved_c, rel=1e-3)
    assert found.c_slope.error == pytest.approx(w * e)


@pytest.mark.parametrize("name", ["second", "derivative_second"])
def test_errors_of_expectations_reach_the_edge(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What moves is q with chi_1 = 1: the root of q - V / X - b, and with it w = 1 / X."""
    tanh, b, e = analysis.maps("tanh"), 0.05, 1e-6
    edge = tanh.critical(b)
    assert edge.q is not None
    up = {"second": 0.0, "derivative_second": 0.0, name: e}

    def off(q: float) -> float:
        second, chi = tanh.second(q) + up["second"], chi_of(q)
        return q - second / chi - b

    def chi_of(q: float) -> float:
        return tanh.derivative_second(q) + up["derivative_second"]

    q = bisected(off, edge.q - 0.1, edge.q + 0.1)
    own = e if name == "derivative_second" else 0.0
    bend = abs(chi_of(q) - chi_of(edge.q))
    moved = abs(q - edge.q)
    weight = (own + bend) * edge.sigma_w2**2  # both may have the same sign
    _shifted(monkeypatch, name, e)
    found = tanh.critical(b)
    assert found.q is not None
    assert found.q.error == pytest.approx(moved, rel=1e-3)
    assert found.sigma_w2.error == pytest.approx(weight, rel=1e-3)


def test_the_error_of_a_rectifiers_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    _shifted(monkeypatch, "derivative_second", 1e-6)
    assert analysis.maps("relu").critical().sigma_w2.error == pytest.approx(
        1 / 0.5 - 1 / 0.500001, rel=1e-5
    )
