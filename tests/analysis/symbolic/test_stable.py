"""The careful form is the same function, written as a numerical analyst would."""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from analysis.symbolic.stable import erfc, expm1, log1p, sigmoid, softplus, stable

x = sp.Symbol("x", real=True)
E = sp.exp

MEANING = {
    expm1: lambda u: sp.exp(u) - 1,
    log1p: lambda u: sp.log(1 + u),
    sigmoid: lambda u: 1 / (1 + sp.exp(-u)),
    softplus: lambda u: sp.log(1 + sp.exp(u)),
    erfc: lambda u: 1 - sp.erf(u),
}


def meant(f: sp.Expr) -> sp.Expr:
    """The form with the definitions of the inert functions."""
    for function, definition in MEANING.items():
        f = f.replace(function, definition)
    return f


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (sp.log(1 + E(x)), softplus(x)),
        (sp.log(1 + E(-2 * x)), softplus(-2 * x)),
        (sp.log(1 / (1 + E(-x))), -softplus(-x)),
        (sp.log(1 + x**2), log1p(x**2)),
        (E(x) - 1, expm1(x)),
        (x + 2 * E(x) - 2, x + 2 * expm1(x)),
        (1 / (1 + E(-x)), sigmoid(x)),
        (E(x) / (1 + E(x)), sigmoid(x)),
        (E(-x) / (1 + E(-x)) ** 2, sigmoid(x) * sigmoid(-x)),
        (x * E(-x) / (1 + E(-x)) ** 2, x * sigmoid(x) * sigmoid(-x)),
        ((E(x) - E(-x)) / (E(x) + E(-x)), sp.tanh(x)),
        ((1 - E(-2 * x)) / (1 + E(-2 * x)), sp.tanh(x)),
        (sp.sinh(x) / sp.cosh(x), sp.tanh(x)),
        (x / (E(x) - 1), x * sigmoid(-x) / sp.tanh(x / 2)),
        (1 - sp.tanh(x) ** 2, 4 * sigmoid(2 * x) * sigmoid(-2 * x)),
        (x * (1 + sp.tanh(x)) / 2, x * sigmoid(2 * x)),
        (1 + sp.erf(x), erfc(-x)),
        (sp.sqrt(1 + x**2) - 1, x**2 / (1 + sp.sqrt(1 + x**2))),
        (sp.cosh(x) - 1, 2 * sp.sinh(x / 2) ** 2),
        (1 - sp.cos(x), 2 * sp.sin(x / 2) ** 2),
        (x * sp.tanh(sp.log(1 + E(x))), x * sp.tanh(softplus(x))),
    ],
    ids=str,
)
def test_the_form(f: sp.Expr, expected: sp.Expr) -> None:
    assert sp.simplify(stable(f, x) - expected) == 0


coefficients = st.integers(1, 5)
rationals = st.builds(
    lambda a, b, c, d, k, n: (a * E(k * x) - b) / (c * E(2 * x) + d * E(x) + 1) ** n,
    *[coefficients] * 4,
    st.integers(-2, 3),
    st.integers(1, 2),
)
sums = st.builds(lambda f, g, k: f + x**k * g, rationals, rationals, st.integers(0, 2))
logs = st.builds(
    lambda a, k: sp.log((1 + E(k * x)) / a) * sp.log(sp.cosh(x)), coefficients, st.integers(1, 3)
)


@given(st.one_of(rationals, sums, logs), st.sampled_from([-40, -3, sp.Rational(-1, 7), 0, 2, 50]))
def test_it_is_the_same_function(f: sp.Expr, at: sp.Expr) -> None:
    with mpmath.workdps(60):
        before, after = (
            complex(
                sp.lambdify(x, g, "mpmath")(
                    mpmath.mpf(1) * at._to_mpmath(200)
                    if isinstance(at, sp.Rational)
                    else mpmath.mpf(at)
                )
            )
            for g in (f, meant(stable(f, x)))
        )
    assert after == pytest.approx(before, rel=1e-14, abs=1e-300)
