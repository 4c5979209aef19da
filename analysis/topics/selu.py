"""SELU's two constants: what makes the standard normal law a fixed point of its moments."""

from __future__ import annotations

import sympy as sp

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import Named
from analysis.symbolic.gaussian import GaussianExpectation
from analysis.symbolic.reading import X, read

ALPHA, SCALE = sp.symbols("alpha lambda", positive=True)
A = Named("A", sp.exp(sp.Rational(1, 2)) * sp.erfc(1 / sp.sqrt(2)))
B = Named("B", sp.exp(2) * sp.erfc(sp.sqrt(2)))


def selu() -> Derivation:
    """alpha from E[phi] = 0 and lambda from E[phi^2] = 1, with phi = lambda elu(x, alpha)."""
    elu = read("elu", alpha=ALPHA)
    mean, square, slope = (
        GaussianExpectation(f, X)
        for f in (elu.function(X), elu.function(X) ** 2, elu.derivative_function(X) ** 2)
    )
    mean_value = 1 / sp.sqrt(2 * sp.pi) - ALPHA * (1 - A) / 2
    square_value = (1 + ALPHA**2 * (1 - 2 * A + B)) / 2
    slope_value = (1 + ALPHA**2 * B) / 2

    derivation = Derivation(
        "selu",
        "the constants of selu, `phi(x) = lambda elu(x)` (Klambauer et al. 2017)",
        sp.Eq(SCALE**2 * square, 1),
        given=(
            "`x ~ N(0, 1)`; `phi(x)` shall have mean 0 and second moment 1 again",
            "below 0, `elu(x)` is `alpha (exp(x) - 1)`; `A = exp(1/2) erfc(1/sqrt(2))` and `B = "
            "exp(2) erfc(sqrt(2))`, twice what `exp(x)` and `exp(2 x)` are there on average",
        ),
    )
    alpha = sp.sqrt(2 / sp.pi) / (1 - A)
    solved = {ALPHA: Named("alpha", alpha)}
    derivation = (
        derivation.lemma("the engine's own rule", elu.function(X), elu.function(X).definition)
        .lemma("the mean of elu", mean, mean_value)
        .lemma("so it is 0 for", sp.Eq(mean_value, 0), alpha, solve_for=ALPHA)
        .step("the second moment of elu", sp.Eq(SCALE**2 * square_value, 1))
    )
    scale = 1 / sp.sqrt(square_value.xreplace(solved))
    derivation = derivation.step(
        "`alpha` from the lemma", lambda e: e.xreplace(solved), where={ALPHA: alpha}
    ).solve(SCALE, scale, "solve for `lambda`")
    return derivation.remark("the mean square of elu's slope", slope, slope_value).remark(
        "so selu's slope, `lambda` times elu's, lets the gradient's second moment grow",
        SCALE**2 * slope_value,
        (slope_value / square_value).xreplace(solved),
        where={ALPHA: alpha, SCALE: scale},
    )
