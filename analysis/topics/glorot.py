"""Initial variances for layers that are about linear: LeCun's and Glorot's."""

from __future__ import annotations

import sympy as sp
from sympy import Expr

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import E, RandomVariable, Var
from analysis.topics import derive
from analysis.topics.dense import DELTA, N_IN, N_OUT, W, Y

A = sp.Symbol("A", positive=True)


def lecun() -> Derivation:
    """Var(W) = 1/n_in keeps the second moment on the way forward."""
    forward = derive("dense-forward")
    U = RandomVariable("U", zero_mean=True)

    derivation = Derivation(
        "lecun",
        "the weight variance that keeps the second moment forward (LeCun et al. 1998)",
        sp.Eq(forward.result, E(Y**2)),
        given=(
            "a pre-activation shall have the second moment of the inputs, `E[z^2] = E[Y^2]`, "
            "which is not 0; that is unit variance for standardised inputs",
        ),
        uses=(forward,),
    )
    return derivation.solve(Var(W), 1 / N_IN, "solve for `Var(W)`").remark(
        "draw `U` with unit variance and scale by `1/sqrt(n_in)`",
        Var(U / sp.sqrt(N_IN)),
        Var(U) / N_IN,
    )


def glorot() -> Derivation:
    """Var(W) = 2/(n_in + n_out), the compromise between forward and backward."""
    forward, backward = derive("dense-forward"), derive("dense-backward")
    forward_factor = _factor(forward.result, E(Y**2))
    backward_factor = _factor(backward.result, E(DELTA**2))

    derivation = Derivation(
        "glorot",
        "one weight variance for both directions (Glorot and Bengio 2010)",
        sp.Eq((forward_factor + backward_factor) / 2, 1, evaluate=False),
        given=(
            "the activation is about linear where it is used: `phi'(X) = 1`",
            "forward and backward cannot both be kept if `n_in` and `n_out` differ, so their "
            "factors shall be 1 on average: this averages the fans",
        ),
        uses=(forward, backward),
    )
    derivation = derivation.lemma(
        "forward alone", sp.Eq(forward_factor, 1), 1 / N_IN, solve_for=Var(W)
    ).lemma("backward alone", sp.Eq(backward_factor, 1), 1 / N_OUT, solve_for=Var(W))
    derivation = derivation.solve(Var(W), 2 / (N_IN + N_OUT), "solve for `Var(W)`")
    return _uniform_bound(_two_averages(derivation))


def _factor(second_moment: Expr, signal: Expr) -> Expr:
    """By what a layer multiplies the second moment of its signal if phi' = 1."""
    slopes = {e: sp.S.One for e in second_moment.atoms(E) if e != signal}
    return second_moment.xreplace(slopes) / signal


def _two_averages(derivation: Derivation) -> Derivation:
    """What is averaged: the fans, not the scale factors."""
    v_forward, v_backward = sp.symbols("v_f v_b", positive=True)
    derivation = derivation.remark(
        "averaging the fans is the harmonic mean of the two variances",
        2 / (1 / v_forward + 1 / v_backward),
        derivation.result.rhs,
        assumption="`v_f = 1/n_in`, `v_b = 1/n_out`",
        where={v_forward: _lemma(derivation, 0), v_backward: _lemma(derivation, 1)},
    )
    scales = sp.sqrt(_lemma(derivation, 0)) + sp.sqrt(_lemma(derivation, 1))
    fans = {N_IN: 1, N_OUT: 4}
    return derivation.remark(
        "averaging the two scale factors, literally, is not the same",
        (scales / 2) ** 2,
        sp.Rational(9, 16),
        assumption="`n_in = 1`, `n_out = 4`",
        where=fans,
    ).remark(
        "the formula above, for these fans",
        derivation.result.rhs,
        sp.Rational(2, 5),
        assumption="`n_in = 1`, `n_out = 4`",
        where=fans,
    )


def _lemma(derivation: Derivation, number: int) -> Expr:
    """The variance that suits one direction alone."""
    lemmas = [step for step in derivation.steps if step.role == "lemma"]
    return lemmas[number].rhs.rhs


def _uniform_bound(derivation: Derivation) -> Derivation:
    """The bound A of a uniform law on [-A, A] that has the derived variance."""
    u = sp.Symbol("u", real=True)
    variance = sp.Integral(u**2 / (2 * A), (u, -A, A))  # the mean is 0, the density 1/(2A)
    return derivation.remark(
        "the variance of the uniform law on `[-A, A]`", variance, A**2 / 3
    ).remark(
        "the uniform law of that variance",
        sp.Eq(A**2 / 3, derivation.result.rhs),
        sp.sqrt(6 / (N_IN + N_OUT)),
        solve_for=A,
    )
