"""Pooling: the average and the maximum of a window."""

from __future__ import annotations

import sympy as sp
from sympy import Expr

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import Cov, E, Named, RandomVariable, SumOfCopies, Var
from analysis.symbolic.gaussian import GaussianExpectation, Z, density

K = sp.Symbol("k", integer=True, positive=True)
INDEX = sp.Symbol("i", integer=True)
Y = RandomVariable("Y", exchangeable=True)
DELTA = RandomVariable("delta")


def average_pooling() -> Derivation:
    """Var(mean of k values) for values of any correlation."""
    mean = Named("mean", SumOfCopies(Y, INDEX, K) / K)
    rho = sp.Symbol("rho", real=True)
    derivation = Derivation(
        "average-pooling",
        "the variance of the average of a window of `k` values",
        Var(mean),
        given=(
            "the values are exchangeable: they have one law, but may depend on each other; a prime "
            "marks another one, and `rho` is their correlation",
        ),
    )
    derivation = derivation.step(
        "by equal and unequal indices", Var(Y) / K + (K - 1) / K * Cov(Y, Y.copy(1))
    ).step(
        "`Cov(Y, Y') = rho Var(Y)`",
        (1 + (K - 1) * rho) / K * Var(Y),
        where={Cov(Y, Y.copy(1)): rho * Var(Y)},
    )
    return (
        derivation.remark(
            "independent values", derivation.result, Var(Y) / K, where={rho: sp.S.Zero}
        )
        .remark("the mean is kept, so the second moment falls by less", E(mean), E(Y))
        .remark(
            "the gradient: each value receives `delta/k`", E((DELTA / K) ** 2), E(DELTA**2) / K**2
        )
    )


def max_pooling() -> Derivation:
    """Mean and second moment of the largest of 2, 3 and 4 normal values."""
    four = sp.Integer(4)
    mean = 3 / (2 * sp.sqrt(sp.pi)) + 3 * sp.asin(sp.Rational(1, 3)) / sp.pi ** sp.Rational(3, 2)

    derivation = Derivation(
        "max-pooling",
        "the mean of the largest of four normal values",
        Named("E[max]", _of_largest(Z, four)),
        given=(
            "the values of a window are independent and standard normal, with distribution "
            "function `Phi` and density `phi`",
            "all are below `z` with probability `Phi(z)^k`, so the density of the largest is "
            "`k Phi(z)^(k - 1) phi(z)`",
        ),
    )
    derivation = (
        derivation.lemma(
            "that density, for four", sp.Derivative(PHI**4, Z), 4 * PHI**3 * density(Z)
        )
        .step("by its density", _of_largest(Z, four))
        .step("closed form", mean)
    )
    derivation = derivation.remark(
        "its second moment", _of_largest(Z**2, four), 1 + sp.sqrt(3) / sp.pi
    )
    for size, moments in (
        (3, (3 / (2 * sp.sqrt(sp.pi)), 1 + sp.sqrt(3) / (2 * sp.pi))),
        (2, (1 / sp.sqrt(sp.pi), 1)),
    ):
        for power, moment, name in zip((1, 2), moments, ("mean", "second moment"), strict=True):
            derivation = derivation.remark(
                f"the {name} of the largest of {size}",
                _of_largest(Z**power, sp.Integer(size)),
                sp.sympify(moment),
            )
    return derivation.remark(
        "the gradient goes to the largest, which each of four is with probability",
        _of_largest(sp.S.One, four) / 4,
        sp.Rational(1, 4),
    )


PHI = Named("Phi(z)", (1 + sp.erf(Z / sp.sqrt(2))) / 2)


def _of_largest(f: Expr, size: Expr) -> GaussianExpectation:
    """E[f(z)] for the largest z of `size` independent standard normal values."""
    return GaussianExpectation(size * f * PHI ** (size - 1), Z)
