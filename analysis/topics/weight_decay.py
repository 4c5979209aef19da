"""Weight decay under batch normalisation: it sets the effective learning rate, and nothing else."""

from __future__ import annotations

import sympy as sp
from sympy import Sum

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import Named
from analysis.topics import derive
from analysis.topics.batchnorm import EPS, INDEX, MU, K, V, Y, jacobian

N = sp.Symbol("n", integer=True, positive=True)
ETA, LAMBDA, G, Q = sp.symbols("eta lambda g q", positive=True)
T = sp.Symbol("t", positive=True)
NORM = sp.Symbol("|w|", real=True)
WEIGHT, GRADIENT = (sp.IndexedBase(name, real=True) for name in ("w", "G"))
SHRINK = 1 - ETA * LAMBDA


def weight_decay_under_batchnorm() -> Derivation:
    """The norm of a unit's weights at which decay and gradient balance."""
    over_weights = (K, 1, N)
    new_weight = WEIGHT[K] - ETA * (GRADIENT[K] + LAMBDA * WEIGHT[K])
    squares, product, gradient = (
        Named(name, Sum(term, over_weights))
        for name, term in (
            ("(w . w)", WEIGHT[K] ** 2),
            ("(w . G)", WEIGHT[K] * GRADIENT[K]),
            ("(G . G)", GRADIENT[K] ** 2),
        )
    )

    derivation = Derivation(
        "weight-decay-under-batchnorm",
        "the norm at which the weights of a unit in front of batch norm come to rest",
        _at_rest(Sum(new_weight**2, over_weights)),
        given=(
            "plain gradient descent with weight decay takes `w_k` to `w_k - eta (G_k + lambda "
            "w_k)`, with `G` the gradient; at rest this keeps `|w|`, so `|w|^2` times the new "
            "`|w|^2` is `|w|^4`",
            "the unit's values `y_i = w . x_i` go into batch norm with `eps = 0`, and no further",
            "`g = |w| |G|` is about the same in all steps",
        ),
        uses=(derive("standardisation"),),
    )
    derivation = _scale_invariance(derivation)
    return _balance(
        derivation.step(
            "multiply out",
            _at_rest(SHRINK**2 * squares - 2 * ETA * SHRINK * product + ETA**2 * gradient),
        )
        .step(
            "`w . G = 0`",
            _at_rest(SHRINK**2 * squares + ETA**2 * gradient),
            where={product: sp.S.Zero},
        )
        .step(
            "`|G| = g/|w|`",
            sp.Eq(SHRINK**2 * NORM**4 + ETA**2 * G**2, NORM**4, evaluate=False),
            where={squares: NORM**2, gradient: G**2 / NORM**2},
        )
    )


def _at_rest(new_square: sp.Expr) -> sp.Equality:
    return sp.Eq(NORM**2 * new_square, NORM**4, evaluate=False)


def _scale_invariance(derivation: Derivation) -> Derivation:
    """Weights t w give y_i, mu and v the factors t, t and t^2."""
    stretched = (T * Y[INDEX] - T * MU) / sp.sqrt(T**2 * V + EPS)
    slope = EPS * (Y[INDEX] - MU) / sp.sqrt(T**2 * V + EPS) ** 3
    steepness = jacobian(INDEX, K)
    return (
        derivation.lemma(
            "weights `t w` give `yhat_i`, which changes with `t` by",
            sp.Derivative(stretched, T),
            slope,
        )
        .lemma(
            "so the loss does not change along `w`: `w . G = 0`",
            slope,
            sp.S.Zero,
            assumption="`eps = 0`",
            where={EPS: sp.S.Zero},
        )
        .lemma(
            "and the gradient is `1/t` as long where the weights are `t` times as long",
            steepness.xreplace({V: T**2 * V}),
            steepness / T,
            assumption="`eps = 0`",
            where={EPS: sp.S.Zero},
        )
    )


def _balance(derivation: Derivation) -> Derivation:
    rest = ETA * G**2 / (LAMBDA * (2 - ETA * LAMBDA))
    derivation = derivation.solve(NORM**4, rest, "solve for `|w|^4`")
    derivation = derivation.remark(
        "what decay sets is the learning rate of the direction `w/|w|`, `eta/|w|^2`; its square is",
        ETA**2 / NORM**4,
        ETA * LAMBDA * (2 - ETA * LAMBDA) / G**2,
        where={NORM: rest ** sp.Rational(1, 4)},
    )
    renewed, slope = SHRINK**2 * Q + ETA**2 * G**2 / Q, SHRINK**2 - ETA**2 * G**2 / Q**2
    return derivation.remark(
        "a step multiplies a small change of `q = |w|^2` by", sp.Derivative(renewed, Q), slope
    ).remark(
        "near rest this is about `1 - 4 eta lambda`, and far above, where only the first term is "
        "left, `1 - 2 eta lambda`: it takes some `1/(4 eta lambda)` or `1/(2 eta lambda)` steps",
        slope,
        1 - 4 * ETA * LAMBDA + 2 * (ETA * LAMBDA) ** 2,
        where={G: Q * sp.sqrt(LAMBDA * (2 - ETA * LAMBDA) / ETA)},
    )
