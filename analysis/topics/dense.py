"""A fully connected layer, forward and backward, with a symbolic number of units."""

from __future__ import annotations

import sympy as sp
from sympy import Expr

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import (
    Cov,
    E,
    Named,
    RandomVariable,
    SumOfCopies,
    Var,
    assuming,
    definition,
    identical_copies,
    independence,
    linearity,
    unfold,
    zero_mean,
)
from analysis.symbolic.powersums import equality_patterns, random_sum

N_IN, N_OUT = sp.symbols("n_in n_out", integer=True, positive=True)
J = sp.Symbol("j", integer=True)

ANY_W = RandomVariable("W")
W = ANY_W.assuming(zero_mean=True)
Y = RandomVariable("Y", exchangeable=True)
DELTA = RandomVariable("delta", exchangeable=True)


def dense_forward() -> Derivation:
    """The variance of a pre-activation, Var(sum_j W_j Y_j) = n_in Var(W) E[Y^2]."""
    z = Named("z", SumOfCopies(ANY_W * Y, J, N_IN))
    derivation = Derivation(
        "dense-forward",
        "the variance of a pre-activation `z = sum_j W_j Y_j`, `j = 1..n_in`",
        Var(z),
        given=(
            "the weights `W_j` are independent copies of `W`, with `E[W] = 0`, and independent "
            "of the inputs",
            "the inputs `Y_j` are exchangeable: they have one law, but may depend on each other; "
            "a prime marks another copy",
        ),
    )
    derivation = derivation.lemma(
        "the terms of the sum are uncorrelated", Cov(W * Y, W.copy(1) * Y.copy(1)), sp.S.Zero
    )
    derivation = (
        derivation.step("definition of the variance", lambda e: linearity(definition(e)))
        .step("by equal and unequal indices", lambda e: equality_patterns(unfold(e)))
        .step("`W` independent of `Y`", lambda e: identical_copies(independence(e)))
        .step("`E[W] = 0`", _without_mean, where={ANY_W: W})
        .step("`E[W^2] = Var(W)`", N_IN * Var(W) * E(Y**2))
    )
    return _forward_cases(derivation)


def _without_mean(expression: Expr) -> Expr:
    return zero_mean(assuming(expression, {ANY_W: W}))


def _forward_cases(derivation: Derivation) -> Derivation:
    """The lecture's form, and what holds for weights that are not centred."""
    derivation = derivation.remark(
        "the lecture's form",
        derivation.result,
        N_IN * Var(W) * Var(Y),
        assumption="also `E[Y] = 0`, which fails behind a relu or a sigmoid",
        where={Y: Y.assuming(zero_mean=True)},
    )
    uncorrelated = N_IN * (Var(ANY_W) * E(Y**2) + E(ANY_W) ** 2 * Var(Y))
    derivation = derivation.remark(
        "weights with a mean",
        derivation.start,
        uncorrelated + N_IN * (N_IN - 1) * E(ANY_W) ** 2 * Cov(Y, Y.copy(1)),
        assumption="`E[W]` is not 0",
    )
    once = E(Y) ** 2 * Var(ANY_W) + E(ANY_W) ** 2 * Var(Y) + Var(ANY_W) * Var(Y)
    return derivation.remark(
        "the product rule, once for each input",
        derivation.start,
        N_IN * once,
        assumption="`E[W]` is not 0, and the inputs are independent",
        where={Y: Y.assuming(exchangeable=False)},
    )


def dense_backward() -> Derivation:
    """The second moment of the gradient behind the layer, n_out Var(W) E[delta^2] E[phi'^2]."""
    slope = sp.Function("phi'")(RandomVariable("X"))
    loss_slope, gradient, in_range = _chain_rule()
    received = Named("g", random_sum(gradient, {_W: ANY_W, _DELTA: DELTA}))

    derivation = Derivation(
        "dense-backward",
        "the second moment of the gradient by `x`, behind the layer `z = W y` with `y = phi(x)`",
        E((slope * received) ** 2),
        given=(
            "`delta_i` is the gradient of the loss by `z_i`, `i = 1..n_out`; the `delta_i` are "
            "exchangeable, but may depend on each other",
            "unit `k` receives `g = sum_i W_i delta_i` (lemma), with `W_i` for `W[i, k]`; these "
            "weights are independent copies of `W`, with `E[W] = 0`",
            "`W`, `delta` and `phi'(X)` are independent: an approximation at finite width, since "
            "`delta` has seen both on the way forward",
        ),
    )
    derivation = derivation.lemma(
        "the gradient goes back through the transposed weights",
        loss_slope,
        gradient,
        assumption="`1 <= k <= n_in`",
        where=in_range,
    )
    return (
        derivation.step("`phi'(X)` independent of the rest", independence)
        .step("by equal and unequal indices", lambda e: equality_patterns(unfold(e)))
        .step("`W` independent of `delta`", lambda e: identical_copies(independence(e)))
        .step("`E[W] = 0`", _without_mean, where={ANY_W: W})
        .step("`E[W^2] = Var(W)`", N_OUT * Var(W) * E(DELTA**2) * E(slope**2))
    )


_W, _Y, _DELTA = (sp.IndexedBase(name, real=True) for name in ("W", "y", "delta"))


def _chain_rule() -> tuple[Expr, Expr, dict[Expr, Expr]]:
    """The gradient of the loss by y_k: as a derivative, as the sum it is, and that y_k exists.

    To first order the loss is sum_i delta_i z_i. The range 1 <= k <= n_in is expressed by writing
    n_in = k + r.
    """
    i = sp.Symbol("i", integer=True)
    k = sp.Symbol("k", integer=True, positive=True)
    rest = sp.Symbol("r", integer=True, nonnegative=True)
    z = sp.Sum(_W[i, J] * _Y[J], (J, 1, N_IN))
    loss = sp.Sum(_DELTA[i] * z, (i, 1, N_OUT))
    gradient = sp.Sum(_DELTA[i] * _W[i, k], (i, 1, N_OUT))
    return sp.Derivative(loss, _Y[k]), gradient, {N_IN: k + rest}
