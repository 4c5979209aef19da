"""The truncated normal law and torch's default, against known digits and the engine's own laws."""

from __future__ import annotations

import numpy as np
import pytest

from tests.analysis.topics.steps import number, result, stated
from tinygrad_edu import nn


def test_a_cut_at_two_standard_deviations() -> None:
    """By mpmath, 25 digits."""
    cut = "truncated-normal"
    assert number(stated(cut, "the variance for")) == pytest.approx(0.773741303549923247, rel=1e-14)
    assert number(stated(cut, "so `std = 1`")) == pytest.approx(0.87962566103423975, rel=1e-14)
    assert number(stated(cut, "and the kurtosis")) == pytest.approx(2.36553671712965, rel=1e-12)


def test_other_cuts() -> None:
    """Nothing is cut far out; close in, the law is uniform: variance c^2/3, kurtosis 9/5."""
    assert number(result("truncated-normal"), c=12) == pytest.approx(1)
    assert number(result("truncated-normal"), c=0.01) == pytest.approx(1e-4 / 3, rel=1e-4)
    assert number(stated("truncated-normal", "3 before"), c=0.05) == pytest.approx(1.8, rel=1e-3)


def test_the_engine_knows_the_same_kurtosis() -> None:
    weight = nn.Parameter(np.zeros((3, 3)))
    nn.init.trunc_normal_(weight, 0.0, 0.87962566103423975, -2.0, 2.0)
    assert weight.law is not None
    derived = number(stated("truncated-normal", "and the kurtosis"))
    assert weight.law.kurtosis == pytest.approx(derived, rel=1e-9)


def test_the_engine_draws_torch_s_default() -> None:
    layer = nn.Linear(7, 3)
    for parameter in (layer.weight, layer.bias):
        assert parameter.law.variance == pytest.approx(1 / 21)
    assert number(stated("torch-default", "`a = sqrt(5)`"), n_in=7) == pytest.approx(1 / 21)
    assert number(stated("torch-default", "the bound"), n_in=7) == pytest.approx(7**-0.5)


def test_where_a_relu_stack_comes_to_rest() -> None:
    """M <- M/6 + 1/(6n); simulated 0.00103 behind six layers of width 200."""
    second = 1.0
    for _ in range(40):
        second = second / 6 + 1 / (6 * 200)
    assert number(result("torch-default"), n_in=200) == pytest.approx(second)
    assert number(result("torch-default"), n_in=200) == 0.001
