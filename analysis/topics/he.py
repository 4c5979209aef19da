"""He's initialisation, for the engine's own relu and any symmetric law of the pre-activation."""

from __future__ import annotations

import sympy as sp
from sympy import Expr

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import E, RandomVariable, Var
from analysis.symbolic.reading import X, read
from analysis.topics import derive
from analysis.topics.dense import DELTA, N_IN, N_OUT, W, Y

Z = RandomVariable("Z", symmetric=True)


def he() -> Derivation:
    """Var(W) = 2/n_in keeps the second moment through a relu layer, at any width."""
    forward, backward = derive("dense-forward"), derive("dense-backward")
    relu = read("relu")
    phi = relu.function

    derivation = Derivation(
        "he",
        "the weight variance that keeps the second moment through relu (He et al. 2015)",
        sp.Eq(forward.result.xreplace({E(Y**2): E(phi(Z) ** 2)}), E(Z**2)),
        given=(
            "the inputs of the layer are `relu(Z)`, and its pre-activation shall have the second "
            "moment of `Z` again, which is not 0",
            "`Z` and `-Z` have one law: it need not be normal; a sum of inputs times symmetric "
            "weights has such a law at any width",
        ),
        uses=(forward, backward),
    )
    derivation = derivation.lemma("the engine's own rule", phi(X), phi(X).definition).lemma(
        "whatever the sign of `x`", phi(X) ** 2 + phi(-X) ** 2, X**2
    )
    half = (E(phi(Z) ** 2) + E(phi(-Z) ** 2)) / 2
    derivation = (
        derivation.step("`Z` and `-Z` have one law", lambda e: e.xreplace({E(phi(Z) ** 2): half}))
        .step("linearity, and the lemma", lambda e: e.xreplace({half: E(Z**2) / 2}))
        .solve(Var(W), 2 / N_IN, "solve for `Var(W)`")
    )
    return _leaky(_backward(derivation, backward.result))


def _backward(derivation: Derivation, gradient: Expr) -> Derivation:
    """On the way back the same 2, over the other fan."""
    slope = read("relu").derivative_function(Z)
    (any_slope,) = (e for e in gradient.atoms(E) if e != E(DELTA**2))
    nonzero = {Z: Z.assuming(nonzero=True)}
    return derivation.remark(
        "the slope of relu",
        E(slope**2),
        sp.Rational(1, 2),
        assumption="`P(Z = 0) = 0`",
        where=nonzero,
    ).remark(
        "so backward the second moment is kept by",
        sp.Eq(gradient.xreplace({any_slope: sp.Rational(1, 2)}), E(DELTA**2)),
        2 / N_OUT,
        solve_for=Var(W),
    )


def _leaky(derivation: Derivation) -> Derivation:
    """A slope a below 0 puts (1 + a^2)/2 in the place of 1/2."""
    a = sp.Symbol("a", real=True)
    phi = read("leaky_relu", negative_slope=a).function
    kept = (1 + a**2) / 2
    return derivation.remark(
        "leaky relu with slope `a` below 0", E(phi(Z) ** 2), kept * E(Z**2)
    ).remark(
        "which is kept by",
        sp.Eq(N_IN * Var(W) * kept * E(Z**2), E(Z**2)),
        2 / ((1 + a**2) * N_IN),
        solve_for=Var(W),
    )
