"""Distributions as a picture: a row for each layer, the derived law over the measured histogram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import MissingExtra
from analysis.palette import INK, MEASURED, PREDICTED, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.measurement.distributions import Distribution, Distributions, Shares

MOST_LAYERS = 12


def figure(found: Distributions) -> Figure:
    """Outputs: the measured histogram, filled, and the derived law, a line. Gradients: the measured
    histogram, and two lines at plus and minus the predicted root mean square. With more than
    `MOST_LAYERS` layers some are left out evenly. Each panel has its own scales.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("plot", "matplotlib", "plots") from None
    count = len(found.layers)
    picked = np.unique(np.linspace(0, count - 1, min(count, MOST_LAYERS)).round().astype(int))
    layers = [found.layers[i] for i in picked]
    drawn = Figure(figsize=(8.2, 0.9 + 0.95 * len(layers)), layout="constrained")
    panels = drawn.subplots(len(layers), 2, squeeze=False)
    for (left, right), layer in zip(panels, layers, strict=True):
        _outputs(left, layer)
        _gradients(right, layer)
    panels[0, 0].set_title("outputs", loc="left", fontsize="medium", color=INK)
    panels[0, 1].set_title("gradients", loc="left", fontsize="medium", color=INK)
    _legend(drawn, panels[0, 0], found.networks)
    return drawn


def _legend(drawn: Figure, axes: Axes, networks: int) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color=PREDICTED, label="predicted"),
        Patch(color=MEASURED, alpha=0.35, label=f"measured, {networks} networks"),
    ]
    drawn.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False)


def _histogram(axes: Axes, shares: Shares, **style: Any) -> None:
    width = shares.edges[1] - shares.edges[0]
    axes.stairs(shares.inside / width, shares.edges, **style)


def _bare(axes: Axes) -> None:
    axes.set_yticks([])
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="x", labelsize=7, colors=QUIET)
    axes.locator_params(axis="x", nbins=5)


def _outputs(axes: Axes, layer: Distribution) -> None:
    _histogram(axes, layer.measured, fill=True, color=MEASURED, alpha=0.35)
    if layer.predicted is not None:
        law = layer.predicted
        middle = (law.edges[1:] + law.edges[:-1]) / 2
        axes.plot(middle, law.inside / np.diff(law.edges), color=PREDICTED, linewidth=1.6)
    axes.set_ylabel(
        f"{layer.name} {layer.op}", rotation=0, ha="right", va="center", fontsize=8, color=INK
    )
    notes = []
    if layer.predicted is None:
        notes.append("law not known")
    if layer.measured.zero > 0.005:
        expected = "" if layer.predicted is None else f" (predicted {layer.predicted.zero:.0%})"
        notes.append(f"{layer.measured.zero:.0%} are 0{expected}")
    _note(axes, notes)
    _bare(axes)


def _gradients(axes: Axes, layer: Distribution) -> None:
    _histogram(axes, layer.gradient, fill=True, color=MEASURED, alpha=0.35)
    if layer.deviation is not None:
        for side in (-1, 1):
            axes.axvline(side * layer.deviation, color=PREDICTED, linewidth=1.6)
    share = layer.gradient.zero
    _note(axes, [f"{share:.0%} are 0"] if share > 0.005 else [])
    _bare(axes)


def _note(axes: Axes, lines: list[str]) -> None:
    axes.text(
        0.99, 0.95, "\n".join(lines), transform=axes.transAxes, ha="right", va="top", fontsize=7,
        color=INK,
    )  # fmt: skip
