"""SELU's constants, to the digits of the paper and of the engine."""

from __future__ import annotations

import pytest

from analysis.symbolic.activations import moments
from tests.analysis.topics.steps import number, result, stated
from tinygrad_edu.ops.elementwise import SELU_ALPHA, SELU_SCALE


def test_the_two_constants() -> None:
    """Klambauer et al. 2017, eq. 14; more digits by mpmath."""
    alpha, scale = number(stated("selu", "so it is 0 for")), number(result("selu"))
    assert alpha == pytest.approx(1.6732632423543772848, rel=1e-15)
    assert scale == pytest.approx(1.0507009873554804934, rel=1e-15)
    assert (alpha, scale) == pytest.approx((SELU_ALPHA, SELU_SCALE), rel=1e-15)


def test_the_engine_s_selu_keeps_a_standard_normal_law() -> None:
    phi = moments("selu")
    assert float(phi.mean) == pytest.approx(0, abs=1e-15)
    assert float(phi.second) == pytest.approx(1, rel=1e-14)


def test_the_gradient_grows() -> None:
    """E[phi'^2] by mpmath, 25 digits."""
    derived = number(stated("selu", "so selu's slope"))
    assert derived == pytest.approx(1.0715749924557993, rel=1e-13)
    assert derived == pytest.approx(float(moments("selu").derivative_second), rel=1e-12)
