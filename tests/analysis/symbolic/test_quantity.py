"""A number, its closed form if there is one, and how far it can be trusted."""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp

from analysis.errors import NotANumber
from analysis.symbolic.gaussian import GaussianExpectation
from analysis.symbolic.quadrature import estimate
from analysis.symbolic.quantity import Quantity

x = sp.Symbol("x", real=True)
tanh = GaussianExpectation(sp.tanh(x) ** 2, x)
sigmoid = GaussianExpectation(1 / (1 + sp.exp(-x)) ** 2, x)


def test_an_exact_quantity() -> None:
    third = Quantity(sp.Rational(1, 3))
    assert third.exact == sp.Rational(1, 3)
    assert float(third) == 1 / 3
    assert 0 < third.error < 1e-16
    assert str(third.evalf(20)) == "0.33333333333333333333"
    assert third.latex() == r"\frac{1}{3}"


def test_an_inert_quantity_is_not_exact_but_certified() -> None:
    quantity = Quantity(1 / sp.sqrt(tanh))
    assert quantity.exact is None
    assert float(quantity) == pytest.approx(float(quantity.evalf(30)), abs=quantity.error)
    assert 0 < quantity.error < 1e-14
    assert r"\mathbb{E}" in quantity.latex()


def test_errors_of_several_expectations_add_up() -> None:
    both = Quantity(tanh - 3 * sigmoid)
    with mpmath.workdps(30):
        true = mpmath.mpf(str(both.evalf(28)))
        assert abs(true - float(both)) <= both.error
    assert both.error > estimate(tanh).error + 3 * estimate(sigmoid).error


def test_a_quantity_with_symbols_is_no_number() -> None:
    v = sp.Symbol("v", positive=True)
    quantity = Quantity(v / 2)
    assert quantity.exact == v / 2
    assert repr(quantity) == "Quantity(v/2)"
    for number in (float, Quantity.evalf):
        with pytest.raises(NotANumber, match="until v"):
            number(quantity)
