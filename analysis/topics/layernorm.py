"""Normalisation within one example: layer norm, group norm and RMS norm."""

from __future__ import annotations

import sympy as sp
from sympy import KroneckerDelta, Sum

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import E, Named, RandomVariable
from analysis.symbolic.gaussian import GaussianExpectation
from analysis.symbolic.indexed import depending
from analysis.symbolic.reading import X, read
from analysis.topics import derive
from analysis.topics.batchnorm import (
    ENTRY,
    EPS,
    EXACT,
    INDEX,
    UPSTREAM,
    YHAT,
    K,
    L,
    R,
    U,
    V,
    Y,
    received,
    through_standardisation,
)
from analysis.topics.dense import DELTA, N_IN, N_OUT
from analysis.topics.dense import Y as INPUT

N = sp.Symbol("n", integer=True, positive=True)
GROUPS = sp.Symbol("G", integer=True, positive=True)
Q = sp.Symbol("q", positive=True)


def layernorm() -> Derivation:
    """Batch norm's algebra, over the features of one example."""
    derivation = Derivation(
        "layernorm",
        "the second moment of the gradient behind layer norm",
        received(N, sp.S.One),
        given=(
            "`y_1, ..., y_n` are the features of one example, standardised by their own mean `mu` "
            "and variance `v`: no example depends on another",
            "`u_i` is the gradient by `yhat_i`: `gamma_i` times that by the output; then `g_k = "
            "sum_i u_i D[i, k]` is that by `y_k`, and `E[g^2]` the mean of `E[g_k^2]` over `k`",
            *UPSTREAM,
        ),
        uses=(derive("standardisation"), derive("dense-forward"), derive("dense-backward")),
    )
    derivation = through_standardisation(derivation, N, sp.S.One)
    derivation = derivation.remark(
        "without eps",
        derivation.result,
        (N - 2) * E(U**2) / (N * V),
        assumption="`eps = 0`, so that `r = 1`",
        where=EXACT,
    )
    return _depth(derivation)


def _depth(derivation: Derivation) -> Derivation:
    """What depth adds: layer norm does not take away the mean of an activation."""
    forward, backward = derive("dense-forward").result, derive("dense-backward").result
    unit = RandomVariable("z")
    phi, slope = (sp.Function(name)(unit) for name in ("phi", "phi'"))
    (any_slope,) = (e for e in backward.atoms(E) if e != E(DELTA**2))
    relu = read("relu")
    return derivation.remark(
        "a linear layer, layer norm and `phi`, all wide: the features of `W phi` have mean 0 and "
        "variance `v = n_in Var(W) E[phi^2]`, where batch norm leaves `Var(phi)`",
        backward.xreplace({any_slope: E(slope**2)}) / E(DELTA**2) / V,
        N_OUT * E(slope**2) / (N_IN * E(phi**2)),
        where={V: forward.xreplace({E(INPUT**2): E(phi**2)})},
    ).remark(
        "so relu keeps the gradient, between layers of one width",
        GaussianExpectation(relu.derivative_function(X) ** 2, X)
        / GaussianExpectation(relu.function(X) ** 2, X),
        sp.S.One,
    )


def groupnorm() -> Derivation:
    """Layer norm in each of G groups of n/G features."""
    whole = derive("layernorm").result
    derivation = Derivation(
        "groupnorm",
        "the second moment of the gradient behind group norm",
        whole.xreplace({N: N / GROUPS}),
        given=(
            "the `n` features fall into `G` groups, and there is layer norm in each of them, over "
            "its `n/G` features; `v` is the variance in the group",
        ),
        uses=(derive("layernorm"),),
    )
    result = (N + GROUPS * (R**2 - 2 * R - 1)) * E(U**2) / (N * (V + EPS))
    derivation = derivation.step("multiply out", result)
    without_eps = (N - 2 * GROUPS) * E(U**2) / (N * V)
    return (
        derivation.remark(
            "without eps: two directions are lost in each group",
            result,
            without_eps,
            assumption="`eps = 0`, so that `r = 1`",
            where=EXACT,
        )
        .remark("one group is layer norm", result, whole, where={GROUPS: sp.S.One})
        .remark(
            "groups of two let no gradient through: they become -1 and 1, whatever they were",
            without_eps,
            sp.S.Zero,
            where={GROUPS: N / 2},
        )
    )


def rmsnorm() -> Derivation:
    """The gradient behind yhat_i = y_i / sqrt(q + eps), with q the mean square."""
    second = Named("S_2", Sum(YHAT[INDEX] ** 2, (INDEX, 1, N)))
    ranges = (INDEX, 1, N), (K, 1, N)
    received_ = E(U**2) / N * Sum(ENTRY[INDEX, K] ** 2, *ranges)
    entry = (KroneckerDelta(INDEX, K) - YHAT[INDEX] * YHAT[K] / N) / sp.sqrt(Q + EPS)
    outside = E(U**2) / (N * (Q + EPS))

    derivation = Derivation(
        "rmsnorm",
        "the second moment of the gradient behind RMS norm",
        Named("E[g^2]", received_),
        given=(
            "`yhat_i = y_i/sqrt(q + eps)`, with `q` the mean of `y_1^2, ..., y_n^2`; `S_2` is the "
            "sum of `yhat_i^2`, and `r = q/(q + eps)`",
            "`g_k = sum_i u_i D[i, k]`, with `D[i, k]` the derivative of `yhat_i` by `y_k`; the "
            "`u_i` are uncorrelated copies of `u` with mean 0 that do not depend on `y`; `E[g^2]` "
            "is the mean of `E[g_k^2]` over `k`",
        ),
    )
    derivation = (
        _rms_jacobian(derivation)
        .step("the `u_i` are uncorrelated", received_)
        .step("the lemma", E(U**2) / N * Sum(entry**2, *ranges), where={ENTRY[INDEX, K]: entry})
        .step("multiply out", outside * (N - 2 * second / N + second**2 / N**2))
        .step("`S_2 = n r`", outside * (N - 2 * R + R**2), where={second: N * R})
    )
    return derivation.remark(
        "without eps only one direction is lost: stretching all `y_k`",
        derivation.result,
        (N - 1) * E(U**2) / (N * Q),
        assumption="`eps = 0`, so that `r = 1`",
        where=EXACT,
    )


def _rms_jacobian(derivation: Derivation) -> Derivation:
    k = sp.Symbol("k", integer=True, positive=True)
    mean_square = Sum(Y[L] ** 2, (L, 1, N)) / N
    q, s = depending("q", Y[k], positive=True), sp.sqrt(Q + EPS)
    slope = sp.Derivative(q, Y[k])
    return (
        derivation.lemma(
            "the mean square changes by",
            sp.Derivative(mean_square, Y[k]),
            2 * Y[k] / N,
            assumption="`1 <= k <= n`",
            where={N: k + sp.Symbol("r", integer=True, nonnegative=True)},
        )
        .lemma(
            "chain rule",
            sp.Derivative(Y[INDEX] / sp.sqrt(q + EPS), Y[k]),
            KroneckerDelta(INDEX, k) / sp.sqrt(q + EPS)
            - Y[INDEX] * slope / (2 * sp.sqrt(q + EPS) ** 3),
        )
        .lemma(
            "together, in terms of `yhat`",
            KroneckerDelta(INDEX, k) / s - Y[INDEX] * slope / (2 * s**3),
            (KroneckerDelta(INDEX, k) - YHAT[INDEX] * YHAT[k] / N) / s,
            where={slope: 2 * Y[k] / N, **{YHAT[j]: Y[j] / s for j in (INDEX, k)}},
        )
    )
