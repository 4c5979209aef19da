"""Relu networks of finite width: how far one draw of the weights may be from the average."""

from __future__ import annotations

import sympy as sp
from sympy import Sum

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import (
    E,
    Named,
    RandomVariable,
    SumOfCopies,
    identical_copies,
    independence,
    unfold,
)
from analysis.symbolic.powersums import equality_patterns
from analysis.symbolic.reading import X, named_function, read
from analysis.topics import derive

N, N_IN, DEPTH = (sp.Symbol(name, integer=True, positive=True) for name in ("n", "n_in", "L"))
INDEX, J, LAYER = sp.symbols("i j l", integer=True)
K = sp.Symbol("k", positive=True)
KAPPA = sp.Symbol("kappa", positive=True)
M = RandomVariable("M")
G = RandomVariable("g", symmetric=True)
NORMAL = {E(G**4): sp.Integer(3), E(G**2): sp.S.One}
"""Of a standard normal law."""


def finite_width() -> Derivation:
    """E[M'^2] = (1 + 5/n) E[M^2] for the mean squares M, M' of the outputs of two relu layers."""
    relu = read("relu").function
    kept = Named("S", SumOfCopies(relu(G) ** 2, INDEX, N) / N)
    halves = {E(relu(G) ** power): E(G**power) / 2 for power in (2, 4)}

    derivation = Derivation(
        "finite-width",
        "the second moment of a relu layer's mean square `M' = 2 M S`, over normal weights",
        E((2 * M * kept) ** 2),
        given=(
            "`M` is the mean of `y_j^2` in the layer before, `M'` of `relu(z_i)^2`, `i = 1..n`",
            "the weights are normal with He's variance: given the layer before, `z_i = sqrt(2 M) "
            "g_i`, with `g_i` independent and standard normal; `S` is the mean of `relu(g_i)^2`",
        ),
        uses=(derive("he"),),
    )
    derivation = (
        derivation.step("`M` is independent of the new weights", independence)
        .step("by equal and unequal indices", lambda e: equality_patterns(unfold(e)))
        .step("the `g_i` are independent", lambda e: identical_copies(independence(e)))
        .step("they are symmetric: relu keeps half of each", lambda e: e.xreplace(halves))
        .step("`E[g^2] = 1`, `E[g^4] = 3`", (1 + 5 / N) * E(M**2), where=NORMAL)
    )
    deep = sp.Product(1 + 5 / N, (LAYER, 1, DEPTH))
    return (
        derivation.remark(
            "the mean itself is kept, at any width, as `2 E[S] = E[g^2]`", 2 * E(kept), E(G**2)
        )
        .remark("after `L` layers of one width", deep, (1 + 5 / N) ** DEPTH)
        .remark(
            "as deep as wide, one draw of the weights says little about another, however wide",
            sp.Limit((1 + 5 / N) ** N, N, sp.oo),
            sp.exp(5),
        )
    )


def weight_kurtosis() -> Derivation:
    """As `finite_width`, for weights of any symmetric law."""
    w = RandomVariable("W", zero_mean=True)
    y = RandomVariable("y", exchangeable=True)
    z = Named("z", SumOfCopies(w * y, J, N_IN))
    square, fourth = (
        Named(name, SumOfCopies(y**power, J, N_IN) / N_IN) for name, power in (("M", 2), ("Q", 4))
    )

    derivation = Derivation(
        "weight-kurtosis",
        "the second moment of a relu layer's mean square, over weights of any symmetric law",
        E(z**4) / (2 * N) + (1 - 1 / N) * E(square**2),
        given=(
            "`z = sum_j W_j y_j` is the pre-activation of one of the layer's `n` units; `M` and "
            "`Q` are the means of `y_j^2` and `y_j^4`, `j = 1..n_in`",
            "all weights are independent and symmetric, with He's variance `2/n_in` and kurtosis "
            "`kappa`; given the layer before, `E[z^2] = 2 M`, and two units are independent",
            "relu keeps half of each, `z^4/2` and `z^2/2` on average; so this is the square of the "
            "mean of `relu(z_i)^2`, `i = 1..n`, by equal and by unequal indices; a prime marks "
            "another input",
        ),
        uses=(derive("dense-forward"), derive("he")),
    )
    pairs = E(y**2 * y.copy(1) ** 2)
    of_unit = N_IN * E(w**4) * E(y**4) + 3 * N_IN * (N_IN - 1) * E(w**2) ** 2 * pairs
    of_layer = (E(y**4) + (N_IN - 1) * pairs) / N_IN
    derivation = (
        derivation.lemma("one unit, by equal and unequal indices", E(z**4), of_unit)
        .lemma("the layer before, likewise", E(square**2), of_layer)
        .lemma("and", E(fourth), E(y**4))
    )
    he = {E(w**2): 2 / N_IN, E(w**4): KAPPA * (2 / N_IN) ** 2}
    lemmas = {E(z**4): of_unit.xreplace(he), E(square**2): of_layer, E(fourth): E(y**4)}
    result = (1 + 5 / N) * E(square**2) + 2 * (KAPPA - 3) * E(fourth) / (N * N_IN)
    return (
        derivation.step("the lemmas, He's variance, and the kurtosis", result, where=lemmas)
        .remark(
            "the mean of the fourth powers goes on to the next layer as",
            E(z**4) / 2,
            6 * E(square**2) + 2 * (KAPPA - 3) * E(fourth) / N_IN,
            where=lemmas,
        )
        .remark(
            "normal weights",
            result,
            (1 + 5 / N) * E(square**2),
            assumption="`kappa = 3`",
            where={KAPPA: sp.Integer(3)},
        )
    )


def orthogonal() -> Derivation:
    """As `finite_width`, for a square orthogonal weight matrix, uniform among all such."""
    a, b = (sp.Symbol(name, real=True) for name in "ab")
    length = Named("s", SumOfCopies(G**2, INDEX, N))
    fourth = N * E(G**4) + N * (N - 1) * E(G**2) ** 2

    derivation = Derivation(
        "orthogonal",
        "the second moment of a relu layer's mean square, over orthogonal weights",
        4 * (N * a / 2 + N * (N - 1) * b / 4) * E(M**2),
        given=(
            "the layer has `n` inputs and `n` units, and its weights are `sqrt(2)` times a matrix "
            "that is uniform among the orthogonal ones: `z_i = sqrt(2 n M) u_i`, with `u` uniform "
            "on the unit sphere and `M` the mean square of the inputs",
            "relu keeps half of each `u_i^2`, whatever the others are: `M' = 2 M sum_i "
            "relu(u_i)^2`; `a = E[u_1^4]`, `b = E[u_1^2 u_2^2]`",
            "`g = sqrt(s) u` is standard normal if `s`, independent of `u`, has the law of the sum "
            "of `n` squares of standard normal variables",
        ),
        uses=(derive("finite-width"),),
    )
    solved = {a: 3 / (N * (N + 2)), b: 1 / (N * (N + 2))}
    derivation = derivation.lemma(
        "the length of a normal vector, by equal and unequal indices", E(length**2), fourth
    ).lemma("that is", fourth, N * (N + 2), where=NORMAL)
    for symbol, moment, name in ((a, 3, "`E[g_1^4]`"), (b, 1, "`E[g_1^2 g_2^2]`")):
        derivation = derivation.lemma(
            f"{name} by length and direction",
            sp.Eq(N * (N + 2) * symbol, moment),
            solved[symbol],
            solve_for=symbol,
        )
    derivation = derivation.step("the lemmas", (1 + 3 / (N + 2)) * E(M**2), where=solved)
    return derivation.remark(
        "the kurtosis of one weight", a / (1 / N) ** 2, 3 * N / (N + 2), where=solved
    ).remark(
        "without an activation nothing varies: `M' = M`",
        N * a + N * (N - 1) * b,
        sp.S.One,
        where=solved,
    )


# ------------------------------------------------------------------------------ dead units


def dead_units() -> Derivation:
    """The probability that relu silences a whole layer, or a network, on one input."""
    z = RandomVariable("z", symmetric=True, nonzero=True)
    off = E(_off(z))
    derivation = Derivation(
        "dead-units",
        "the probability that all `n` relu units of a layer give 0 for an input",
        sp.Product(off, (INDEX, 1, N)),
        given=(
            "without biases, given the layer before, the pre-activations `z_i` are independent, "
            "symmetric and not 0; `off(z)` is 1 for `z <= 0`, and else 0",
            "the input is not 0",
        ),
    )
    alive = 1 - sp.Rational(1, 2) ** N
    return (
        derivation.lemma("one unit", off, sp.Rational(1, 2))
        .step("all of them", sp.Rational(1, 2) ** N, where={off: sp.Rational(1, 2)})
        .remark(
            "of `L` layers of one width, one or more is silent",
            1 - sp.Product(alive, (LAYER, 1, DEPTH)),
            1 - alive**DEPTH,
        )
        .remark(
            "five layers of four units",
            1 - alive**DEPTH,
            1 - sp.Rational(15, 16) ** 5,
            where={N: sp.Integer(4), DEPTH: sp.Integer(5)},
        )
    )


_off = named_function("off", sp.Piecewise((1, X <= 0), (0, True)))


# ------------------------------------------------------------------------------ the log scale


def log_norm() -> Derivation:
    """The mean of log(M'/M): the typical network, where `finite_width` averages over all."""
    t = sp.Symbol("t", real=True)
    cumulants = t * sp.log(4 / N) + sp.loggamma(K / 2 + t) - sp.loggamma(K / 2)
    log_mean, log_variance = sp.log(4 / N) + sp.polygamma(0, K / 2), sp.polygamma(1, K / 2)
    share, active = Named("p_k", sp.binomial(N, K) / (2**N - 1)), (K, 1, N)
    mean = Sum(share * log_mean, active)
    spread = Sum(share * (log_variance + (log_mean - sp.Symbol("c", real=True)) ** 2), active)

    derivation = Derivation(
        "log-norm",
        "the mean of the logarithm of a relu layer's mean square, over normal weights",
        Named("E[log(M'/M)]", Sum(share * sp.Derivative(cumulants, t), active)),
        given=(
            "the weights are normal with He's variance: `M'/M` is `2/n` times the sum of "
            "`relu(g_i)^2`, `i = 1..n`, with `g_i` standard normal",
            "with probability `p_k = binomial(n, k)/(2^n - 1)` there are `k` active units, given "
            "that there are any; then the sum is chi-square with `k` degrees of freedom",
            "the `t`-th power of that has the mean `2^t Gamma(k/2 + t)/Gamma(k/2)`, by the "
            "definition of Gamma; the slope of the logarithm of this mean, at `t = 0`, is the "
            "mean of the logarithm, and the second derivative its variance",
        ),
        uses=(derive("finite-width"), derive("dead-units")),
    )
    return (
        derivation.step("definition", derivation.start.definition)
        .step(
            "differentiate, with `polygamma(0, x) = d/dx log Gamma(x)`",
            Sum(share * (sp.log(4 / N) + sp.polygamma(0, K / 2 + t)), active),
        )
        .step("at `t = 0`", mean, where={t: sp.S.Zero})
        .remark(
            "the variance for `k` active units",
            sp.Derivative(sp.Derivative(cumulants, t), t),
            sp.polygamma(1, K / 2 + t),
        )
        .remark(
            "and in all, with the result as `c`: their mean, and the variance of the means",
            Named("Var(log(M'/M))", spread),
            spread,
        )
    )
