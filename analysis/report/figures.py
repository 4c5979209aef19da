"""A report as a picture: second moments by depth, predicted and measured, forward and backward."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import MissingExtra
from analysis.measurement.verify import Verdict, verify
from analysis.palette import GRID, INK, MEASURED, PREDICTED
from analysis.report.report import Prediction, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.measurement.measure import Measurement

_MIDDLE = (0.05, 0.95)
"""Nine of ten networks lie between these quantiles."""
_MOST_LABELS = 24
_HEADROOM = 1.25
"""A second moment that stays put shall look flat: the axis spans at least this factor."""


def figure(report: Report) -> Figure:
    """Two panels over the layers in order: E[y^2] of the output, E[(ds/dy)^2] of the gradient.

    A line is the prediction, the band around it what the prediction leaves out; points are
    measured means with three standard errors, the pale band holds nine of ten single networks.
    Layers that nothing is known of are gaps.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("plot", "matplotlib", "plots") from None
    count = len(report.rows)
    drawn = Figure(figsize=(max(6.4, min(0.28 * count + 4, 14)), 6.4), layout="constrained")
    above, below = drawn.subplots(2, 1, sharex=True)
    verdicts = () if report.measurement is None else verify(report, report.measurement)
    _panel(above, report, "forward", "second moment of the output", verdicts)
    _panel(below, report, "backward", "second moment of the gradient", verdicts)
    _name_layers(below, [f"{row.name} {row.op}" for row in report.rows])
    above.legend(frameon=False, loc="best", fontsize="small")
    if report.title:
        drawn.suptitle(report.title, color=INK)
    return drawn


def svg(report: Report) -> str:
    """The figure as an SVG element to put into a page."""
    import matplotlib as mpl

    stream = io.StringIO()
    # Text stays text, so that a reader can search it; a fixed salt makes the same report the same
    # file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}):
        figure(report).savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]


def _panel(
    axes: Axes, report: Report, direction: str, title: str, verdicts: tuple[Verdict, ...]
) -> None:
    from matplotlib.ticker import LogLocator

    sides = [getattr(row, direction) for row in report.rows]
    predictions = [None if side is None else side.prediction for side in sides]
    places = np.arange(len(predictions))
    _draw_prediction(axes, places, predictions)
    if report.measurement is not None:
        _draw_measurement(axes, report, direction, verdicts)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="y", which="both", labelsize=8)
    axes.set_title(title, loc="left", fontsize="medium", color=INK)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    low, high = axes.get_ylim()
    if high / low < _HEADROOM**2:
        centre = np.sqrt(low * high)
        axes.set_ylim(centre / _HEADROOM, centre * _HEADROOM)
    if not any(predictions):
        axes.text(0.5, 0.5, "unknown", transform=axes.transAxes, ha="center", color=INK)


def _draw_prediction(axes: Axes, places: Any, predictions: list[Prediction | None]) -> None:
    def values(read: Any) -> Any:
        return np.array([np.nan if p is None else read(p) for p in predictions])

    middle = values(lambda p: p.corrected)
    bound = values(lambda p: p.bound)
    axes.fill_between(
        places,
        np.maximum(middle - bound, middle * 1e-3),
        middle + bound,
        color=PREDICTED,
        alpha=0.25,
        linewidth=0,
        label="what it leaves out",
    )
    axes.plot(places, middle, color=PREDICTED, marker=".", linewidth=1.4, label="predicted")


def _draw_measurement(
    axes: Axes, report: Report, direction: str, verdicts: tuple[Verdict, ...]
) -> None:
    measurement: Measurement | None = report.measurement
    assert measurement is not None
    sample = measurement.second if direction == "forward" else measurement.gradient
    of_layer = dict(zip(measurement.names, sample.T, strict=True))
    rows = [(i, of_layer[row.name]) for i, row in enumerate(report.rows) if row.name in of_layer]
    places = [i for i, _ in rows]
    low, high = np.array([np.quantile(column, _MIDDLE) for _, column in rows]).T
    axes.fill_between(
        places, low, high, color=MEASURED, alpha=0.13, linewidth=0, label="nine of ten networks"
    )
    means = [column.mean() for _, column in rows]
    errors = [3 * column.std(ddof=1) / np.sqrt(column.size) for _, column in rows]
    axes.errorbar(
        places,
        means,
        errors,
        color=MEASURED,
        fmt="o",
        markersize=4,
        capsize=2,
        linewidth=1,
        label="measured, ± 3 standard errors",
    )
    wrong = {v.layer for v in verdicts if v.direction == direction and not v.agrees}
    astray = [(i, c.mean()) for i, c in rows if report.rows[i].name in wrong]
    if astray:
        axes.plot(*zip(*astray, strict=True), "x", color="red", markersize=10, label="disagrees")


def _name_layers(axes: Axes, names: list[str]) -> None:
    step = max(1, -(-len(names) // _MOST_LABELS))
    axes.set_xticks(range(0, len(names), step), names[::step], rotation=60, ha="right", fontsize=8)
