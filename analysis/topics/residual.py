"""Residual connections: why the analysis of plain stacks fails there, and what repairs it."""

from __future__ import annotations

import sympy as sp
from sympy import Expr

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import E, Named, RandomVariable, SumOfCopies, Var, linearity
from analysis.topics import derive
from analysis.topics.dense import N_IN, J, W

Y = RandomVariable("Y", group="block", exchangeable=True)
H = RandomVariable("H", group="block", exchangeable=True)
BRANCH = Named("F", SumOfCopies(W * H, J, N_IN))
BETA = sp.Symbol("beta", positive=True)
DEPTH, BLOCK = sp.symbols("L l", integer=True, positive=True)


def residual() -> Derivation:
    """The second moment behind Y + beta F, whose branch F ends in a linear layer."""
    derivation = Derivation(
        "residual",
        "the second moment behind a residual block `Y + beta F`",
        E((Y + BETA * BRANCH) ** 2),
        given=(
            "the branch ends in a linear layer, `F = sum_j W_j H_j`: its weights are independent "
            "copies of `W`, with `E[W] = 0`, and independent of `Y` and of the `H_j`",
            "the `H_j` are computed from `Y` and other inputs, and may depend on them in any way",
        ),
        uses=(derive("dense-forward"),),
    )
    derivation = derivation.lemma("branch and shortcut are uncorrelated", E(Y * BRANCH), sp.S.Zero)
    derivation = (
        derivation.step("multiply out", linearity)
        .step("the lemma", E(Y**2) + BETA**2 * E(BRANCH**2))
        .step("the linear layer", E(Y**2) + BETA**2 * N_IN * Var(W) * E(H**2))
        .step(
            "the branch keeps the second moment: `n_in Var(W) E[H^2] = E[Y^2]`",
            (1 + BETA**2) * E(Y**2),
            where={Var(W): E(Y**2) / (N_IN * E(H**2))},
        )
    )
    return _deep(derivation, derivation.result / E(Y**2))


def _deep(derivation: Derivation, factor: Expr) -> Derivation:
    """L blocks after each other."""
    power = (1 + BETA**2) ** DEPTH
    return (
        derivation.remark("after `L` blocks", sp.Product(factor, (BLOCK, 1, DEPTH)), power)
        .remark("a plain block doubles it", power, 2**DEPTH, where={BETA: sp.S.One})
        .remark(
            "branches scaled by `L^(-1/2)` keep it bounded, however many they are",
            sp.Limit(power.xreplace({BETA: 1 / sp.sqrt(DEPTH)}), DEPTH, sp.oo),
            sp.E,
        )
    )


def residual_normalised() -> Derivation:
    """The second moment behind Y + F(norm(Y)), which grows by the same amount in each block."""
    block = derive("residual").chain[-2].rhs

    derivation = Derivation(
        "residual-normalised",
        "the second moment behind a block whose branch starts with a norm, `Y + F(norm(Y))`",
        block.xreplace({BETA: sp.S.One}),
        given=(
            "the norm hands `E[y^2] = 1` to the branch, which keeps it: `n_in Var(W) E[H^2] = 1`",
        ),
        uses=(derive("residual"),),
    )
    grown = 1 + sp.Sum(1, (BLOCK, 1, DEPTH))
    gradient = sp.Product(1 + 1 / BLOCK, (BLOCK, 1, DEPTH))
    return (
        derivation.step("the branch adds 1", E(Y**2) + 1, where={Var(W): 1 / (N_IN * E(H**2))})
        .remark("after `L` blocks, from `E[Y^2] = 1`", grown, 1 + DEPTH)
        .remark(
            "back through block `l`, whose norm divides by `E[Y^2] = l`, the gradient's second "
            "moment becomes `1 + 1/l` times as large; through all of them",
            gradient,
            1 + DEPTH,
            assumption="the blocks are wide and keep the gradient too",
        )
    )
