"""Draw the figures of the documentation anew: python tools/docs_figures.py"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

import analysis
from analysis.network.build import dense_network

FOLDER = Path(__file__).parents[1] / "docs" / "figures"
PHASES = ("tanh", "relu", "gelu")


def main() -> None:
    """Phase diagrams, and the layers of a network whose tanh units saturate."""
    FOLDER.mkdir(exist_ok=True)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "docs"}):
        for name in PHASES:
            figure = analysis.maps(name).plot()
            figure.savefig(FOLDER / f"phase-{name}.svg", dpi=130, metadata={"Date": None})
        model = dense_network([64, 100, 100, 10], "tanh", weight_std=0.2)
        figure = analysis.distributions(model).plot()
        figure.savefig(FOLDER / "layers.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
