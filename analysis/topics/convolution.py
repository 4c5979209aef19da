"""Convolution with padding: a border position adds up fewer terms."""

from __future__ import annotations

import sympy as sp
from sympy import Sum

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import E, Var
from analysis.topics import derive
from analysis.topics.dense import N_IN, W
from analysis.topics.dense import Y as INPUT

LENGTH, CHANNELS = sp.symbols("T c", integer=True, positive=True)
SIDE = sp.Symbol("p", integer=True, positive=True)
INDEX = sp.Symbol("i", integer=True)


def conv_padding() -> Derivation:
    """The mean second moment of a convolution's outputs whose borders are padded with zeros."""
    forward = derive("dense-forward").result
    border = Sum(SIDE + INDEX, (INDEX, 1, SIDE))
    per_tap = CHANNELS * Var(W) * E(INPUT**2)
    kernel = 2 * SIDE + 1

    derivation = Derivation(
        "conv-padding",
        "the mean second moment of a convolution's outputs, zeros padding its borders",
        ((LENGTH - 2 * SIDE) * kernel + 2 * border) / LENGTH * per_tap,
        given=(
            "a kernel of odd size `2 p + 1` over `T > 2 p` positions of `c` channels, padded with "
            "`p` zeros on both sides (padding `same`)",
            "an output adds up `c` products for each position of its kernel that is not in the "
            "padding: all `2 p + 1`, or `p + i` at the `i`-th position from an end, `i = 1..p`",
        ),
        uses=(derive("dense-forward"),),
    )
    size = sp.Symbol("k", positive=True)
    derivation = derivation.lemma(
        "an output that adds up `k` positions",
        forward,
        size * per_tap,
        where={N_IN: CHANNELS * size},
    )
    result = (kernel - SIDE * (SIDE + 1) / LENGTH) * per_tap
    return (
        derivation.step("add up the positions", result)
        .remark(
            "in terms of the kernel's size `k = 2 p + 1`, so fan-in `c k` is too much by",
            1 - (kernel - SIDE * (SIDE + 1) / LENGTH) / kernel,
            (size**2 - 1) / (4 * size * LENGTH),
            where={SIDE: (size - 1) / 2},
        )
        .remark(
            "the outermost output of a kernel of three has, of what those inside have",
            (SIDE + 1) / kernel,
            sp.Rational(2, 3),
            where={SIDE: sp.S.One},
        )
        .remark(
            "in two dimensions both factors multiply: for a 3 x 3 kernel on 8 x 8 positions",
            ((kernel - SIDE * (SIDE + 1) / LENGTH) / kernel) ** 2,
            sp.Rational(121, 144),
            where={SIDE: sp.S.One, LENGTH: sp.Integer(8)},
        )
    )
