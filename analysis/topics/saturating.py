"""Activations that saturate, at the unit variance that Glorot's weights hand them."""

from __future__ import annotations

import sympy as sp

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import E, Named, RandomVariable
from analysis.symbolic.gaussian import GaussianExpectation
from analysis.symbolic.reading import X, read
from analysis.topics import derive

Q = sp.Symbol("q", positive=True)
Z = RandomVariable("Z", symmetric=True)


def tanh_loss() -> Derivation:
    """What tanh leaves of a unit second moment, and of a small one."""
    at_unit_variance = GaussianExpectation(read("tanh").function(X) ** 2, X)
    z = RandomVariable("z", symmetric=True)
    left = Q - 2 * Q**2

    derivation = Derivation(
        "tanh-loss",
        "what tanh leaves of a unit second moment",
        Named("E[y^2]", at_unit_variance),
        given=(
            "`y = tanh(z)`, and `z` is standard normal: Glorot's variance, and inputs of second "
            "moment 1, in a wide layer with as many outputs as inputs",
            "no closed form was found; the number is a certified quadrature",
        ),
        uses=(derive("glorot"),),
    )
    return (
        derivation.step("by the law of `z`", at_unit_variance)
        .remark(
            "near 0, `tanh(x)^2` is `x^2 - 2 x^4/3` and higher powers",
            sp.Limit((sp.tanh(X) ** 2 - X**2) / X**4, X, 0),
            -sp.Rational(2, 3),
        )
        .remark(
            "so of a small variance `q` it leaves, to second order",
            E(z**2) - sp.Rational(2, 3) * E(z**4),
            left,
            where={E(z**2): Q, E(z**4): 3 * Q**2},
        )
        .remark(
            "the loss never ends, but it slows down: `1/q` grows by 2 each layer, so `q` is about "
            "`1/(2 l)` after many layers `l`",
            sp.Limit(1 / left - 1 / Q, Q, 0),
            sp.Integer(2),
        )
        .remark(
            "the slope falls below 1 too, so the gradient's second moment is multiplied by",
            Named("E[tanh'(x)^2]", _slope("tanh")),
            _slope("tanh"),
        )
    )


def _slope(name: str) -> GaussianExpectation:
    return GaussianExpectation(read(name).derivative_function(X) ** 2, X)


def sigmoid() -> Derivation:
    """E[sigmoid(Z)] = 1/2 for any symmetric law: not centred, whatever the weights."""
    rule, slope = read("sigmoid").function, read("sigmoid").derivative_function
    phi = sp.Function("sigmoid")

    derivation = Derivation(
        "sigmoid",
        "the mean of a sigmoid's outputs",
        E(phi(Z)),
        given=("`Z` and `-Z` have one law",),
    )
    square = GaussianExpectation(rule(X) ** 2, X)
    return (
        derivation.lemma(
            "what the engine's own rule gives for `x` and `-x`", rule(X) + rule(-X), sp.S.One
        )
        .step("`Z` and `-Z` have one law", (E(phi(Z)) + E(phi(-Z))) / 2)
        .step("the lemma", sp.Rational(1, 2), where={phi(-Z): 1 - phi(Z)})
        .remark(
            "at unit variance the second moment, of which 1/4 is due to that mean, is",
            Named("E[sigmoid(x)^2]", square),
            square,
        )
        .remark("a sigmoid is a tanh, moved and scaled", rule(X), (1 + sp.tanh(X / 2)) / 2)
        .remark(
            "the slope is at most 1/4, so a layer multiplies the gradient's second moment by "
            "`n_out Var(W)/16` or less",
            slope(X),
            sp.Rational(1, 4) - (rule(X) - sp.Rational(1, 2)) ** 2,
        )
        .remark(
            "at unit variance, by `n_out Var(W)` times",
            Named("E[sigmoid'(x)^2]", _slope("sigmoid")),
            _slope("sigmoid"),
        )
    )
