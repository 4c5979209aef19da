"""The phase diagram of an activation as a picture: order, chaos, and the edge between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.dynamics.expectations import Array
from analysis.errors import MissingExtra
from analysis.palette import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from analysis.dynamics.maps import Maps
    from analysis.dynamics.phase import Phase

_MOST_W, _MOST_B = 4.0, 1.0
_TICKS = {1 / 3: "1/3", 1 / 2: "1/2", 2 / 3: "2/3", 1.0: "1", 1.5: "3/2", 2.0: "2", 3.0: "3"}
"""Factors a layer; colours are saturated beyond the outer ones."""
_SCHEMES = {1.0: "LeCun", 2.0: "He"}
"""n Var(W) of initialisers without biases."""
GROWS = "the variance grows\nwithout bound"


def phase_diagram(maps: Maps, sigma_w2: Any = None, sigma_b2: Any = None) -> Figure:
    """chi_1 at the fixed point of the variance over weight and bias variances (Poole et al. 2016,
    figure 1; Schoenholz et al. 2017, figure 1), with the line chi_1 = 1.

    Args:
        maps: of the activation.
        sigma_w2, sigma_b2: the grid; by default 0 to 4 and 0 to 1, wide enough for the edge.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("plot", "matplotlib", "plots") from None
    w = np.linspace(0.02, _MOST_W, 161) if sigma_w2 is None else np.asarray(sigma_w2, np.float64)
    b = np.linspace(0.0, _MOST_B, 81) if sigma_b2 is None else np.asarray(sigma_b2, np.float64)
    diagram = maps.phase(w, b)
    drawn = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = drawn.subplots()
    _colour(drawn, axes, diagram)
    _edge(axes, diagram)
    _boundary(axes, maps)
    _schemes(axes, diagram)
    axes.set_xlabel(r"weights: $\sigma_w^2$ = fan-in $\cdot$ Var(W)", color=INK)
    axes.set_ylabel(r"biases: $\sigma_b^2$", color=INK)
    axes.set_title(f"{maps.activation.name}: order and chaos", loc="left", color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    return drawn


def _exponents(diagram: Phase) -> Array:
    """log10 chi_1; masked where the variance has no fixed point."""
    with np.errstate(all="ignore"):
        values = np.log10(diagram.chi_1)
    return np.ma.masked_where(~np.isfinite(diagram.q), values)


def _colour(drawn: Figure, axes: Axes, diagram: Phase) -> None:
    axes.set_facecolor("#efefef")
    mesh = axes.pcolormesh(
        diagram.sigma_w2,
        diagram.sigma_b2,
        _exponents(diagram),
        cmap="RdBu_r",
        vmin=np.log10(min(_TICKS)),
        vmax=np.log10(max(_TICKS)),
        shading="gouraud" if np.isfinite(diagram.q).all() else "nearest",
        rasterized=True,
    )
    bar = drawn.colorbar(mesh, ax=axes, extend="both", pad=0.02)
    bar.set_label(r"$\chi_1$, the gradient's factor a layer (of its square)", color=INK)
    bar.set_ticks([float(np.log10(factor)) for factor in _TICKS], labels=list(_TICKS.values()))
    grows = ~np.isfinite(diagram.q)
    if grows.mean() > 0.02:
        rows, columns = np.nonzero(grows)
        place = (diagram.sigma_w2[columns].mean(), diagram.sigma_b2[rows].mean())
        axes.text(*place, GROWS, ha="center", va="center", color=INK, fontsize="small")


def _edge(axes: Axes, diagram: Phase) -> None:
    """The line chi_1 = 1, and the names of both sides."""
    exponents = _exponents(diagram)
    low, high = exponents.min(), exponents.max()
    if low < 0 < high:
        line = axes.contour(
            diagram.sigma_w2, diagram.sigma_b2, exponents, levels=[0.0], colors=INK, linewidths=2
        )
        axes.clabel(line, fmt={0.0: "edge of chaos"}, fontsize="small")
    for name, side in (("ordered", exponents < -0.08), ("chaotic", exponents > 0.08)):
        inside = np.ma.filled(side, False)
        if inside.mean() > 0.05:
            rows, columns = np.nonzero(inside)
            where = (diagram.sigma_w2[columns].mean(), diagram.sigma_b2[rows].mean())
            _legible(axes.text(*where, name, ha="center", color=INK, fontsize="large"))


def _legible(written: Text) -> None:
    """Put light behind letters that stand on a dark colour."""
    from matplotlib.patheffects import withStroke

    written.set_path_effects([withStroke(linewidth=4, foreground="#ffffffb0")])


def _boundary(axes: Axes, maps: Maps) -> None:
    """A rectifier has chi_1 = 1 where its variance begins to grow, whatever the biases."""
    from analysis.dynamics.closed import Rectifier, closed_kernel

    if isinstance(closed_kernel(maps.activation.expression), Rectifier):
        critical = float(maps.critical().sigma_w2)
        axes.axvline(critical, color=INK, linewidth=2)
        axes.annotate(
            "edge of chaos",
            (critical, 0.97 * axes.get_ylim()[1]),
            (5, 0),
            "data",
            "offset points",
            va="top",
            fontsize="small",
            color=INK,
        )


def _schemes(axes: Axes, diagram: Phase) -> None:
    """Where known initialisers stand, on the axis."""
    low, high = diagram.sigma_w2[0], diagram.sigma_w2[-1]
    for place, name in _SCHEMES.items():
        if low < place < high and diagram.sigma_b2[0] < 1e-9:
            axes.plot(place, 0, "o", color=INK, markersize=6, clip_on=False, zorder=5)
            _legible(axes.annotate(name, (place, 0), (6, 5), textcoords="offset points", color=INK))
