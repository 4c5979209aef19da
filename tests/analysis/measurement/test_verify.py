"""Verdicts where the sample cannot tell."""

from __future__ import annotations

import numpy as np

import analysis
from analysis.measurement.measure import Estimate
from analysis.measurement.verify import _judge
from analysis.network.build import dense_network
from analysis.report.report import Prediction


def test_a_mean_that_lies_in_rare_networks_is_not_testable() -> None:
    """E[M^2] / E[M]^2 = (1 + 5/n)^L is a million for 30 relu layers of width 8 (finite-width): the
    mean of 300 draws misses it, and their standard error does not say so."""
    model = dense_network([8] * 31, "relu")
    measured = analysis.measure(model, 300, batch=4, progress=False)
    verdicts = analysis.verify(analysis.analyze(model), measured)
    assert all(v.agrees for v in verdicts)
    deep = [v for v in verdicts if v.layer == "58" and v.direction == "forward"]
    assert [v.text for v in deep] == ["not testable at this width"]


def test_one_network_that_brings_a_tenth() -> None:
    sample = np.ones(1000)
    prediction = Prediction(1.5, 0.0, 0.0)
    plain = _judge("a", "forward", prediction, Estimate.of(sample), 6.0, 1000)
    assert (plain.agrees, plain.testable) == (False, True)
    sample[0] = 200.0
    rare = _judge("a", "forward", prediction, Estimate.of(sample), 6.0, 1000)
    assert (rare.agrees, rare.testable) == (True, False)


def test_few_networks_have_large_shares_anyway() -> None:
    sample = np.array([1.0, 1.1, 0.9])
    verdict = _judge("a", "forward", Prediction(1.0, 0.0, 0.0), Estimate.of(sample), 6.0, 3)
    assert verdict.testable
