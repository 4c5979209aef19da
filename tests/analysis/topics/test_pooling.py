"""Average and maximum of a window."""

from __future__ import annotations

import numpy as np
import pytest

from tests.analysis.topics.steps import number, result, stated


@pytest.mark.parametrize("rho", [0.0, 0.4, 1.0])
def test_the_average_of_correlated_values(rho: float) -> None:
    k, v = 9, 2.5
    covariance = v * ((1 - rho) * np.eye(k) + rho)
    weights = np.full(k, 1 / k)
    assert number(result("average-pooling"), k=k, rho=rho, **{"Var(Y)": v}) == pytest.approx(
        weights @ covariance @ weights
    )


@pytest.mark.parametrize(
    ("mean", "second", "expected", "variance"),
    [
        ("mean of the largest of 2", "second moment of the largest of 2", 0.564189583548, 0.68169),
        ("mean of the largest of 3", "second moment of the largest of 3", 0.846284375322, 0.559467),
        ("closed form", "its second moment", 1.029375373004, 0.491715236875),
    ],
)
def test_the_largest_of_some_normal_values(
    mean: str, second: str, expected: float, variance: float
) -> None:
    """By mpmath, from the density of the largest."""
    first = number(stated("max-pooling", mean))
    assert first == pytest.approx(expected, rel=1e-11)
    assert number(stated("max-pooling", second)) - first**2 == pytest.approx(variance, rel=1e-6)


def test_each_is_the_largest_equally_often() -> None:
    assert number(stated("max-pooling", "the gradient goes")) == 0.25
