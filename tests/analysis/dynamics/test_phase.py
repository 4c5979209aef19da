"""The grid agrees with single calls."""

from __future__ import annotations

import math

import numpy as np
import pytest

import analysis

W = np.array([0.3, 0.9, 1.0, 1.5, 1.9, 2.0, 2.7, 5.0])
B = np.array([0.0, 0.01, 0.3])


@pytest.mark.parametrize("name", ["tanh", "erf", "relu", "gelu", "sigmoid", "selu"])
def test_every_point_is_that_of_a_single_call(name: str) -> None:
    deep = analysis.maps(name)
    phase = deep.phase(W, B)
    assert phase.q.shape == phase.chi_1.shape == (len(B), len(W))
    for i, b in enumerate(B):
        for j, w in enumerate(W):
            at = deep.fixed_point(w, b)
            assert phase.q[i, j] == pytest.approx(at.q, rel=1e-10)
            if math.isfinite(at.q):
                assert phase.chi_1[i, j] == pytest.approx(at.chi_1, rel=1e-9)
            if 0 < at.q < math.inf:
                assert phase.slope[i, j] == pytest.approx(at.slope, rel=1e-9)


def test_depth_scales() -> None:
    tanh = analysis.maps("tanh")
    phase = tanh.phase([1.3, 2.0], [0.05])
    assert phase.xi_1[0, 0] == pytest.approx(tanh.depth_scale(1.3, 0.05).xi_c)
    assert phase.xi_q[0, 1] == pytest.approx(tanh.depth_scale(2.0, 0.05).xi_q)
    grows = analysis.maps("relu").phase([3.0], [0.1])
    assert grows.q[0, 0] == math.inf
    assert np.isnan(grows.xi_q[0, 0])
