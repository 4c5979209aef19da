"""Inputs that are not centred: weight gradients of one sign, and a badly conditioned loss."""

from __future__ import annotations

import sympy as sp
from sympy import KroneckerDelta, Sum

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import E, Named, RandomVariable, Var
from analysis.symbolic.gaussian import GaussianExpectation
from analysis.symbolic.reading import X as Z
from analysis.symbolic.reading import read
from analysis.topics import derive

BATCH, N = sp.symbols("B n", integer=True, positive=True)
INDEX, J, K, L = sp.symbols("i j k l", integer=True)
INPUTS = sp.IndexedBase("x", positive=True)
DELTA, DIRECTION = (sp.IndexedBase(name, real=True) for name in ("delta", "u"))
MEAN = sp.Symbol("m", real=True)
VARIANCE = sp.Symbol("v", positive=True)


def same_sign_gradients() -> Derivation:
    """The product of two entries of the weight gradient of one unit."""
    entry = Sum(DELTA[INDEX] * INPUTS[INDEX, J], (INDEX, 1, BATCH))
    other = Sum(DELTA[L] * INPUTS[L, K], (L, 1, BATCH))
    products = Sum(
        DELTA[INDEX] * DELTA[L] * INPUTS[INDEX, J] * INPUTS[L, K], (INDEX, 1, BATCH), (L, 1, BATCH)
    )
    delta = sp.Symbol("delta", real=True)

    derivation = Derivation(
        "same-sign-gradients",
        "the product of two entries of a unit's weight gradient, for positive inputs",
        Named("g_j g_k", entry * other),
        given=(
            "`x[i, j]` is input `j` of example `i`, and positive, as behind a relu or a sigmoid",
            "`delta_i` is the gradient of the loss of example `i` by the unit's `z_i = w . x_i`; "
            "the gradient by `w_j` is `g_j = sum_i delta_i x[i, j]`",
        ),
        uses=(derive("batch-mean"),),
    )
    derivation = derivation.step("definition", entry * other).step(
        "multiply out: all terms are positive if all `delta_i` have one sign, as with one example",
        products,
    )
    derivation = derivation.remark(
        "if all `delta_i` are equal, the signs of the feature means decide, and the mean of a "
        "batch is off by about `sqrt(Var(x)/B)`",
        entry,
        delta * Sum(INPUTS[INDEX, J], (INDEX, 1, BATCH)),
        where={DELTA[INDEX]: delta},
    )
    return _counterexample(derivation)


def _counterexample(derivation: Derivation) -> Derivation:
    """Two positive examples whose gradient has entries of both signs."""
    values = {(1, 1): 1, (1, 2): 2, (2, 1): 2, (2, 2): 1}
    example = {INPUTS[at]: sp.Integer(x) for at, x in values.items()}
    example |= {DELTA[1]: sp.S.One, DELTA[2]: sp.S.NegativeOne}
    gradient = [DELTA[1] * INPUTS[1, j] + DELTA[2] * INPUTS[2, j] for j in (1, 2)]
    return derivation.remark(
        "positive inputs alone do not decide: two examples, (1, 2) with `delta_1 = 1` and (2, 1) "
        "with `delta_2 = -1`, give `g_1`",
        gradient[0],
        sp.S.NegativeOne,
        where=example,
    ).remark("and `g_2`", gradient[1], sp.S.One, where=example)


def zig_zag() -> Derivation:
    """The condition number of the squared loss of a linear unit, 1 + n m^2/v."""
    length, total = (Named(name, Sum(DIRECTION[J] ** p, (J, 1, N))) for name, p in _SUMS)
    curvature = VARIANCE + MEAN**2 * total**2 / length

    derivation = Derivation(
        "zig-zag",
        "the largest curvature of a linear unit's squared loss over the smallest one",
        curvature / VARIANCE,
        given=(
            "the unit is `z = sum_j w_j x_j`, its loss `E[(z - t)^2]/2`, with `t` the target",
            "the `n` features are independent, of mean `m` and variance `v`; a prime marks another "
            "one",
            "along `u`, the curvature is `sum_jk u_j u_k E[x_j x_k]/|u|^2`, with `|u|^2 = sum_j "
            "u_j^2` and `s = sum_j u_j`",
        ),
    )
    derivation = _curvatures(_hessian(derivation), length, total)
    derivation = derivation.step(
        "`u = (1, ..., 1)`", 1 + N * MEAN**2 / VARIANCE, where={total: N, length: N}
    )
    return _consequences(derivation)


_SUMS = (("|u|^2", 2), ("s", 1))


def _hessian(derivation: Derivation) -> Derivation:
    """The second derivatives of the loss, and what they are on average."""
    w_j, w_k, x_j, x_k, rest = sp.symbols("w_j w_k x_j x_k c", real=True)
    error = w_j * x_j + w_k * x_k + rest
    x = RandomVariable("x")
    return (
        derivation.lemma(
            "the gradient, with all other terms of `z - t` in `c`",
            sp.Derivative(error**2 / 2, w_j),
            x_j * error,
        )
        .lemma("and the Hessian", sp.Derivative(x_j * error, w_k), x_j * x_k)
        .lemma("on average, off the diagonal", E(x * x.copy(1)), E(x) ** 2)
        .lemma("and on it", E(x**2), Var(x) + E(x) ** 2)
    )


def _curvatures(derivation: Derivation, length: Named, total: Named) -> Derivation:
    """Along any direction, and why (1, ..., 1) is the steepest of all."""
    u, pairs = DIRECTION, ((J, 1, N), (K, 1, N))
    moment = MEAN**2 + VARIANCE * KroneckerDelta(J, K)
    return derivation.lemma(
        "so the curvature is `v + m^2 s^2/|u|^2`, at least `v`, and `v` wherever `s = 0`",
        Sum(moment * u[J] * u[K], *pairs),
        VARIANCE * length + MEAN**2 * total**2,
    ).lemma(
        "and largest for equal `u_j`, as this is never negative",
        N * length - total**2,
        Sum((u[J] - u[K]) ** 2, *pairs) / 2,
    )


def _consequences(derivation: Derivation) -> Derivation:
    """What it means for gradient descent, and how large it is behind an activation."""
    rate = sp.Symbol("eta", positive=True)
    condition = derivation.result
    relu = read("relu").function(Z)
    square, mean = GaussianExpectation(relu**2, Z), GaussianExpectation(relu, Z)
    spread = sp.IndexedBase("v", positive=True)
    return (
        derivation.remark("centred features", condition, sp.S.One, where={MEAN: sp.S.Zero})
        .remark(
            "at the largest stable step a flat direction shrinks by this, while the steep one "
            "jumps from side to side: the zig-zag",
            1 - rate * VARIANCE,
            1 - 2 / condition,
            assumption="`eta = 2/(v + n m^2)`",
            where={rate: 2 / (VARIANCE + N * MEAN**2)},
        )
        .remark(
            "behind relu",
            condition,
            1 + N / (sp.pi - 1),
            assumption="`x = relu(z)`, `z ~ N(0, 1)`",
            where={MEAN: mean, VARIANCE: square - mean**2},
        )
        .remark(
            "centred features of unequal variance: the curvature along each is its variance, so "
            "they learn at unequal rates",
            Sum(
                spread[J] * KroneckerDelta(J, K) * DIRECTION[J] * DIRECTION[K], (J, 1, N), (K, 1, N)
            ),
            Sum(spread[J] * DIRECTION[J] ** 2, (J, 1, N)),
        )
    )
