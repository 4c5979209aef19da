"""What batch normalisation does to the gradient of a deep network at initialisation."""

from __future__ import annotations

import sympy as sp
from sympy import Expr, KroneckerDelta, Sum

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import E, Named, RandomVariable, Var
from analysis.symbolic.gaussian import GaussianExpectation, Z, density
from analysis.symbolic.reading import X, read
from analysis.topics import derive
from analysis.topics.batchnorm import EPS, GAMMA, INDEX, L, M, R, U, V
from analysis.topics.dense import DELTA, N_IN, N_OUT, W
from analysis.topics.dense import Y as INPUT

_USED = ("dense-forward", "dense-backward", "batchnorm", "gaussian-poincare")

UNIT = {GAMMA: sp.S.One, EPS: sp.S.Zero, R: sp.S.One}
"""A batch norm layer as it is initialised, without eps."""


def gaussian_poincare() -> Derivation:
    """E[phi'(z)^2] - Var(phi(z)) as a sum of squares, z ~ N(0, 1)."""
    s, t = sp.symbols("s t", real=True)
    j, k = (sp.Symbol(name, integer=True, nonnegative=True) for name in "jk")
    a, values, slopes = (sp.IndexedBase(name, real=True) for name in ("a", "A", "B"))
    pairs = (j, 1, sp.oo), (k, 1, sp.oo)
    difference = Sum(a[j] * a[k] * (slopes[j, k] - values[j, k]), *pairs)

    derivation = Derivation(
        "gaussian-poincare",
        "the variance of `phi(z)` against the mean square of its slope, `z ~ N(0, 1)`",
        Named("E[phi'(z)^2] - Var(phi(z))", difference),
        given=(
            "`phi = sum_k a_k h_k`, with `h_k = He_k/sqrt(k!)` the normalised Hermite polynomials, "
            "those with `exp(t z - t^2/2) = sum_k He_k(z) t^k/k!`",
            "`A[j, k] = E[h_j(z) h_k(z)]` and `B[j, k] = E[h_j'(z) h_k'(z)]`; the constant `h_0` "
            "adds nothing to variance or slope",
        ),
    )
    generating = [sp.exp(u * Z - u**2 / 2) for u in (s, t)]
    product, product_of_slopes = (
        GaussianExpectation(sp.Mul(*factors), Z)
        for factors in (generating, [sp.diff(g, Z) for g in generating])
    )
    derivation = derivation.lemma(
        "this is `sum_k (s t)^k/k!`, so `A[j, k] = [j = k]`", product, sp.exp(s * t)
    ).lemma(
        "this is `sum_k k (s t)^k/k!`, so `B[j, k] = k [j = k]`",
        product_of_slopes,
        s * t * sp.exp(s * t),
    )
    delta = KroneckerDelta(j, k)
    derivation = (
        derivation.step("insert `phi`", difference)
        .step(
            "the lemmas",
            Sum(a[j] * a[k] * (k - 1) * delta, *pairs),
            where={values[j, k]: delta, slopes[j, k]: k * delta},
        )
        .step("only `j = k` is left", Sum((k - 1) * a[k] ** 2, (k, 1, sp.oo)))
    )
    return derivation.remark(
        "no term is negative, so `E[phi'^2] >= Var(phi)`; that of `k = 1` is 0 whatever `a_1` is, "
        "so only for affine `phi` are the two equal",
        (k - 1) * a[k] ** 2,
        sp.S.Zero,
        where={k: sp.S.One},
    )


def batchnorm_depth() -> Derivation:
    """The factor of the gradient's second moment for a layer, E[phi'^2] / Var(phi)."""
    forward, backward = derive("dense-forward").result, derive("dense-backward").result
    behind = derive("batchnorm").result.xreplace(UNIT)
    unit = RandomVariable("z")
    phi, slope = (sp.Function(name)(unit) for name in ("phi", "phi'"))
    (any_slope,) = (e for e in backward.atoms(E) if e != E(DELTA**2))
    centred = forward.xreplace({E(INPUT**2): E((phi - E(phi)) ** 2)})

    derivation = Derivation(
        "batchnorm-depth",
        "what a linear layer, batch norm and `phi` multiply the gradient's second moment by",
        backward.xreplace({any_slope: E(slope**2)}) / E(DELTA**2) / V,
        given=(
            "layer by layer: `y = W phi(z)`, and `z` is `y` standardised over the batch",
            "the batch and the layers are large; then `z` is about normal, and `v`, the variance "
            "of `y` in the batch, is about its mean over the weights",
            "`gamma = 1`, `beta = 0`, `eps = 0`, as a batch norm layer is initialised",
        ),
        uses=tuple(derive(name) for name in _USED),
    )
    derivation = derivation.lemma(
        "back through batch norm, as the batch grows", sp.Limit(behind, M, sp.oo), E(U**2) / V
    ).lemma(
        "`v`: the batch mean of `y` takes that of `phi(z)` away",
        centred,
        N_IN * Var(W) * Var(phi),
    )
    derivation = derivation.step(
        "insert `v`",
        N_OUT * E(slope**2) / (N_IN * Var(phi)),
        where={V: N_IN * Var(W) * Var(phi)},
    ).remark(
        "never below 1 between layers of one width: what is added is a sum of squares, 0 only for "
        "an affine `phi`",
        E(slope**2) / Var(phi),
        1 + (E(slope**2) - Var(phi)) / Var(phi),
    )
    return _of_activations(derivation)


def _of_activations(derivation: Derivation) -> Derivation:
    for name, value in (
        ("relu", sp.pi / (sp.pi - 1)),
        ("erf", 2 / (sp.sqrt(5) * sp.asin(sp.Rational(2, 3)))),
    ):
        phi, slope = read(name).function(X), read(name).derivative_function(X)
        square, mean = GaussianExpectation(phi**2, X), GaussianExpectation(phi, X)
        derivation = derivation.remark(
            f"{name}, between layers of one width",
            GaussianExpectation(slope**2, X) / (square - mean**2),
            value,
        )
    return derivation


# ------------------------------------------------------------------------------ finite batches


def batchnorm_finite_batch() -> Derivation:
    """The exact factor of a linear network at batch size m, (m - 2) / (m - 3)."""
    q = sp.Symbol("q", real=True)
    c, w = sp.symbols("c w", positive=True)

    derivation = Derivation(
        "batchnorm-finite-batch",
        "what a linear layer and batch norm multiply the gradient by in a wide linear network",
        w * (M - 2) / (M - 1) * (M * q / c),
        given=(
            "`phi` is the identity; all layers have the same large width `n`, and `w = n Var(W)`",
            "over a batch of `m > 3`, one feature less its mean is `sqrt(c) g`, with `g` standard "
            "normal in `d = m - 1` dimensions; so `1/v = m/(c s)`, `s = |g|^2`, and `q = E[1/s]`",
            "a gradient that is alike in all these dimensions loses one of them, along `g`, and "
            "keeps `(m - 2)/(m - 1)`",
        ),
        uses=(derive("batchnorm"),),
    )
    derivation, inverse_square = _inverse_square(derivation, q)
    return (
        derivation.step(
            "`|yhat|^2 = m`, spread over `m - 1` dimensions, goes forward through the weights",
            (M - 2) * q,
            where={c: w * M / (M - 1)},
        )
        .step("the lemma", (M - 2) / (M - 3), where={q: inverse_square.subs(D, M - 1)})
        .remark(
            "and a large batch keeps the gradient of a linear network",
            sp.Limit((M - 2) / (M - 3), M, sp.oo),
            sp.S.One,
        )
    )


D = sp.Symbol("d", integer=True, positive=True)
G = sp.IndexedBase("g", real=True)


def _inverse_square(derivation: Derivation, q: Expr) -> tuple[Derivation, Expr]:
    """E[1/|g|^2] = 1/(d - 2) for g standard normal in d dimensions, by Stein's identity."""
    i = sp.Symbol("i", integer=True, positive=True)
    length = Named("s", Sum(G[L] ** 2, (L, 1, D)))
    f = sp.Function("f")(Z)
    derivation = (
        derivation.lemma(
            "so `E[f'(z)] = E[z f(z)]` for a standard normal `z`, if `f` does not grow too fast",
            sp.Derivative(f * density(Z), Z),
            (sp.Derivative(f, Z) - Z * f) * density(Z),
        )
        .lemma(
            "the slope of `f = g_i/s`",
            sp.Derivative(G[i] / length, G[i]),
            1 / length - 2 * G[i] ** 2 / length**2,
            assumption="`1 <= i <= d`",
            where={D: i + sp.Symbol("r", integer=True, nonnegative=True)},
        )
        .lemma(
            "these slopes, added up",
            Sum(1 / length - 2 * G[INDEX] ** 2 / length**2, (INDEX, 1, D)),
            (D - 2) / length,
        )
        .lemma("and `g_i f`, added up", Sum(G[INDEX] ** 2 / length, (INDEX, 1, D)), sp.S.One)
        .lemma("so on average", sp.Eq((D - 2) * q, 1), 1 / (D - 2), solve_for=q)
    )
    return derivation, 1 / (D - 2)
