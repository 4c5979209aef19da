"""Roots of conditions that are no polynomials, to many digits, and exact where they are short."""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp

from analysis.errors import UnsupportedActivation
from analysis.symbolic.activations import moments
from analysis.symbolic.crossings import crossings

x = sp.Symbol("x", real=True)


@pytest.mark.parametrize(
    ("f", "root"),
    [
        (sp.exp(x) - 3, sp.log(3)),
        (1 / (1 + sp.exp(-x)) - sp.Rational(3, 10), sp.log(sp.Rational(3, 7))),
        (sp.atan(x) - sp.Rational(3, 2), sp.tan(sp.Rational(3, 2))),
    ],
)
def test_a_root_has_many_digits(f: sp.Expr, root: sp.Expr) -> None:
    (found,) = crossings(f, x)
    assert abs(found - root.evalf(70)) < 1e-55


def test_short_roots_are_exact() -> None:
    assert crossings(x * sp.exp(x), x) == [0]
    assert crossings(sp.tanh(x - sp.Rational(1, 3)), x) == [sp.Rational(1, 3)]


def test_where_a_function_begins_to_be_0() -> None:
    assert crossings(sp.Max(x, 0) * sp.exp(x), x) == [0]
    assert crossings(sp.exp(x), x) == []


def test_infinitely_many_are_refused() -> None:
    with pytest.raises(UnsupportedActivation, match="infinitely often"):
        crossings(sp.sin(x), x)


def test_moments_with_such_a_kink() -> None:
    """A jump at log(3/7), to more digits than a double has; and no closed form is claimed."""
    mean = moments("where(sigmoid(x) > 0.3, 1.0, 0.0)").mean
    with mpmath.workdps(40):
        truth = mpmath.ncdf(mpmath.log(mpmath.mpf(7) / 3))
        assert abs(mpmath.mpf(str(mean.evalf(30))) - truth) < mpmath.mpf(10) ** -28
    assert mean.exact is None
    assert abs(float(mean) - float(truth)) <= mean.error
