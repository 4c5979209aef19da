"""The picture shows what was noted: one ridge a layer, in the range of the values."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.train import Probe
from tinygrad_edu.train.probe_figure import MOST_LAYERS


def probed(depth: int = 3, backward: bool = True, scale: float = 1.0) -> Probe:
    """A probe of some relu layers after one step."""
    tg.manual_seed(0)
    model = nn.Sequential()
    for _ in range(depth):
        model.append(nn.Linear(10, 10)).append(nn.ReLU())
    with Probe(model) as probe:
        loss = (model(tg.randn(50, 10) * scale) ** 2).sum()
        if backward:
            loss.backward()
    return probe


def test_a_ridge_for_each_layer() -> None:
    figure = probed().plot()
    left, right = figure.axes
    names = ["0 Linear", "1 ReLU", "2 Linear", "3 ReLU", "4 Linear", "5 ReLU"]
    assert [label.get_text() for label in left.get_yticklabels()] == names
    assert len(left.collections) == len(right.collections) == 6
    texts = [text.get_text() for text in left.texts]
    assert all("rms" in text for text in texts)
    assert ["zero" in text for text in texts] == [False, True] * 3
    figure.savefig(io.BytesIO())


def test_axes_hold_nearly_all_values() -> None:
    probe = probed(scale=1e-3)
    left, right = probe.plot().axes
    low, high = left.get_xlim()
    for record in probe.records:
        histogram = record.activation.histogram
        assert histogram.into(np.array([low, high]))[0] > 0.98 * histogram.total
    middle = np.mean(right.get_xlim())
    rms = [record.gradient.rms for record in probe.records if record.gradient is not None]
    assert abs(middle - np.mean(np.log10(rms))) < 2


def test_layers_can_be_chosen_and_many_are_thinned() -> None:
    left, _ = probed().plot(layers=["1", "5"]).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["1 ReLU", "5 ReLU"]
    left, _ = probed(depth=30).plot().axes
    labels = [label.get_text() for label in left.get_yticklabels()]
    assert (len(labels), labels[0], labels[-1]) == (MOST_LAYERS, "0 Linear", "59 ReLU")


@pytest.mark.parametrize("scale", [0.0, math.nan])
def test_signals_without_a_distribution(scale: float) -> None:
    figure = probed(scale=scale).plot()
    figure.savefig(io.BytesIO())


def test_without_gradients() -> None:
    left, right = probed(backward=False).plot().axes
    assert len(left.collections) == 6
    assert len(right.collections) == 0
