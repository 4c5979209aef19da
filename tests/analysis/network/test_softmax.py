"""Softmax and its logarithm at the end of a network, and inside."""

from __future__ import annotations

import numpy as np
import pytest

import analysis
from analysis.measurement.verify import Verdict
from analysis.network.rules import softmax as rules
from tests.analysis.network.nets import linear
from tinygrad_edu import nn

NETWORKS = 700


def verdicts(model: nn.Module, given: object = None, networks: int = NETWORKS) -> list[Verdict]:
    report = analysis.analyze(model, given, batch=16)
    assert all(row.forward and row.backward for row in report.layers), report.findings
    measured = analysis.measure(model, networks, batch=16, seed=3, input=given, progress=False)
    return list(analysis.verify(report, measured))


def head(gain: float, *last: nn.Module) -> nn.Module:
    return nn.Sequential(
        linear(16, 64, 1.4), nn.ReLU(), linear(64, 64, 1.4), nn.Tanh(), linear(64, 10, gain), *last
    )


@pytest.mark.parametrize("gain", [0.3, 3.0])
@pytest.mark.parametrize("last", [nn.Softmax(-1), nn.LogSoftmax(-1)])
def test_at_the_end(gain: float, last: nn.Module) -> None:
    found = verdicts(head(gain, last))
    assert all(v.agrees for v in found)
    end = [v for v in found if v.layer in ("4", "5")]
    assert sum(v.testable for v in end) >= 3


def test_inside() -> None:
    found = verdicts(
        nn.Sequential(linear(16, 64, 1.4), nn.ReLU(), linear(64, 20), nn.Softmax(-1), linear(20, 9))
    )
    assert all(v.agrees and v.testable for v in found)


def test_of_what_is_no_gaussian() -> None:
    """The larger a logit, the larger its gradient: E[d^2 1(z > 0)] is not E[d^2] / 2."""
    for last in (nn.Softmax(-1), nn.LogSoftmax(-1)):
        assert all(v.agrees for v in verdicts(nn.Sequential(linear(16, 64, 1.4), nn.ReLU(), last)))


def test_of_data_it_is_computed() -> None:
    data = np.random.default_rng(0).standard_normal((7, 16))
    model = nn.Sequential(nn.Softmax(-1), linear(16, 8))
    row = analysis.analyze(model, data).layers[0]
    p = np.exp(data) / np.exp(data).sum(axis=1, keepdims=True)
    assert row.forward is not None
    assert row.forward.second == pytest.approx(np.mean(p**2), rel=1e-12)


def test_over_the_features_of_each_position() -> None:
    model = nn.Sequential(linear(16, 64), nn.ReLU(), linear(64, 10, 2.0), nn.Softmax(-1))
    assert all(v.agrees for v in verdicts(model, (5, 16)))


def test_weights_with_a_mean_see_a_sum_of_one() -> None:
    last = linear(20, 9, 1.0, 0.3)
    model = nn.Sequential(linear(16, 64, 1.4), nn.Tanh(), linear(64, 20), nn.Softmax(-1), last)
    row = analysis.analyze(model).layers[-1]
    assert row.forward is not None
    assert row.forward.mean == pytest.approx(0.3, rel=1e-9)
    measured = analysis.measure(model, NETWORKS, batch=16, seed=3, progress=False)
    assert measured.forward("4").value == pytest.approx(row.forward.second, rel=0.05)


@pytest.mark.parametrize("name", ["slope", "moment"])
def test_a_planted_error_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = getattr(rules.Simplex, name)
    monkeypatch.setattr(rules.Simplex, name, lambda self, *args: 1.05 * right(self, *args))
    assert not all(v.agrees for v in verdicts(head(0.5, nn.Softmax(-1)), networks=1500))


def test_the_gradient_of_one_class_alone() -> None:
    """Softmax over one unit is 1, whatever it is: not followed, and no error."""
    model = nn.Sequential(linear(16, 1), nn.Softmax(-1))
    assert analysis.analyze(model).layers[-1].forward is None
