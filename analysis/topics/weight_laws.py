"""Laws that weights are drawn from: the truncated normal, and torch's default."""

from __future__ import annotations

import sympy as sp

from analysis.symbolic.derivation import Derivation
from analysis.symbolic.expectation import Named, Var
from analysis.symbolic.gaussian import Z, density
from analysis.topics import derive
from analysis.topics.dense import N_IN, N_OUT, W

CUT = sp.Symbol("c", positive=True)


def truncated_normal() -> Derivation:
    """Variance and kurtosis of a standard normal law cut off at -c and c."""
    mass, square, fourth = (
        Named(f"m_{power}", sp.Integral(Z**power * density(Z), (Z, -CUT, CUT)))
        for power in (0, 2, 4)
    )
    inside, edge = sp.erf(CUT / sp.sqrt(2)), 2 * CUT * density(CUT)
    values = {mass: inside, square: inside - edge, fourth: 3 * inside - (CUT**2 + 3) * edge}
    ratio = Named("t", edge / inside)

    derivation = Derivation(
        "truncated-normal",
        "the variance of a standard normal variable, given that it lies between `-c` and `c`",
        square / mass,
        given=(
            "`m_p` is the integral of `z^p phi(z)` from `-c` to `c`, with `phi` the density; the "
            "mean is 0, by symmetry",
            "`t = 2 c phi(c)/m_0`",
        ),
    )
    for (moment, value), name in zip(
        values.items(), ("the mass", "squares", "fourth powers"), strict=True
    ):
        derivation = derivation.lemma(
            f"{name}, by the slope in `c`", moment, value, boundary=(CUT, sp.S.Zero)
        )
    derivation = derivation.step("the lemmas", 1 - ratio, where=values)
    kurtosis = (3 - (CUT**2 + 3) * ratio) / (1 - ratio) ** 2
    derivation = derivation.remark(
        "the kurtosis, 3 before the cut", fourth * mass / square**2, kurtosis, where=values
    )
    return _cut_at_two(derivation, kurtosis, ratio)


def _cut_at_two(derivation: Derivation, kurtosis: sp.Expr, ratio: Named) -> Derivation:
    """The numbers for the usual cut at two standard deviations."""
    two = {CUT: sp.Integer(2)}
    t = Named("t_2", ratio.definition.xreplace(two))
    return (
        derivation.remark(
            "the variance for `c = 2`, where `t` is `t_2`", derivation.result, 1 - t, where=two
        )
        .remark(
            "so `std = 1` before the cut, as torch reads `std`, is in truth",
            sp.sqrt(derivation.result),
            sp.sqrt(1 - t),
            where=two,
        )
        .remark("and the kurtosis", kurtosis, (3 - 7 * t) / (1 - t) ** 2, where=two)
    )


def torch_default() -> Derivation:
    """Where the second moment of a relu stack comes to rest under nn.Linear's default weights."""
    he = derive("he")
    (leaky,) = (step.rhs.rhs for step in he.steps if step.name == "which is kept by")
    (a,) = leaky.free_symbols - {N_IN}
    bias, second, bound = sp.symbols("Var(b) M A", positive=True)
    default = 1 / (3 * N_IN)
    renewed = (N_IN * Var(W) * second + bias) / 2

    derivation = Derivation(
        "torch-default",
        "where the second moment `M` behind relu comes to rest, under torch's default weights",
        sp.Eq(renewed, second, evaluate=False),
        given=(
            "`nn.Linear` draws weights by `kaiming_uniform_(a=sqrt(5))`, with He's variance for a "
            "leaky relu of slope `a`, and biases of the same variance",
            "layers of one width `n_in`; a layer makes of `M` a variance `n_in Var(W) M + Var(b)`, "
            "of which relu keeps half",
        ),
        uses=(derive("dense-forward"), derive("dense-backward"), he),
    )
    derivation = derivation.lemma("`a = sqrt(5)`", leaky, default, where={a: sp.sqrt(5)}).lemma(
        "the bound of the uniform law of that variance, `A^2/3`",
        sp.Eq(bound**2 / 3, default),
        1 / sp.sqrt(N_IN),
        solve_for=bound,
    )
    derivation = derivation.step(
        "the default variance",
        sp.Eq(second / 6 + 1 / (6 * N_IN), second, evaluate=False),
        where={Var(W): default, bias: default},
    ).solve(second, 1 / (5 * N_IN), "solve for `M`")
    rest = 1 / (5 * N_IN)
    return derivation.remark(
        "what exceeds that, the signal, is left by each layer to this part",
        (Named("M'", second / 6 + 1 / (6 * N_IN)) - rest) / (second - rest),
        sp.Rational(1, 6),
    ).remark(
        "and so does the gradient's second moment, `n_out Var(W) E[phi'^2]` with half the slopes 1",
        N_OUT * Var(W) / 2,
        sp.Rational(1, 6),
        assumption="`n_out = n_in`",
        where={Var(W): 1 / (3 * N_OUT)},
    )
