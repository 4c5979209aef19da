"""Norms within one example, against the Jacobian of the operation itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import sympy as sp

from tests.analysis.topics.steps import number, result, stated

X = np.random.default_rng(3).standard_normal(12) + 0.5
EPS = 0.2


def layer(y: np.ndarray) -> np.ndarray:
    return (y - y.mean()) / np.sqrt(y.var() + EPS)


def rms(y: np.ndarray) -> np.ndarray:
    return y / np.sqrt(np.mean(y**2) + EPS)


def factor(f: Callable[[np.ndarray], np.ndarray], y: np.ndarray) -> float:
    """The squared norm of the Jacobian per element, by differences."""
    h = 1e-6
    columns = [(f(y + h * e) - f(y - h * e)) / (2 * h) for e in np.eye(len(y))]
    return float(np.sum(np.square(columns)) / len(y))


def test_layer_norm() -> None:
    v = float(X.var())
    moments = {"n": 12, "r": v / (v + EPS), "v": v, "eps": EPS, "E[u**2]": 1}
    assert number(result("layernorm"), **moments) == pytest.approx(factor(layer, X), rel=1e-7)


def test_rms_norm() -> None:
    q = float(np.mean(X**2))
    moments = {"n": 12, "r": q / (q + EPS), "q": q, "eps": EPS, "E[u**2]": 1}
    assert number(result("rmsnorm"), **moments) == pytest.approx(factor(rms, X), rel=1e-7)


def test_group_norm_is_layer_norm_in_each_group() -> None:
    for group in X.reshape(3, 4):
        v = float(group.var())
        moments = {"n": 12, "G": 3, "r": v / (v + EPS), "v": v, "eps": EPS, "E[u**2]": 1}
        expected = factor(layer, group)
        assert number(result("groupnorm"), **moments) == pytest.approx(expected, rel=1e-7)


def test_what_is_lost_without_eps() -> None:
    moments = {"n": 8, "G": 2, "v": 1, "q": 1, "E[u**2]": 1}
    assert number(stated("layernorm", "without eps"), **moments) == 6 / 8
    assert number(stated("rmsnorm", "without eps"), **moments) == 7 / 8
    assert number(stated("groupnorm", "without eps"), **moments) == 4 / 8
    assert stated("groupnorm", "groups of two") == 0


def test_layer_norm_keeps_what_batch_norm_lets_explode() -> None:
    assert stated("layernorm", "so relu keeps") == 1
    assert stated("batchnorm-depth", "relu,") == sp.pi / (sp.pi - 1)
