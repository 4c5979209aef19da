"""Moments and gains of the engine's activations, against values computed elsewhere."""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp

import analysis
from analysis.errors import DivergentMoment, InvalidLaw, UnsupportedActivation
from analysis.symbolic.reading import X, read

# E[phi], E[phi^2], E[phi'^2] for z ~ N(0, 1). mpmath, 25 digits
REFERENCE = {
    "relu": ("0.398942280401433", "0.5", "0.5"),
    "leaky_relu": ("0.394952857597418", "0.50005", "0.50005"),
    "elu": ("0.160520572266556", "0.644945417492924", "0.668102001223171"),
    "selu": ("0", "1.0", "1.0715749924558"),
    "gelu": ("0.282094791773878", "0.425221482570299", "0.455850865649287"),
    "silu": ("0.206620964141907", "0.355775519817352", "0.379482351632829"),
    "softplus": ("0.80605918334744", "0.9212459088593", "0.293379035858093"),
    "tanh": ("0", "0.394294490397841", "0.464402902448268"),
    "sigmoid": ("0.5", "0.293379035858093", "0.0448362413501944"),
    "erf": ("0", "0.46455905439754", "0.569410034733742"),
    "hardtanh": ("0", "0.516058550961713", "0.682689492137086"),
}
FOURTH = {"relu": "1.5", "elu": "1.57065368775825", "gelu": "1.30467909721713"}
CLOSED = {"relu", "leaky_relu", "elu", "selu", "gelu", "erf", "hardtanh"}

v = sp.Symbol("v", positive=True)


@pytest.mark.parametrize("name", REFERENCE)
def test_moments(name: str) -> None:
    found = analysis.moments(name)
    moments = (found.mean, found.second, found.derivative_second)
    for moment, reference in zip(moments, REFERENCE[name], strict=True):
        assert float(moment) == pytest.approx(float(reference), rel=1e-13, abs=1e-15)
        assert moment.error < 1e-14
    assert float(found.variance) == pytest.approx(float(found.second) - float(found.mean) ** 2)


@pytest.mark.parametrize("name", FOURTH)
def test_fourth_moments(name: str) -> None:
    fourth = analysis.moments(name).fourth
    assert float(fourth) == pytest.approx(float(FOURTH[name]), rel=1e-13)


@pytest.mark.parametrize("name", REFERENCE)
def test_closed_forms_are_found_where_there_are_some(name: str) -> None:
    found = analysis.moments(name, variance=v)
    for moment in (found.mean, found.second, found.derivative_second):
        assert (moment.exact is not None) == (name in CLOSED)
    assert r"\mathbb{E}" in found.second.latex() or name in CLOSED


@pytest.mark.parametrize("name", sorted(CLOSED))
def test_a_symbolic_variance_agrees_with_a_numeric_one(name: str) -> None:
    symbolic = analysis.moments(name, variance=v).second.exact
    numeric = analysis.moments(name, variance=0.37).second
    assert symbolic is not None
    assert float(symbolic.subs(v, sp.Rational(37, 100)).n(20)) == pytest.approx(float(numeric))


@pytest.mark.parametrize("name", ["relu", "tanh", "silu"])
def test_mean_and_variance_of_the_input(name: str) -> None:
    found = analysis.moments(name, mean=0.5, variance=0.25).second
    f = sp.lambdify(X, read(name).expression, "mpmath")
    reference = mpmath.quad(lambda z: f(0.5 + z / 2) ** 2 * mpmath.npdf(z), [-12, -1, 0, 1, 12])
    assert float(found) == pytest.approx(float(reference), rel=1e-13)


def test_an_odd_function_has_mean_zero_exactly() -> None:
    assert analysis.moments("tanh").mean.exact == 0
    with pytest.raises(DivergentMoment):
        _ = analysis.moments(1 / sp.Symbol("x")).mean


# ------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize("f", [1 / X, 1 / X**2, sp.exp(X**2), sp.log(X**2) / X])
def test_divergent_moments_raise(f: sp.Expr) -> None:
    with pytest.raises(DivergentMoment):
        _ = analysis.moments(f).second


def test_impossible_laws_raise() -> None:
    for variance in (-1, float("nan"), float("inf"), sp.Symbol("w")):
        with pytest.raises(InvalidLaw):
            analysis.moments("relu", variance=variance)


# ------------------------------------------------------------------------------ gains

# 1/sqrt(E[phi^2]) and 1/sqrt(E[phi'^2]), z ~ N(0, 1). mpmath, 25 digits
GAINS = {
    "relu": (1.4142135623730951, 1.4142135623730951),
    "tanh": (1.592537419722831, 1.467413591625149),
    "gelu": (1.533530441195520, 1.481114412708420),
    "selu": (1.0, 0.966025776973830),
    "sigmoid": (1.846228997800650, 4.722646229512250),
}


@pytest.mark.parametrize("name", GAINS)
def test_gain(name: str) -> None:
    forward, backward = analysis.gain(name), analysis.gain(name, "backward")
    assert float(forward) == pytest.approx(GAINS[name][0], rel=1e-6)
    assert float(forward) ** -2 == pytest.approx(float(REFERENCE[name][1]), rel=1e-13)
    assert float(backward) ** -2 == pytest.approx(float(REFERENCE[name][2]), rel=1e-13)
    assert max(forward.error, backward.error) < 1e-13


def test_gains_in_closed_form() -> None:
    a = sp.Symbol("a", real=True)
    assert analysis.gain("relu").exact == sp.sqrt(2)
    assert analysis.gain("linear").exact == 1
    leaky = analysis.gain("leaky_relu", negative_slope=a).exact
    assert sp.simplify(leaky - sp.sqrt(2 / (1 + a**2))) == 0
    assert analysis.gain("tanh").exact is None


def test_a_gain_needs_a_signal_and_a_direction() -> None:
    with pytest.raises(UnsupportedActivation, match="no signal through backward"):
        analysis.gain("sign", "backward")
    with pytest.raises(ValueError, match="direction"):
        analysis.gain("relu", "sideways")  # type: ignore[arg-type]
