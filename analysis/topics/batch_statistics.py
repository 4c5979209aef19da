"""The statistics of a batch as random quantities: the noise that batch normalisation adds."""

from __future__ import annotations

import sympy as sp

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import (
    Cov,
    E,
    Named,
    RandomVariable,
    SumOfCopies,
    Var,
)

M, POPULATION = (sp.Symbol(name, integer=True, positive=True) for name in ("m", "N"))
INDEX = sp.Symbol("i", integer=True)

ANY_Y = RandomVariable("y")
CENTRED = RandomVariable("y", zero_mean=True)
DRAWN = RandomVariable("y", exchangeable=True)
KAPPA = sp.Symbol("kappa", positive=True)


def batch_mean() -> Derivation:
    """Var(mean of m examples drawn from N without replacement)."""
    mean = Named("mean", SumOfCopies(DRAWN, INDEX, M) / M)
    other = DRAWN.copy(1)
    covariance = -Var(DRAWN) / (POPULATION - 1)

    derivation = Derivation(
        "batch-mean",
        "the variance of the mean of a batch of `m` out of `N` examples",
        Var(mean),
        given=(
            "the batch is drawn without replacement, so its values `y_1, ..., y_m` are "
            "exchangeable; a prime marks another one; `Var(y)` is the variance in the population, "
            "with `1/N`",
        ),
    )
    whole = Var(SumOfCopies(DRAWN, INDEX, POPULATION))
    pairs = POPULATION * Var(DRAWN) + POPULATION * (POPULATION - 1) * Cov(DRAWN, other)
    derivation = derivation.lemma("the sum over the population", whole, pairs).lemma(
        "which does not vary, whatever the order of drawing",
        sp.Eq(pairs, 0),
        covariance,
        solve_for=Cov(DRAWN, other),
    )
    result = Var(DRAWN) / M * (POPULATION - M) / (POPULATION - 1)
    derivation = derivation.step(
        "by equal and unequal indices", Var(DRAWN) / M + (M - 1) * Cov(DRAWN, other) / M
    ).step("the lemma", result, where={Cov(DRAWN, other): covariance})
    independent = {DRAWN: ANY_Y}
    return derivation.remark(
        "the whole population has no noise", result, sp.S.Zero, where={M: POPULATION}
    ).remark(
        "with replacement, or out of very many",
        Var(mean),
        Var(ANY_Y) / M,
        assumption="the `y_i` are independent",
        where=independent,
    )


def batch_variance() -> Derivation:
    """Var(v) for the variance v of a batch, by the kurtosis of what it is taken of."""
    first, second = (SumOfCopies(CENTRED**p, INDEX, M) for p in (1, 2))
    v = Named("v", second / M - (first / M) ** 2)
    square, fourth = E(CENTRED**2), E(CENTRED**4)

    derivation = Derivation(
        "batch-variance",
        "how the variance `v` of a batch of `m` examples changes from batch to batch",
        Var(v),
        given=(
            "the `y_i` are independent copies of `y`; `v` is the mean of `y_i^2` less the square "
            "of the mean of `y_i`",
            "`E[y] = 0`; adding a constant to all `y_i` would not change `v`",
            "`kappa = E[y^4]/Var(y)^2` is the kurtosis, 3 for a normal law",
        ),
    )
    derivation = (
        derivation.lemma("on average it is too small", E(v), (M - 1) / M * Var(CENTRED))
        .step(
            "multiply out `E[v^2] - E[v]^2`, by equal and unequal indices",
            (M - 1) * ((M - 1) * fourth - (M - 3) * square**2) / M**3,
        )
        .step(
            "by the kurtosis",
            (M - 1) * (2 * M + (KAPPA - 3) * (M - 1)) * Var(CENTRED) ** 2 / M**3,
            where={fourth: KAPPA * Var(CENTRED) ** 2},
        )
    )
    unbiased = M**2 / (M - 1) ** 2 * Var(v)
    known = {Var(v): derivation.result}
    return derivation.remark(
        "the unbiased estimate `s^2 = v m/(m - 1)` varies by",
        unbiased,
        (2 / (M - 1) + (KAPPA - 3) / M) * Var(CENTRED) ** 2,
        where=known,
    ).remark(
        "and for normal values by",
        unbiased.xreplace(known),
        2 * Var(CENTRED) ** 2 / (M - 1),
        assumption="`kappa = 3`",
        where={KAPPA: sp.Integer(3)},
    )


def moving_average() -> Derivation:
    """Where the variance of a moving average a + alpha (b - a) comes to rest."""
    a, b = RandomVariable("a"), RandomVariable("b")
    alpha, rest = sp.Symbol("alpha", positive=True), sp.Symbol("V", real=True)
    averaged = (1 - alpha) * a + alpha * b

    derivation = Derivation(
        "moving-average",
        "the variance `V` at which a moving average `a` of batch statistics `b` comes to rest",
        sp.Eq(Var(averaged), Var(a), evaluate=False),
        given=(
            "each step replaces `a` by `(1 - alpha) a + alpha b`, `0 < alpha < 1`, with the "
            "statistic `b` of a new batch, independent of all before it",
        ),
    )
    renewed = (1 - alpha) ** 2 * rest + alpha**2 * Var(b)
    limit = alpha / (2 - alpha) * Var(b)
    derivation = (
        derivation.step(
            "`a` and `b` are independent",
            sp.Eq((1 - alpha) ** 2 * Var(a) + alpha**2 * Var(b), Var(a), evaluate=False),
        )
        .step("`V = Var(a)`", sp.Eq(renewed, rest, evaluate=False), where={Var(a): rest})
        .solve(rest, limit, "solve for `V`")
    )
    derivation = derivation.remark(
        "it comes closer by `(1 - alpha)^2` each step",
        renewed - limit,
        (1 - alpha) ** 2 * (rest - limit),
    ).remark(
        "and its mean comes closer to that of `b` by `1 - alpha`: it converges",
        E(averaged) - E(b),
        (1 - alpha) * (E(a) - E(b)),
    )
    steps = sp.Symbol("t", integer=True, positive=True)
    return derivation.remark(
        "the plain average of `t` batches (torch's `momentum=None`) varies less and less",
        Var(SumOfCopies(b, INDEX, steps) / steps),
        Var(b) / steps,
    )
