"""Dropout, and what it does to the running statistics of a batch norm layer near it."""

from __future__ import annotations

import sympy as sp

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import (
    E,
    RandomVariable,
    Var,
    definition,
    independence,
    linearity,
)
from analysis.symbolic.gaussian import GaussianExpectation
from analysis.symbolic.reading import X, read
from analysis.topics import derive

Y, MASK = RandomVariable("Y"), RandomVariable("D")
KEEP, P = sp.symbols("k p", positive=True)
MASK_MOMENTS = {E(MASK): KEEP, E(MASK**2): KEEP}
"""D is 1 with probability k and else 0, so D^2 = D."""


def dropout() -> Derivation:
    """The variance of D Y/(1 - p), with D a mask that is 0 with probability p."""
    kept = MASK * Y / KEEP
    derivation = Derivation(
        "dropout",
        "the variance behind inverted dropout, in training",
        Var(kept),
        given=(
            "`D` is 1 with probability `k = 1 - p` and else 0, independent of `Y`; the output is "
            "`D Y/k` in training, and `Y` in evaluation",
        ),
    )
    derivation = (
        derivation.step("definition of the variance", lambda e: linearity(definition(e)))
        .step("`D` is independent of `Y`", independence)
        .step("`D^2 = D`, and `E[D] = k`", E(Y**2) / KEEP - E(Y) ** 2, where=MASK_MOMENTS)
        .step(
            "`k = 1 - p`, and `E[Y^2] = Var(Y) + E[Y]^2`",
            Var(Y) / (1 - P) + P / (1 - P) * E(Y) ** 2,
            where={KEEP: 1 - P},
        )
    )
    derivation = derivation.remark(
        "the mean is kept", E(MASK) * E(Y) / KEEP, E(Y), where=MASK_MOMENTS
    ).remark(
        "the second moment becomes `1/k` times as large, whatever the mean",
        E(MASK**2) * E(Y**2) / KEEP**2,
        E(Y**2) / KEEP,
        where=MASK_MOMENTS,
    )
    relu = read("relu").function(X)
    return derivation.remark(
        "without a mean, which is not so behind relu",
        derivation.result,
        Var(Y) / (1 - P),
        assumption="`E[Y] = 0`",
        where={Y: Y.assuming(zero_mean=True)},
    ).remark(
        "behind relu of a standard normal, `k = 1/2`",
        GaussianExpectation(relu**2, X) / KEEP - GaussianExpectation(relu, X) ** 2,
        1 - 1 / (2 * sp.pi),
        where={KEEP: sp.Rational(1, 2)},
    )


def variance_shift() -> Derivation:
    """What batch norm's running variance makes of evaluation, if it was taken under dropout."""
    in_training = derive("dropout").result
    gamma, beta = sp.symbols("gamma beta", real=True)

    derivation = Derivation(
        "variance-shift",
        "the variance that batch norm puts out in evaluation, if dropout is before it",
        Var(Y) / in_training,
        given=(
            "batch norm divides by its running variance, that of training, under dropout; in "
            "evaluation there is none (Li et al. 2018)",
            "`gamma = 1`, `eps = 0`, so that in training it puts out variance 1",
            "a linear layer between the two would multiply both variances by `n_in Var(W)`, on "
            "average over its weights, and change nothing",
        ),
        uses=(derive("dropout"),),
    )
    derivation = derivation.step("common denominator", (1 - P) * Var(Y) / (Var(Y) + P * E(Y) ** 2))
    relu = read("relu").function(X)
    mean = GaussianExpectation(relu, X)
    return (
        derivation.remark(
            "behind relu",
            derivation.result,
            (sp.pi - 1) / (2 * sp.pi - 1),
            assumption="`Y = relu(x)`, `x ~ N(0, 1)`, and `p = 1/2`",
            where={
                P: sp.Rational(1, 2),
                E(Y): mean,
                Var(Y): GaussianExpectation(relu**2, X) - mean**2,
            },
        )
        .remark(
            "the other order, dropout behind `gamma yhat + beta`: this batch norm never sees "
            "dropout, but what it passes on has the variance `gamma^2` in evaluation, and in "
            "training",
            in_training,
            (gamma**2 + P * beta**2) / (1 - P),
            where={E(Y): beta, Var(Y): gamma**2},
        )
        .remark(
            "so the next batch norm puts out, in evaluation",
            gamma**2 * (1 - P) / (gamma**2 + P * beta**2),
            1 - P,
            assumption="`beta = 0`, as at the start",
            where={beta: sp.S.Zero},
        )
    )
