"""The picture of distributions shows what they say."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import analysis
from analysis.errors import MissingExtra
from analysis.measurement.distributions import Distributions
from analysis.measurement.histograms import MOST_LAYERS
from analysis.network.build import dense_network
from analysis.palette import PREDICTED


@pytest.fixture(scope="module")
def found() -> Distributions:
    return analysis.distributions(dense_network([8, 20, 5], "relu"), networks=3)


def test_a_row_for_each_layer(found: Distributions) -> None:
    axes = np.reshape(found.plot().axes, (len(found.layers), 2))
    for (left, right), layer in zip(axes, found.layers, strict=True):
        assert left.get_ylabel() == f"{layer.name} {layer.op}"
        (law,) = [line for line in left.lines if line.get_color() == PREDICTED]
        assert layer.predicted is not None
        width = np.diff(layer.predicted.edges)
        np.testing.assert_allclose(law.get_ydata() * width, layer.predicted.inside, rtol=1e-12)
        (bars,) = left.patches
        np.testing.assert_allclose(bars.get_data().values * width, layer.measured.inside)
        assert layer.deviation is not None
        sides = sorted(line.get_xdata()[0] for line in right.lines)
        np.testing.assert_allclose(sides, [-layer.deviation, layer.deviation])
    notes = [text.get_text() for text in axes[1, 0].texts]
    assert "are 0 (predicted 50%)" in notes[0]


def test_many_layers_are_left_out_evenly() -> None:
    deep = analysis.distributions(dense_network([8] * 30, "tanh"), networks=1)
    axes = deep.plot().axes
    assert len(axes) == 2 * MOST_LAYERS
    assert axes[0].get_ylabel().startswith("0 ")
    assert axes[-2].get_ylabel().startswith(f"{deep.layers[-1].name} ")


def test_without_matplotlib(found: Distributions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"tinygrad-edu\[plots\]"):
        found.plot()
