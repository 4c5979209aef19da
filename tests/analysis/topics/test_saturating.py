"""Tanh and sigmoid at unit variance, by digits from another quadrature."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from analysis.symbolic.gaussian import GaussianExpectation
from analysis.symbolic.namespace import symbolic
from analysis.symbolic.reading import X
from analysis.topics import derive
from tests.analysis.topics.steps import number, result, stated
from tinygrad_edu import ops


def test_tanh_at_unit_variance() -> None:
    """By mpmath, 25 digits."""
    assert number(result("tanh-loss")) == pytest.approx(0.3942944903978412, rel=1e-13)
    assert number(stated("tanh-loss", "the slope falls")) == pytest.approx(
        0.46440290244826826, rel=1e-13
    )


def test_it_is_said_that_there_is_no_closed_form() -> None:
    assert isinstance(result("tanh-loss"), GaussianExpectation)
    assert any("no closed form" in given for given in derive("tanh-loss").given)
    assert "certified" in " ".join(derive("tanh-loss").given)


def test_small_variances_by_the_trapezoidal_rule() -> None:
    z = np.linspace(-12, 12, 4001)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    for q in (0.02, 0.01):
        exact = float(np.tanh(np.sqrt(q) * z) ** 2 @ density)
        second_order = number(stated("tanh-loss", "so of a small"), q=q)
        assert abs(exact - second_order) < 6 * q**3


def test_deep_in_the_stack() -> None:
    """q <- E[tanh(sqrt(q) z)^2] 2000 times: about 1/(2 * 2000)."""
    z, weight = np.polynomial.hermite_e.hermegauss(60)
    weight = weight / weight.sum()
    q = 1.0
    for _ in range(2000):
        q = float(np.tanh(np.sqrt(q) * z) ** 2 @ weight)
    assert stated("tanh-loss", "the loss never ends") == 2
    assert q == pytest.approx(1 / (2 * 2000), rel=0.01)


def test_sigmoid() -> None:
    assert result("sigmoid") == sp.Rational(1, 2)
    assert number(stated("sigmoid", "second moment, of which")) == pytest.approx(
        0.29337903585809294, rel=1e-13
    )
    assert number(stated("sigmoid", "at unit variance, by")) == pytest.approx(
        0.04483624135019437, rel=1e-13
    )


def test_the_rule_is_the_engine_s_own() -> None:
    (lemma,) = (s for s in derive("sigmoid").steps if s.role == "lemma")
    (rule,) = {type(term) for term in lemma.lhs.args}
    assert sp.simplify(rule.body - ops.sigmoid.rule(symbolic, X)) == 0
