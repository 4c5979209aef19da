"""The phase diagram shows what the maps say."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import analysis
from analysis.dynamics.picture import GROWS
from analysis.errors import MissingExtra

W, B = np.linspace(0.2, 4.0, 39), np.linspace(0.0, 1.0, 21)


def test_colours_are_the_logarithms_of_chi() -> None:
    tanh = analysis.maps("tanh")
    axes, _ = tanh.plot(W, B).axes
    (mesh,) = [c for c in axes.collections if type(c).__name__ == "QuadMesh"]
    drawn = np.asarray(mesh.get_array()).reshape(len(B), len(W))
    np.testing.assert_allclose(drawn, np.log10(tanh.phase(W, B).chi_1), rtol=1e-12)
    assert mesh.norm.vmin == -mesh.norm.vmax  # white is chi_1 = 1


def test_the_edge_of_chaos_is_where_it_is() -> None:
    tanh = analysis.maps("tanh")
    axes, _ = tanh.plot(W, B).axes
    (line,) = [c for c in axes.collections if "Contour" in type(c).__name__]
    vertices = np.concatenate([path.vertices for path in line.get_paths()])
    for sigma_b2 in (0.2, 0.6):
        near = vertices[np.argmin(np.abs(vertices[:, 1] - sigma_b2))]
        # between grid points 0.1 apart the contour is interpolated
        assert near[0] == pytest.approx(tanh.critical(near[1]).sigma_w2, abs=0.01)
    words = [text.get_text() for text in axes.texts]
    assert {"edge of chaos", "ordered", "chaotic", "LeCun", "He"} <= set(words)


def test_a_rectifier_has_its_edge_where_the_variance_begins_to_grow() -> None:
    axes, _ = analysis.maps("relu").plot(W, B).axes
    edges = [
        line
        for line in axes.lines
        if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2
    ]
    assert [line.get_xdata()[0] for line in edges] == [2.0]
    assert GROWS in [text.get_text() for text in axes.texts]


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"tinygrad-edu\[plots\]"):
        analysis.maps("tanh").plot()
