"""The weight variance at which neither the signal nor its gradient fades or explodes with depth."""

from __future__ import annotations

import sympy as sp
from sympy import Expr

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import E, Var
from analysis.symbolic.gaussian import GaussianExpectation
from analysis.symbolic.reading import Activation, X, read
from analysis.topics import derive
from analysis.topics.dense import DELTA, N_OUT, W

Q, SIGMA_W2 = sp.symbols("q sigma_w2", positive=True)
SIGMA_B2 = sp.Symbol("sigma_b2", real=True)


def edge_of_chaos() -> Derivation:
    """sigma_w^2 with chi = sigma_w^2 E[phi'^2] = 1: for erf in closed form, and its limits."""
    erf = read("erf")
    critical = sp.pi * sp.sqrt(1 + 4 * Q) / 4

    derivation = Derivation(
        "edge-of-chaos",
        "the weight variance `sigma_w2/n` of an erf network on the edge of chaos, `chi = 1`",
        sp.Eq(_chi(erf), 1),
        given=(
            "wide layers: pre-activations are normal, here with the same variance `q` in all of "
            "them; weights have variance `sigma_w2/n`, biases `sigma_b2`",
            "`chi = sigma_w2 E[phi'^2]` is what a layer multiplies a small difference of two "
            "inputs by, as the slope of the map of their correlation at 1 (Price's theorem)",
        ),
        uses=(derive("dense-backward"), derive("arcsine-kernel")),
    )
    derivation = _gradient(derivation)
    derivation = derivation.step(
        "`E[erf'^2]` in closed form",
        sp.Eq(SIGMA_W2 * 4 / (sp.pi * sp.sqrt(1 + 4 * Q)), 1, evaluate=False),
    ).solve(SIGMA_W2, critical, "solve for `sigma_w2`")
    derivation = derivation.remark(
        "without biases `q` falls to 0, and the edge is at",
        critical,
        sp.pi / 4,
        assumption="`q = 0`",
        where={Q: sp.S.Zero},
    ).remark(
        "`q` stays where it is with the biases",
        _stays(erf),
        Q - 2 * SIGMA_W2 / sp.pi * sp.asin(2 * Q / (1 + 2 * Q)),
        solve_for=SIGMA_B2,
    )
    return _others(derivation)


def _chi(phi: Activation, q: Expr = Q) -> Expr:
    return SIGMA_W2 * GaussianExpectation(phi.derivative_function(X) ** 2, X, 0, q)


def _stays(phi: Activation) -> sp.Equality:
    """The variance map has the fixed point q."""
    second = GaussianExpectation(phi.function(X) ** 2, X, 0, Q)
    return sp.Eq(SIGMA_W2 * second + SIGMA_B2, Q)


def _gradient(derivation: Derivation) -> Derivation:
    """chi also multiplies the gradient's second moment."""
    backward = derive("dense-backward").result
    (slope,) = (e for e in backward.atoms(E) if e != E(DELTA**2))
    return derivation.lemma(
        "it also multiplies the gradient's second moment, between layers of one width",
        backward / E(DELTA**2),
        SIGMA_W2 * slope,
        where={Var(W): SIGMA_W2 / N_OUT},
    )


def _others(derivation: Derivation) -> Derivation:
    """Where the edge of other activations lies."""
    a = sp.Symbol("a", real=True)
    leaky = read("leaky_relu", negative_slope=a)
    critical = 2 / (1 + a**2)
    return (
        derivation.remark(
            "leaky relu of slope `a` below 0 (relu: `a = 0`), at any `q`",
            sp.Eq(_chi(leaky), 1),
            critical,
            solve_for=SIGMA_W2,
        )
        .remark(
            "and then `q` stays without biases only",
            _stays(leaky),
            sp.S.Zero,
            solve_for=SIGMA_B2,
            where={SIGMA_W2: critical},
        )
        .remark(
            "tanh, whose slope at 0 is 1, without biases, where `q` falls to 0",
            sp.Eq(_chi(read("tanh"), sp.S.Zero), 1),
            sp.S.One,
            solve_for=SIGMA_W2,
        )
    )
