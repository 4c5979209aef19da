"""Moments and gains of the engine's activations, against values computed elsewhere."""

from __future__ import annotations

import contextlib
import itertools
import math

import mpmath
import pytest
import sympy as sp

import analysis
import tinygrad_edu as tg
from analysis.errors import DivergentMoment, InvalidLaw, QuadratureError, UnsupportedActivation
from analysis.symbolic.pieces import kinks
from analysis.symbolic.reading import X, read
from tinygrad_edu import nn, ops
from tinygrad_edu.nn import functional
from tinygrad_edu.ops.kinds import Elementwise

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


# ------------------------------------------------------------------------------ every activation

LAWS = [(0.5, 0.25), (0, 1e-12), (0, 1e12), (50, 1), (-50, 1)]
"""mean, variance"""
SMALLEST = 1e-250  # below, the reference's own terms leave the range it is scaled for

ACTIVATIONS = [
    op.name
    for op in ops.TABLE.values()
    if isinstance(op, Elementwise)
    and op.arity == 1
    and op.result != "bool"
    and not hasattr(op, "expression")
    and op.name
    not in {
        "floor",
        "exp",
        "expm1",
        "sinh",
        "cosh",
        "tan",
        "log",
        "log1p",
        "sqrt",
        "rsqrt",
        "asin",
        "acos",
        "sin",
        "cos",
    }
]
"""Those with moments under each of the laws; the others have tests of their own."""


def independently(f: sp.Expr, mean: float, variance: float) -> float:
    """E[f(x)] by mpmath, split at kinks and where activations bend, scaled to its own size."""
    compiled = sp.lambdify(X, f, "mpmath")
    with mpmath.workdps(30):
        mu, sigma = mpmath.mpf(mean), mpmath.sqrt(mpmath.mpf(variance))
        bends = [sign * b for b in (0, 0.3, 1, 3, 8, 20, 60) for sign in (-1, 1)]
        cuts = {(mpmath.mpf(b) - mu) / sigma for b in (*kinks(f, X), *bends)}
        cuts |= {mpmath.mpf(z) for z in (-22, -12, -6, -3, -1, 0, 1, 3, 6, 12, 22)}
        ends = sorted(z for z in cuts if abs(z) <= 22)

        def g(z: object) -> object:
            return compiled(mu + sigma * z) * mpmath.npdf(z)

        middles = [(a + b) / 2 for a, b in itertools.pairwise(ends)]
        scale = max(abs(g(z)) for z in (*ends, *middles)) or 1
        return float(scale * mpmath.quad(lambda z: g(z) / scale, ends))


@pytest.mark.parametrize(("mean", "variance"), LAWS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_under_every_law(name: str, mean: float, variance: float) -> None:
    found = analysis.moments(name, mean, variance)
    phi = found.activation
    f = phi.expression
    asked = [(found.second, f**2), (found.derivative_second, phi.derivative**2)]
    if (mean, variance) in LAWS[:2]:
        asked += [(found.mean, f), (found.fourth, f**4)]
    for moment, integrand in asked:
        expected = independently(integrand, mean, variance)
        off = abs(float(moment) - expected)
        assert off <= max(moment.error, 1e-12 * abs(expected)) + 1e-12 * _size(f, mean, variance)
        if abs(expected) > SMALLEST and moment.exact is None:
            assert moment.error <= 1e-10 * abs(float(moment))


def _size(f: sp.Expr, mean: float, variance: float) -> float:
    """The reference's own rounding for a moment that vanishes."""
    return 1e-26 * float(abs(f.subs(X, mean + 6 * variance**0.5).evalf(15)) + 1) ** 4


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "gelu", "silu", "softsign"])
@pytest.mark.parametrize(("mean", "variance"), [(0, 1), (-1, 1e-6)])
def test_a_small_variance_keeps_its_digits(name: str, mean: float, variance: float) -> None:
    """E[f^2] - E[f]^2 alone would lose all of them."""
    found = analysis.moments(name, mean, variance)
    f = found.activation.expression
    centre = sp.Float(found.mean.evalf(40), 40)
    expected = independently((f - centre) ** 2, mean, variance)
    assert float(found.variance) == pytest.approx(expected, rel=1e-12)
    assert found.variance.error <= 1e-10 * expected


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("leaky_relu", {"negative_slope": 0}),
        ("leaky_relu", {"negative_slope": 1}),
        ("leaky_relu", {"negative_slope": -0.5}),
        ("elu", {"alpha": 0.3}),
        ("hardtanh", {"low": -0.1, "high": 7.0}),
    ],
)
def test_parameters(name: str, parameters: dict[str, float]) -> None:
    found = analysis.moments(name, 0.4, 2.25, **parameters)
    f = found.activation.expression
    assert float(found.second) == pytest.approx(independently(f**2, 0.4, 2.25), rel=1e-13)
    assert found.second.exact is not None


@pytest.mark.parametrize(
    ("spelled", "f"),
    [
        (nn.ReLU, sp.Max(X, 0)),
        (nn.LeakyReLU(0.3), sp.Piecewise((X, X > 0), (sp.Rational(3, 10) * X, True))),
        (nn.Softplus(beta=3.0), sp.log(1 + sp.exp(3 * X)) / 3),
        (functional.elu, sp.Piecewise((X, X > 0), (sp.exp(X) - 1, True))),
        (lambda x: tg.clamp(x, -2, 1), sp.Min(sp.Max(X, -2), 1)),
        (lambda x: tg.clamp(x, min=0), sp.Max(X, 0)),
        (
            lambda x: tg.where(x > 0, x, x.exp() - 1),
            sp.Piecewise((X, X > 0), (sp.exp(X) - 1, True)),
        ),
        (lambda x: tg.maximum(x, 0.1 * x), sp.Max(X, X / 10)),
        (nn.Sequential(nn.ReLU(), nn.Tanh()), sp.tanh(sp.Max(X, 0))),
        ("x*tanh(log(1 + exp(x)))", X * sp.tanh(sp.log(1 + sp.exp(X)))),
        (sp.besselj(0, X), sp.besselj(0, X)),
    ],
)
def test_however_it_is_given(spelled: object, f: sp.Expr) -> None:
    found = analysis.moments(spelled, 0.2, 1.3)
    assert float(found.second) == pytest.approx(independently(f**2, 0.2, 1.3), rel=1e-12)
    assert float(analysis.gain(spelled)) == pytest.approx(
        independently(f**2, 0, 1) ** -0.5, rel=1e-12
    )


def test_sine_and_cosine_stay_exact_where_nothing_can_be_sampled() -> None:
    q = 1e12
    assert float(analysis.moments("sin", variance=q).second) == 0.5
    assert float(analysis.moments("cos", mean=50, variance=1).mean) == pytest.approx(
        math.cos(50) * math.exp(-0.5), rel=1e-12
    )


# ------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    "f",
    [1 / X, 1 / X**2, 1 / (1 + X), sp.exp(X**2), sp.log(X**2) / X, sp.tan(X), sp.exp(sp.exp(X**2))],
)
def test_divergent_moments_raise(f: sp.Expr) -> None:
    with pytest.raises(DivergentMoment):
        _ = analysis.moments(f).second


def test_a_derivative_that_cannot_be_squared() -> None:
    found = analysis.moments(sp.log(sp.Abs(X)))
    assert float(found.mean) == pytest.approx(-(float(sp.EulerGamma) + math.log(2)) / 2, rel=1e-10)
    with pytest.raises(DivergentMoment):
        _ = found.derivative_second


@pytest.mark.parametrize(
    "f", ["sqrt", "rsqrt", "log", "log1p", "asin", "acos", sp.sqrt(X), sp.log(X), X**X, "x**0.3"]
)
def test_what_is_not_real_raises(f: object) -> None:
    with pytest.raises(UnsupportedActivation, match="not real"):
        analysis.moments(f)


@pytest.mark.parametrize(
    "f", [sp.I * X, sp.oo * X, sp.zoo * X, sp.DiracDelta(X), sp.Function("g")(X)], ids=str
)
def test_what_has_no_values_raises(f: sp.Expr) -> None:
    with pytest.raises(UnsupportedActivation, match="no"):
        analysis.moments(f)


def test_infinitely_many_pieces_raise() -> None:
    with pytest.raises(UnsupportedActivation, match="infinitely many"):
        _ = analysis.moments("floor").second


@pytest.mark.parametrize("text", ["(x + tanh(x) + exp(x) + x**2)**20", "(sin(x) + cos(x) + x)**8"])
def test_what_would_expand_without_end_is_integrated(text: str) -> None:
    with contextlib.suppress(DivergentMoment, QuadratureError):
        assert analysis.moments(text, variance=0.01).second.exact is None


def test_symbols_for_mean_and_variance() -> None:
    m = sp.Symbol("m", real=True)
    for name in ("relu", "elu", "hardtanh", "exp", "sin"):
        exactly = analysis.moments(name, m, v).second.exact.subs({m: 0.3, v: 0.7})
        assert float(exactly.n(20)) == pytest.approx(float(analysis.moments(name, 0.3, 0.7).second))


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
