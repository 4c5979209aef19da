"""Identical units stay identical: the gradient treats units alike that are alike."""

from __future__ import annotations

import sympy as sp
from sympy import Expr

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import Named
from analysis.symbolic.reading import read

X = sp.Symbol("x", real=True)
DELTA, ETA = sp.symbols("delta eta", real=True)
W, A, REST, GRADIENT = (sp.symbols(f"{name}_1 {name}_2", real=True) for name in "wacg")
SLOPE = sp.Function("phi'")
SAME = {W[1]: W[0], REST[1]: REST[0]}
"""Equal incoming weights."""


def identical_units() -> Derivation:
    """The gradients of two units of one layer, which are equal if the units are."""
    z = [Named(f"z_{k}", W[k - 1] * X + REST[k - 1]) for k in (1, 2)]
    phi = [Named(f"phi({unit})", _function_of_slope(unit)) for unit in z]
    loss = DELTA * (A[0] * phi[0] + A[1] * phi[1])

    derivation = Derivation(
        "identical-units",
        "how the gradients of two units of one layer differ",
        sp.Derivative(loss, W[0]) - sp.Derivative(loss, W[1]),
        given=(
            "`w_1` and `w_2` are the two units' weights for the same input `x`; `c_1` and `c_2` "
            "are what their other inputs and biases add, so `z_k = w_k x + c_k`",
            "`a_1` and `a_2` are the weights by which they go into the next layer, where `delta` "
            "is the gradient; to first order the loss is `delta (a_1 phi(z_1) + a_2 phi(z_2))`",
        ),
    )
    derivation = derivation.step(
        "chain rule", DELTA * X * (A[0] * SLOPE(z[0]) - A[1] * SLOPE(z[1]))
    )
    general = derivation.result
    derivation = derivation.step(
        "equal incoming and outgoing weights", sp.S.Zero, where={**SAME, A[1]: A[0]}
    )
    derivation = derivation.remark(
        "likewise for the outgoing weights, whose gradients are `delta phi(z_k)`",
        sp.Derivative(loss, A[0]) - sp.Derivative(loss, A[1]),
        sp.S.Zero,
        assumption="`w_1 = w_2`, `c_1 = c_2`",
        where=SAME,
    ).remark(
        "so a step leaves them equal, and so does any rule that treats all weights alike",
        (W[0] - ETA * GRADIENT[0]) - (W[1] - ETA * GRADIENT[1]),
        sp.S.Zero,
        where={**SAME, GRADIENT[1]: GRADIENT[0]},
    )
    derivation = derivation.remark(
        "unequal outgoing weights tell them apart",
        general,
        DELTA * X * (A[0] - A[1]) * SLOPE(z[0]),
        assumption="`w_1 = w_2`, `c_1 = c_2`",
        where=SAME,
    )
    return _zero_weights(derivation)


def _function_of_slope(z: Expr) -> Expr:
    """phi(z) for any phi, by its slope."""
    s, at_zero = sp.symbols("s phi_0", real=True)
    return at_zero + sp.Integral(SLOPE(s), (s, 0, z))


def _zero_weights(derivation: Derivation) -> Derivation:
    """All weights 0 are the extreme case."""
    for name, value in (("relu", 0), ("tanh", 0), ("sigmoid", sp.Rational(1, 2))):
        derivation = derivation.remark(
            f"all weights 0: whatever the input, {name} gives",
            read(name).function(sp.S.Zero),
            sp.sympify(value),
        )
    return derivation
