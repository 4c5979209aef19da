"""How the correlation of two inputs goes through an activation, by Price's theorem."""

from __future__ import annotations

import sympy as sp
from sympy import Expr

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import Named
from analysis.symbolic.gaussian import GaussianExpectation
from analysis.symbolic.reading import X, read
from analysis.topics import derive

U, V, RHO, T = sp.symbols("u v rho t", real=True)
Q = sp.Symbol("q", positive=True)

LOG_DENSITY = Named(
    "logp",
    -(U**2 - 2 * RHO * U * V + V**2) / (2 * (1 - RHO**2)) - sp.log(2 * sp.pi * sp.sqrt(1 - RHO**2)),
)
"""Of standard normal u and v with correlation rho."""


def price_theorem() -> Derivation:
    """d/drho E[f(u) g(v)] = E[f'(u) g'(v)] for standard normal u, v of correlation rho."""
    log_p = LOG_DENSITY
    by_u, by_v = (sp.Derivative(log_p, x) for x in (U, V))
    derivation = Derivation(
        "price-theorem",
        "how the density `p` of a normal pair changes with its correlation (Price 1958)",
        sp.Derivative(log_p, RHO),
        given=(
            "`u` and `v` are standard normal with correlation `rho`, `-1 < rho < 1`; `logp` is the "
            "logarithm of their density",
            "the result is `dp/drho = d^2p/(du dv)`, divided by `p`; by parts in `u` and in `v` it "
            "becomes `d/drho E[f(u) g(v)] = E[f'(u) g'(v)]`, for `f` and `g` that grow too slowly "
            "to leave anything at infinity",
        ),
    )
    slope = (RHO + U * V * (1 + RHO**2) / (1 - RHO**2)) / (1 - RHO**2)
    slope -= RHO * (U**2 + V**2) / (1 - RHO**2) ** 2
    return derivation.step("differentiate", slope).step(
        "collect", sp.Derivative(sp.Derivative(log_p, U), V) + by_u * by_v
    )


def arccosine_kernel() -> Derivation:
    """E[relu(u) relu(v)] for standard normal u, v with correlation rho (Cho and Saul 2009)."""
    relu = read("relu")
    at_zero, slope_at_zero = (
        GaussianExpectation(f(X), X) ** 2 for f in (relu.function, relu.derivative_function)
    )
    origin = 1 / (2 * sp.pi * sp.sqrt(1 - RHO**2))
    slope = (sp.pi - sp.acos(RHO)) / (2 * sp.pi)
    kernel = (sp.sqrt(1 - RHO**2) + RHO * (sp.pi - sp.acos(RHO))) / (2 * sp.pi)
    by_slope = at_zero + _from_zero(slope)

    derivation = Derivation(
        "arccosine-kernel",
        "the second moment `K(rho)` of two relu outputs whose inputs have correlation `rho`",
        Named("E[relu(u) relu(v)]", by_slope),
        given=(
            "`u` and `v` are standard normal with correlation `rho`, `-1 < rho < 1`; with variance "
            "`q` the result is `q` times as large",
            "by Price's theorem `K'(rho) = P(u > 0, v > 0)`, and `K''(rho) = p(0, 0)`; at `rho = "
            "0` `u` and `v` are independent",
        ),
        uses=(derive("price-theorem"),),
    )
    derivation = (
        derivation.lemma(
            "`p(0, 0)`", sp.exp(LOG_DENSITY), origin, where={U: sp.S.Zero, V: sp.S.Zero}
        )
        .lemma("`K(0)`", at_zero, 1 / (2 * sp.pi))
        .lemma("`K'(0)`", slope_at_zero, sp.Rational(1, 4))
        .lemma(
            "so `K'(rho)`",
            sp.Rational(1, 4) + _from_zero(origin),
            slope,
            boundary=(RHO, sp.S.Zero),
        )
        .step("by its slope", by_slope)
        .step("`K(0)`", 1 / (2 * sp.pi) + _from_zero(slope))
        .step("integrate", kernel, boundary=(RHO, sp.S.Zero))
    )
    return _with_he(derivation)


def _from_zero(f: Expr) -> sp.Integral:
    """The integral of a function of rho from 0 to rho."""
    return sp.Integral(f.xreplace({RHO: T}), (T, 0, RHO))


def _with_he(derivation: Derivation) -> Derivation:
    """He's variance doubles K: two inputs grow alike, ever more slowly."""
    kernel = derivation.result
    return derivation.remark(
        "with He's variance the correlation behind a layer is `2 K(rho)`; equal inputs stay equal",
        2 * kernel,
        sp.S.One,
        assumption="`rho = 1`",
        where={RHO: sp.S.One},
    ).remark(
        "its slope, which is 1 at `rho = 1`: on the edge, where inputs that differ come together "
        "only slowly",
        sp.Derivative(2 * kernel, RHO),
        1 - sp.acos(RHO) / sp.pi,
    )


def arcsine_kernel() -> Derivation:
    """E[erf(u) erf(v)] for normal u, v of variance q and correlation rho (Williams 1997)."""
    spread = sp.Symbol("s", positive=True)
    mean = sp.Symbol("m", real=True)
    slope = read("erf").derivative_function
    rest = 1 + 2 * spread
    given_u = 2 * sp.exp(-(mean**2) / rest) / sp.sqrt(sp.pi * rest)
    averaged = 4 / (sp.pi * sp.sqrt(rest * (1 + 2 * Q) + 2 * Q * RHO**2))
    both = 4 / (sp.pi * sp.sqrt((1 + 2 * Q) ** 2 - 4 * Q**2 * RHO**2))

    derivation = Derivation(
        "arcsine-kernel",
        "the second moment of two erf outputs whose inputs have correlation `rho`",
        Named("E[erf(u) erf(v)]", _from_zero(Q * both)),
        given=(
            "`u` and `v` are normal with variance `q` and correlation `rho`, `-1 < rho < 1`",
            "by Price's theorem the slope in `rho` is `q E[erf'(u) erf'(v)]`; at `rho = 0` the "
            "second moment is 0, as erf is odd",
            "given `u`, `v` is normal with mean `m = rho u` and variance `s = q (1 - rho^2)`",
        ),
        uses=(derive("price-theorem"),),
    )
    derivation = (
        derivation.lemma("given `u`", GaussianExpectation(slope(X), X, mean, spread), given_u)
        .lemma(
            "so on average over `u`",
            GaussianExpectation(slope(X) * given_u.xreplace({mean: RHO * X}), X, 0, Q),
            averaged,
        )
        .lemma("that is, `E[erf'(u) erf'(v)]`", averaged, both, where={spread: Q * (1 - RHO**2)})
        .step("by its slope", _from_zero(Q * both))
        .step(
            "integrate",
            2 / sp.pi * sp.asin(2 * Q * RHO / (1 + 2 * Q)),
            boundary=(RHO, sp.S.Zero),
        )
    )
    return derivation.remark(
        "equal inputs: the second moment of one output",
        derivation.result,
        GaussianExpectation(read("erf").function(X) ** 2, X, 0, Q),
        assumption="`rho = 1`",
        where={RHO: sp.S.One},
    )
