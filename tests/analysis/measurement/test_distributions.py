"""Histograms of layers beside the law that is derived for them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr

import analysis
from analysis.errors import InputError
from analysis.measurement.distributions import BINS
from analysis.network.build import dense_network
from tests.analysis.network.nets import linear
from tinygrad_edu import nn

NETWORKS = 40


def layers() -> nn.Module:
    """Every kind of law: Gaussian, a function of one, masked, the largest of a window."""
    return nn.Sequential(
        nn.Conv2d(2, 32, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Dropout(0.4),
        nn.Flatten(),
        linear(288, 6),
    )


def test_the_derived_law_is_what_is_measured() -> None:
    found = analysis.distributions(layers(), (2, 8, 8), networks=NETWORKS, batch=32)
    assert [layer.op for layer in found.layers][:4] == ["Conv2d", "MaxPool2d", "ReLU", "Dropout"]
    for layer in found.layers:
        if layer.op == "Flatten":
            continue
        assert layer.predicted is not None, layer.name
        # 40 networks of 32 channels, whose weights all values of a channel share: a share p
        # scatters by at most sqrt(p / 1280), where p < 0.6; and widths are 2 * 9 weights
        total = np.abs(layer.predicted.inside - layer.measured.inside).sum()
        assert total < 0.1, layer.name
        assert layer.predicted.zero == pytest.approx(layer.measured.zero, abs=0.03)
        assert layer.predicted.inside.sum() + layer.predicted.zero == pytest.approx(1, abs=0.01)


def test_a_wrong_law_would_be_seen() -> None:
    """A Gaussian of the same second moment, for a tanh unit that is half saturated."""
    model = dense_network([16, 64, 4], "tanh", weight_std=0.5)
    tanh = analysis.distributions(model, networks=NETWORKS).layers[1]
    assert tanh.predicted is not None
    assert np.abs(tanh.predicted.inside - tanh.measured.inside).sum() < 0.05
    report = analysis.analyze(model).layers[1]
    assert report.forward is not None
    wrong = np.diff(ndtr(tanh.measured.edges / math.sqrt(report.forward.second)))
    assert np.abs(wrong - tanh.measured.inside).sum() > 0.3


def test_gradients_have_the_predicted_deviation() -> None:
    model = dense_network([16, 64, 4], "tanh")
    found = analysis.distributions(model, networks=NETWORKS)
    for layer in found.layers:
        assert layer.deviation is not None
        middle = (layer.gradient.edges[1:] + layer.gradient.edges[:-1]) / 2
        inside = layer.gradient.inside
        assert math.sqrt(inside @ middle**2) == pytest.approx(layer.deviation, rel=0.1)
        assert len(inside) == BINS


def test_what_is_not_known_is_none_and_the_model_stays_as_it_was() -> None:
    class Sum(nn.Module):
        def forward(self, x: object) -> object:
            return x.cumsum(1)  # type: ignore[attr-defined]

    model = nn.Sequential(linear(4, 8), Sum(), nn.ReLU())
    before = model[0].weight.detach().numpy().copy()
    found = analysis.distributions(model, networks=2)
    assert [layer.predicted is None for layer in found.layers] == [False, True, True]
    assert found.layers[0].deviation is None
    np.testing.assert_array_equal(model[0].weight.detach().numpy(), before)
    with pytest.raises(InputError, match="at least 1"):
        analysis.distributions(model, networks=0)
