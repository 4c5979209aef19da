"""Dropout's variance, and the shift it leaves in batch norm's statistics."""

from __future__ import annotations

import numpy as np
import pytest

from tests.analysis.topics.steps import number, result, stated, step

RELU = {"E[Y]": 1 / np.sqrt(2 * np.pi), "Var(Y)": 0.5 - 1 / (2 * np.pi)}
"""Of relu(x), x ~ N(0, 1)."""


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5])
def test_the_variance_behind_relu_and_dropout(p: float) -> None:
    """The second moment 1/2 becomes 1/(1-p) times as large, the mean 1/sqrt(2 pi) stays."""
    assert number(result("dropout"), p=p, **RELU) == pytest.approx(
        0.5 / (1 - p) - 1 / (2 * np.pi), rel=1e-14
    )


def test_the_remark_for_relu_is_the_same_number() -> None:
    assert number(stated("dropout", "behind relu of")) == pytest.approx(
        0.8408450569081047, rel=1e-14
    )


def test_without_the_mean_it_would_be_wrong_by_a_fifth() -> None:
    wrong = number(stated("dropout", "without a mean"), p=0.5, **RELU)
    assert wrong == pytest.approx(0.6816901138, rel=1e-9)
    assert "E[Y] = 0" in step("dropout", "without a mean").assumption


def test_two_values_by_enumeration() -> None:
    """Y is 1 or 3, kept with probability 1/4 and then divided by it: 0, 4 or 12."""
    values, weights = np.array([0, 4, 12]), np.array([3 / 4, 1 / 8, 1 / 8])
    variance = weights @ values**2 - (weights @ values) ** 2
    assert number(result("dropout"), p=0.75, **{"E[Y]": 2, "Var(Y)": 1}) == variance


def test_variance_shift() -> None:
    in_evaluation = number(result("variance-shift"), p=0.5, **RELU)
    assert in_evaluation == pytest.approx(RELU["Var(Y)"] / 0.8408450569081047, rel=1e-12)
    assert number(stated("variance-shift", "behind relu")) == pytest.approx(in_evaluation)
    assert number(result("variance-shift"), p=0.5, **{"E[Y]": 0, "Var(Y)": 1}) == 0.5


def test_the_other_order_passes_the_shift_on() -> None:
    behind = stated("variance-shift", "the other order")
    assert number(behind, p=0.5, gamma=2, beta=1) == (4 + 0.5) / 0.5
    assert number(stated("variance-shift", "the next batch norm"), p=0.3) == pytest.approx(0.7)
