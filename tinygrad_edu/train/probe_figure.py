"""The picture of a signal's way through a network: one ridge a layer, input above, output below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.train.histogram import Histogram
from tinygrad_edu.train.history import figure_class, spread
from tinygrad_edu.train.statistics import Moments, Record

MOST_LAYERS = 24
POINTS = 120
"""Of a ridge."""
TAIL = 0.005
"""The share of all values that may lie beyond either end of an axis."""
SMALL_MAGNITUDES = 0.03
"""The share of magnitudes that may lie below the axis: some gradients are 1e-30 beside others."""
HEIGHT = 1.3
"""Of a ridge, where 1 is the distance of two: neighbours overlap a little."""

Floats = npt.NDArray[np.float64]
Shape = Callable[[Histogram, Floats], Floats]


def distributions(records: Sequence[Record]) -> Any:
    """A figure of one step's records: activations on a linear axis, and the magnitudes of gradients
    by powers of ten; activation functions are darker. Each ridge has its own height; what is
    exactly 0 is written beside it. With more than `MOST_LAYERS` layers some are left out evenly.

    Raises:
        ArgumentError: No records.
        ImportError: matplotlib is not installed.
    """
    if not records:
        raise ArgumentError("plot: nothing was noted; run the model in training mode first.")
    shown = [records[i] for i in spread(len(records), MOST_LAYERS)]
    figure = figure_class()(figsize=(9, 1.4 + 0.32 * len(shown)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = [f"{record.layer} {record.op}" for record in shown]
    activations = [record.activation for record in shown]
    colours = ["#9ecae1" if record.response is None else "#2171b5" for record in shown]
    _ridges(left, activations, _range(activations), _density, colours)
    left.set(title="activations", xlabel="value", yticks=range(len(names)), yticklabels=names)
    left.set_ylim(len(names) - 0.7, -HEIGHT - 0.1)
    gradients = [record.gradient for record in shown]
    colours = ["#fdae6b" if record.response is None else "#d94801" for record in shown]
    _ridges(right, gradients, _decades(gradients), _density_of_magnitude, colours)
    right.set(title="gradients of the loss", xlabel="log10 of the magnitude")
    figure.suptitle(f"step {shown[0].step}")
    return figure


def _ridges(
    axes: Any,
    rows: Sequence[Moments | None],
    ends: tuple[float, float],
    shape: Shape,
    colours: Sequence[str],
) -> None:
    """One ridge for each row, at the height of its number."""
    edges = np.linspace(*ends, POINTS + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    for number, (row, colour) in enumerate(zip(rows, colours, strict=True)):
        axes.axhline(number, color="0.85", linewidth=0.6, zorder=number)
        if row is None:
            continue
        density = shape(row.histogram, edges)
        ridge = number - HEIGHT * density / max(density.max(), 1e-300)
        axes.fill_between(middle, number, ridge, color=colour, alpha=0.7, lw=0, zorder=number)
        axes.plot(middle, ridge, color=colour, linewidth=0.8, zorder=number)
        axes.annotate(
            _beside(row),
            (1.01, number),
            xycoords=("axes fraction", "data"),
            fontsize="x-small",
            verticalalignment="bottom",
        )
    axes.set_xlim(*ends)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _beside(row: Moments) -> str:
    zeros = row.histogram.zeros / max(row.histogram.total, 1)
    return f"rms {row.rms:.2g}" + (f"\n{zeros:.0%} zero" if zeros >= TAIL else "")


def _density(histogram: Histogram, edges: Floats) -> Floats:
    return histogram.without_zeros().into(edges)


def _density_of_magnitude(histogram: Histogram, edges: Floats) -> Floats:
    return histogram.without_zeros().magnitudes().into(10**edges)


def _range(rows: Sequence[Moments]) -> tuple[float, float]:
    """An axis for nearly all values of all rows together."""
    low, high = (
        [row.histogram.quantile(share) for row in rows if row.histogram.total]
        for share in (TAIL, 1 - TAIL)
    )
    if not low or min(low) >= max(high):
        return (-1.0, 1.0)
    margin = (max(high) - min(low)) / 20
    return min(low) - margin, max(high) + margin


def _decades(rows: Sequence[Moments | None]) -> tuple[float, float]:
    """The same for magnitudes, in powers of ten."""
    folded = [row.histogram.without_zeros().magnitudes() for row in rows if row is not None]
    folded = [histogram for histogram in folded if histogram.total]
    if not folded:
        return (-1.0, 1.0)
    low, high = (
        np.log10([histogram.quantile(share) for histogram in folded])
        for share in (SMALL_MAGNITUDES, 1 - TAIL)
    )
    return float(low.min()) - 0.3, float(high.max()) + 0.3
