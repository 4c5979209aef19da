"""Branching functions are cut where, and only where, their formula changes."""

from __future__ import annotations

import pytest
import sympy as sp

from analysis.errors import UnsupportedActivation
from analysis.symbolic.pieces import Piece, kinks, split

x, a = sp.symbols("x a", real=True)
oo = sp.oo


def test_a_smooth_function_is_one_piece() -> None:
    assert split(sp.tanh(x), x) == (Piece(sp.tanh(x), -oo, oo),)


def test_nested_branches() -> None:
    hardtanh = sp.Piecewise((-1, x <= -1), (sp.Piecewise((1, x >= 1), (x, True)), True))
    assert split(hardtanh, x) == (
        Piece(sp.S(-1), -oo, sp.S(-1)),
        Piece(x, sp.S(-1), sp.S(1)),
        Piece(sp.S(1), sp.S(1), oo),
    )


@pytest.mark.parametrize(
    ("f", "points"),
    [
        (sp.Abs(x - sp.Rational(3, 10)), [0.3]),
        (sp.Max(x, 0) + sp.Min(x, 2), [0, 2]),
        (sp.Piecewise((x**2, x**2 < 2), (2, True)), [-(2**0.5), 2**0.5]),
        (sp.Piecewise((x, (x > 0) & (x < 3)), (0, True)), [0, 3]),
        (sp.sign(x) * sp.Heaviside(x - 1), [0, 1]),
    ],
)
def test_breakpoints(f: sp.Expr, points: list[float]) -> None:
    assert kinks(f, x) == pytest.approx(points)
    for piece in split(f, x):
        low = piece.low if piece.low.is_finite else piece.high - 2
        high = piece.high if piece.high.is_finite else low + 2
        for inside in ((low + high) / 2, (3 * low + high) / 4):
            assert sp.simplify((piece.expression - f).subs(x, inside)) == 0


def test_parameters_may_stand_outside_the_conditions() -> None:
    leaky = sp.Piecewise((x, x > 0), (a * x, True))
    assert [piece.expression for piece in split(leaky, x)] == [a * x, x]


@pytest.mark.parametrize(
    "f",
    [
        sp.floor(x),
        sp.Piecewise((x, x > a), (0, True)),
        sp.Piecewise((x, sp.sin(x) > 0), (0, True)),
        sp.Piecewise((x, x > 0)),
    ],
)
def test_what_cannot_be_cut_is_refused(f: sp.Expr) -> None:
    with pytest.raises(UnsupportedActivation):
        split(f, x)


@pytest.mark.parametrize(
    ("f", "points"),
    [
        (sp.Max(x, 1 / (1 + sp.exp(-x))), [0.6590460684074066]),
        (sp.Abs(x * sp.tanh(x) - 1), [-1.1996786402577338, 1.1996786402577338]),
        (sp.Piecewise((x, sp.log(sp.Abs(x) + 1) <= 0), (2 * x, True)), [0]),
    ],
)
def test_conditions_that_are_no_polynomials(f: sp.Expr, points: list[float]) -> None:
    assert kinks(f, x) == pytest.approx(points, rel=1e-15)


def test_branches_that_sympy_cannot_order_are_refused() -> None:
    inner = sp.Piecewise((x + 3, x > sp.Rational(1, 2)), (-x, True)) / 10 + sp.sin(x)
    with pytest.raises(UnsupportedActivation):
        split(sp.Max(inner, sp.sin((x + sp.Rational(1, 4)) ** 2)), x)
