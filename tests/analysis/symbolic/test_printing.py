"""Formulas and prose in plain text and LaTeX."""

from __future__ import annotations

import pytest
import sympy as sp

from analysis.symbolic.expectation import E, Named, RandomVariable, SumOfCopies, Var
from analysis.symbolic.printing import latex, latex_prose, plain, plain_prose

W = RandomVariable("W")
delta = RandomVariable("delta", exchangeable=True)
n = sp.Symbol("n_in", positive=True)
x = sp.Symbol("x", real=True)
i, k = sp.symbols("i k", integer=True)
w = sp.IndexedBase("w", real=True)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (-(E(W) ** 2) + E(W**2), "E[W^2] - E[W]^2"),
        (n * E(W**2) * Var(W), "n_in*Var(W)*E[W^2]"),
        (sp.Eq(Var(W), 1 / n), "Var(W) = 1/n_in"),
        (SumOfCopies(W * delta, i, n), "Sum(W_i*delta_i, i=1..n_in)"),
        (sp.Piecewise((0, x <= 0), (x, True)), "{0 if x <= 0, x otherwise}"),
        (delta.copy(1), "delta'"),
        (sp.Sum(w[i] * w[k], (i, 1, n), (k, 1, sp.oo)), "Sum(w[i]*w[k], i=1..n_in, k=1..infinity)"),
        (sp.Product(1 + 1 / i, (i, 1, n)), "Product(1 + 1/i, i=1..n_in)"),
        (sp.KroneckerDelta(i, k), "[i = k]"),
        (sp.Limit((1 + 1 / n) ** n, n, sp.oo), "lim((1 + 1/n_in)^n_in, n_in -> infinity)"),
        (sp.Derivative(x + n, x), "d/dx (n_in + x)"),
        (sp.Derivative(sp.Function("f")(x), x, x), "d^2/dx^2 f(x)"),
        (sp.Derivative(sp.Function("f")(x, n), x, n), "d^2/(dx dn_in) f(x, n_in)"),
        (sp.E * n, "e*n_in"),
    ],
)
def test_plain(expression: sp.Expr, expected: str) -> None:
    assert plain(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (E(W) ** 2, r"\mathbb{E}\left[W\right]^{2}"),
        (SumOfCopies(W, i, n) ** 2, r"\left(\sum_{i=1}^{n_{in}} W_{i}\right)^{2}"),
        (delta.copy(1), r"\delta'"),
        (sp.Function("phi'")(x) ** 2, r"\phi'\left(x\right)^{2}"),
        (sp.KroneckerDelta(i, k), r"\left[i = k\right]"),
        (Named("E[yhat^2]", W), r"\mathbb{E}[\hat{y}^2]"),
    ],
)
def test_latex(expression: sp.Expr, expected: str) -> None:
    assert latex(expression) == expected


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("d/drho E[f(u)] -> 0", r"d/d\rho \mathbb{E}[f(u)] \to  0"),
        ("Phi(z)^(k - 1)", r"\Phi(z)^{k - 1}"),
        ("kaiming_uniform_(a=sqrt(5))", r"\mathtt{kaiming\_uniform\_}(a=\sqrt{5})"),
        ("exp(t z), log Gamma(x)", r"\exp(t z), \log \Gamma(x)"),
        ("yhat_i/sqrt(v + eps)", r"\hat{y}_i/\sqrt{v + \epsilon}"),
    ],
)
def test_a_formula_in_prose(formula: str, expected: str) -> None:
    assert latex_prose(f"`{formula}`") == f"${expected}$"


def test_prose_marks_its_formulas() -> None:
    prose = "50% of `W_j`: `E[W] = 0`, `1 <= k <= n_in`, `delta_i`, `relu(Z)`, `1/sqrt(n_in)`"
    assert plain_prose(prose) == prose.replace("`", "")
    assert latex_prose(prose) == (
        r"50\% of $W_j$: $\mathbb{E}[W] = 0$, $1 \le  k \le  n_{\mathrm{in}}$, $\delta_i$, "
        r"$\operatorname{relu}(Z)$, $1/\sqrt{n_{\mathrm{in}}}$"
    )
