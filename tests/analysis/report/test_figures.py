"""What the figure of a report shows is what the report says."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import analysis
from analysis.errors import MissingExtra
from analysis.network.build import dense_network
from analysis.palette import PREDICTED
from analysis.report.figures import svg
from analysis.report.report import Report
from tinygrad_edu import nn


@pytest.fixture(scope="module")
def report() -> Report:
    model = dense_network([8, 20, 5], "tanh")
    return analysis.analyze(model).with_measurement(analysis.measure(model, 30, progress=False))


def test_lines_are_the_predictions(report: Report) -> None:
    above, below = report.plot().axes
    for axes, sides in (
        (above, [row.forward for row in report.rows]),
        (below, [row.backward for row in report.rows]),
    ):
        (line,) = [line for line in axes.lines if line.get_color() == PREDICTED]
        wanted = [np.nan if side is None else side.prediction.corrected for side in sides]
        np.testing.assert_array_equal(line.get_ydata(), wanted)
        assert axes.get_yscale() == "log"
    labels = [label.get_text() for label in below.get_xticklabels()]
    assert labels == ["0 Linear", "1 Tanh", "2 Linear"]


def test_points_are_the_measurement(report: Report) -> None:
    assert report.measurement is not None
    above = report.plot().axes[0]
    (points,) = [c for c in above.containers if c.get_label().startswith("measured")]
    drawn = np.asarray(points.lines[0].get_ydata(), np.float64)
    sample = report.measurement.second
    np.testing.assert_allclose(drawn, sample.mean(0), rtol=1e-14)
    bars = np.array(points.lines[2][0].get_segments())[:, :, 1]
    errors = 3 * sample.std(0, ddof=1) / np.sqrt(len(sample))
    np.testing.assert_allclose(bars.mean(1), sample.mean(0), rtol=1e-12)
    np.testing.assert_allclose(np.ptp(bars, axis=1), 2 * errors, rtol=1e-12)
    assert "3 standard errors" in points.get_label()


def test_a_wrong_prediction_is_marked(report: Report) -> None:
    from dataclasses import replace

    first = report.rows[0]
    assert first.forward is not None
    wrong = replace(first.forward.prediction, second=9.0, bound=0.0)
    bad = replace(report, rows=(replace(first, forward=replace(first.forward, prediction=wrong)),))
    labels = [line.get_label() for line in bad.plot().axes[0].lines]
    assert "disagrees" in labels
    assert "disagrees" not in [line.get_label() for line in report.plot().axes[0].lines]


def test_what_is_unknown_is_a_gap() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Flatten(), nn.Linear(3, 3))
    report = analysis.analyze(model)
    unknown = Report(report.input, tuple(
        type(row)(row.name, row.op, None, None) for row in report.rows
    ), (), ())  # fmt: skip
    assert [t.get_text() for t in unknown.plot().axes[0].texts] == ["unknown"]


def test_the_same_report_gives_the_same_file(report: Report) -> None:
    first = svg(report)
    assert first == svg(report)
    assert first.startswith("<svg")
    assert "0 Linear" in first


def test_without_matplotlib(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"plot: needs matplotlib.*tinygrad-edu\[plots\]"):
        report.plot()
    assert "No figure" in report.html()
