"""Batch normalisation: what standardising over a batch does to the values and to the gradient."""

from __future__ import annotations

import sympy as sp
from sympy import Expr, KroneckerDelta, Sum

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import E, Named, RandomVariable
from analysis.symbolic.indexed import depending
from analysis.topics import derive

M = sp.Symbol("m", integer=True, positive=True)
INDEX, J, K, L = sp.symbols("i j k l", integer=True)
EPS = sp.Symbol("eps", nonnegative=True)
MU, GAMMA = sp.symbols("mu gamma", real=True)
V, R = sp.symbols("v r", positive=True)
U = RandomVariable("u")
Y, YHAT = (sp.IndexedBase(name, real=True) for name in ("y", "yhat"))

MEAN = Named("mu", Sum(Y[L], (L, 1, M)) / M)
VARIANCE = Sum((Y[L] - MEAN) ** 2, (L, 1, M)) / M


def standardisation() -> Derivation:
    """The Jacobian of yhat_i = (y_i - mu) / sqrt(v + eps), for a symbolic number of elements."""
    k = sp.Symbol("k", integer=True, positive=True)
    squares = Sum(Y[L] ** 2, (L, 1, M)) / M - MEAN**2
    in_range = {M: k + sp.Symbol("r", integer=True, nonnegative=True)}

    derivation = Derivation(
        "standardisation",
        "how `yhat_i = (y_i - mu)/sqrt(v + eps)` changes with `y_k`",
        sp.Derivative((Y[INDEX] - _mean(k)) / sp.sqrt(_variance(k) + EPS), Y[k]),
        given=(
            "`mu` is the mean of `y_1, ..., y_m` and `v` their variance, with `1/m`; both change "
            "with `y_k`, all other elements stay",
            "`[i = k]` is 1 if `i = k`, and else 0",
        ),
    )
    derivation = derivation.lemma(
        "the mean",
        sp.Derivative(MEAN, Y[k]),
        1 / M,
        assumption="`1 <= k <= m`",
        where=in_range,
    ).lemma("the variance", VARIANCE, squares)
    derivation = derivation.lemma(
        "so the variance changes by",
        sp.Derivative(squares, Y[k]),
        2 * (Y[k] - MEAN) / M,
        assumption="`1 <= k <= m`",
        where=in_range,
    )
    return _jacobian(derivation, k)


def _mean(k: Expr) -> Expr:
    return depending("mu", Y[k], real=True)


def _variance(k: Expr) -> Expr:
    return depending("v", Y[k], positive=True)


def _jacobian(derivation: Derivation, k: Expr) -> Derivation:
    """The chain rule through mean and variance."""
    mean, variance = _mean(k), _variance(k)
    root, s = sp.sqrt(variance + EPS), sp.sqrt(V + EPS)
    slope_of_mean, slope_of_variance = (sp.Derivative(f, Y[k]) for f in (mean, variance))
    lemmas = {slope_of_mean: 1 / M, slope_of_variance: 2 * (Y[k] - MU) / M, mean: MU, variance: V}
    return (
        derivation.step(
            "chain rule",
            (KroneckerDelta(INDEX, k) - slope_of_mean) / root
            - (Y[INDEX] - mean) * slope_of_variance / (2 * root**3),
        )
        .step(
            "the lemmas",
            (KroneckerDelta(INDEX, k) - 1 / M) / s - (Y[INDEX] - MU) * (Y[k] - MU) / (M * s**3),
            where=lemmas,
        )
        .step(
            "in terms of `yhat`",
            (KroneckerDelta(INDEX, k) - 1 / M - YHAT[INDEX] * YHAT[k] / M) / s,
            where={YHAT[j]: (Y[j] - MU) / s for j in (INDEX, k)},
        )
    )


def jacobian(i: Expr, k: Expr) -> Expr:
    """How yhat_i changes with y_k, as `standardisation` derives it."""
    result = derive("standardisation").result
    (changed,) = {index for y in result.atoms(sp.Indexed) for index in y.indices} - {INDEX}
    return result.xreplace({INDEX: i, changed: k})


# ------------------------------------------------------------------------------ the gradient


def batchnorm() -> Derivation:
    """The mean second moment of the gradient behind a batch norm layer."""
    derivation = Derivation(
        "batchnorm",
        "the second moment of the gradient behind `z_i = gamma yhat_i + beta`",
        received(M, GAMMA),
        given=(
            "`y_1, ..., y_m` are the values of one feature in a batch, standardised by their own "
            "mean `mu` and variance `v`; each feature has its own",
            "`u_i` is the gradient by `z_i`, `g_k = gamma sum_i u_i D[i, k]` that by `y_k`, with "
            "`D[i, k]` the derivative of `yhat_i`; `E[g^2]` is the mean of `E[g_k^2]`",
            *UPSTREAM,
        ),
        uses=(derive("standardisation"),),
    )
    derivation = through_standardisation(derivation, M, GAMMA)
    derivation = derivation.remark(
        "without eps",
        derivation.result,
        GAMMA**2 * (M - 2) * E(U**2) / (M * V),
        assumption="`eps = 0`, so that `r = 1`",
        where=EXACT,
    )
    return _lost_directions(derivation)


UPSTREAM = (
    "the `u_i` are uncorrelated copies of `u` with mean 0, so `C[i, j] = E[u_i u_j]` is 0 off the "
    "diagonal; they do not depend on `y`, an approximation at finite width",
    "`S_1` and `S_2` are the sums of `yhat_i` and of `yhat_i^2`; `r = v/(v + eps)`",
)
EXACT = {EPS: sp.S.Zero, R: sp.S.One}
"""Without eps, r = v/(v + eps) is 1."""

COVARIANCE, ENTRY = (sp.IndexedBase(name, real=True) for name in ("C", "D"))


def received(size: sp.Symbol, gain: Expr) -> Named:
    """The mean of E[g_k^2] over k, where g_k is the sum of gain * u_i * D[i, k] over i."""
    products = COVARIANCE[INDEX, J] * ENTRY[INDEX, K] * ENTRY[J, K]
    ranges = [(index, 1, size) for index in (INDEX, J, K)]
    return Named("E[g^2]", gain**2 / size * Sum(products, *ranges))


def through_standardisation(derivation: Derivation, size: sp.Symbol, gain: Expr) -> Derivation:
    """The chain from `received` to its value, by the squared Frobenius norm of the Jacobian."""
    first, second = (Named(f"S_{p}", Sum(YHAT[INDEX] ** p, (INDEX, 1, size))) for p in (1, 2))
    ranges = (INDEX, 1, size), (K, 1, size)
    jacobian_ = jacobian(INDEX, K).xreplace({M: size})
    mean, variance = (e.xreplace({M: size}) for e in (MEAN, VARIANCE))
    standardised = {YHAT[INDEX]: (Y[INDEX] - mean) / sp.sqrt(V + EPS), R: variance / (V + EPS)}
    outside = gain**2 * E(U**2) / size
    return (
        derivation.lemma(
            "standardised values have mean 0", first / size, sp.S.Zero, where=standardised
        )
        .lemma("and mean square `r`", second / size, R, where=standardised)
        .step("`C[i, j] = E[u_i u_j]`", derivation.start.definition)
        .step(
            "the `u_i` are uncorrelated",
            outside * Sum(ENTRY[INDEX, K] ** 2, *ranges),
            where={COVARIANCE[INDEX, J]: KroneckerDelta(INDEX, J) * E(U**2)},
        )
        .step(
            "the Jacobian",
            outside * Sum(jacobian_**2, *ranges),
            where={ENTRY[INDEX, K]: jacobian_},
        )
        .step(
            "multiply out",
            outside
            / (V + EPS)
            * (size - 1 - 2 * second / size + second**2 / size**2 + 2 * first**2 / size**2),
        )
        .step(
            "the lemmas",
            outside / (V + EPS) * (size - 1 - 2 * R + R**2),
            where={first: sp.S.Zero, second: size * R},
        )
    )


def _lost_directions(derivation: Derivation) -> Derivation:
    """Why m - 2: standardising forgets location and scale."""
    u, s = sp.IndexedBase("u", real=True), sp.sqrt(V + EPS)
    ranges = [(INDEX, 1, M), (K, 1, M)]
    centred = {YHAT[j]: Y[j] - MEAN for j in (INDEX, K)}
    by_lemmas = {**centred, R: VARIANCE}  # any values of mean 0 and mean square r are such
    return derivation.remark(
        "adding a constant to all `y_k` changes no `yhat_i`, so the gradient sums to 0",
        Sum(u[INDEX] * jacobian(INDEX, K), *ranges),
        sp.S.Zero,
        where=by_lemmas,
    ).remark(
        "neither does stretching them if `eps = 0`, `r = 1`; then it is orthogonal to `yhat` too",
        Sum(u[INDEX] * jacobian(INDEX, K) * YHAT[K], *ranges),
        (1 - R) / s * Sum(u[INDEX] * YHAT[INDEX], ranges[0]),
        where=by_lemmas,
    )
