"""The variance of a product, on which every formula for a layer rests."""

from __future__ import annotations

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import (
    E,
    RandomVariable,
    Var,
    definition,
    independence,
    linearity,
)


def product_variance() -> Derivation:
    """Var(W Y) for independent W and Y, and the lecture's case of two zero means."""
    W, Y = RandomVariable("W"), RandomVariable("Y")
    centred = {v: v.assuming(zero_mean=True) for v in (W, Y)}
    second_moments = {E(v**2): Var(v) + E(v) ** 2 for v in (W, Y)}

    derivation = Derivation(
        "product-variance",
        "the variance of a product of independent variables",
        Var(W * Y),
        given=("`W` and `Y` are independent; nothing else is assumed of their laws",),
    )
    derivation = (
        derivation.step("definition of the variance", definition)
        .step("linearity", linearity)
        .step("independence", independence)
        .step("`E[X^2] = Var(X) + E[X]^2`", lambda e: e.xreplace(second_moments))
        .step("multiply out", E(Y) ** 2 * Var(W) + E(W) ** 2 * Var(Y) + Var(W) * Var(Y))
    )
    return derivation.remark(
        "the lecture's simplification",
        Var(W * Y),
        Var(W) * Var(Y),
        assumption="`E[W] = 0` and `E[Y] = 0`",
        where=centred,
    )
