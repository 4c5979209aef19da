"""Standardisation's Jacobian and batch norm's gradient, against arrays."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.symbolic.expectation import E
from analysis.topics import derive
from analysis.topics.batchnorm import EPS, GAMMA, INDEX, K, M, R, U, V, jacobian
from tests.analysis.topics.steps import number, result, stated, step


def standardised(y: np.ndarray, eps: float) -> np.ndarray:
    return (y - y.mean()) / np.sqrt(y.var() + eps)


def jacobian_in_numbers(y: np.ndarray, eps: float) -> np.ndarray:
    """The derived Jacobian, element by element."""
    m, yhat = len(y), standardised(y, eps)
    base = {"m": m, "eps": eps, "v": float(y.var())}

    def entry(i: int, k: int) -> float:
        indices = {"i": i + 1, "k": k + 1}
        at = {f"yhat[{name}]": yhat[number - 1] for name, number in indices.items()}
        return number(jacobian(INDEX, K), **base, **at, **indices)

    return np.array([[entry(i, k) for k in range(m)] for i in range(m)])


@pytest.mark.parametrize("eps", [0.0, 0.3])
def test_the_jacobian_against_differences(eps: float) -> None:
    y = np.array([0.3, -1.2, 2.0, 0.1, 0.9])
    h = 1e-6
    columns = [
        (standardised(y + h * e, eps) - standardised(y - h * e, eps)) / (2 * h)
        for e in np.eye(len(y))
    ]
    assert jacobian_in_numbers(y, eps) == pytest.approx(np.array(columns).T, abs=1e-8)


def test_result() -> None:
    expected = GAMMA**2 * (M - 1 - 2 * R + R**2) * E(U**2) / (M * (V + EPS))
    assert (derive("batchnorm").result - expected).expand() == 0


def test_without_eps_two_directions_are_lost() -> None:
    assert (stated("batchnorm", "without eps") - GAMMA**2 * (M - 2) * E(U**2) / (M * V)) == 0
    assert "eps = 0" in step("batchnorm", "without eps").assumption


@pytest.mark.parametrize("eps", [0.0, 0.3, 5.0])
def test_the_factor_is_the_squared_norm_of_the_jacobian(eps: float) -> None:
    y = np.random.default_rng(0).standard_normal(6) + 1
    factor = (jacobian_in_numbers(y, eps) ** 2).sum() / len(y)
    r = y.var() / (y.var() + eps)
    moments = {"m": 6, "gamma": 1, "r": r, "eps": eps, "v": float(y.var()), "E[u**2]": 1}
    assert number(result("batchnorm"), **moments) == pytest.approx(factor, rel=1e-12)


def test_what_is_assumed_of_the_gradient_is_said() -> None:
    assert any("uncorrelated" in given for given in derive("batchnorm").given)
    assert any("approximation" in given for given in derive("batchnorm").given)
