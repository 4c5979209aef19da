"""Where boxes and arrows go: nothing overlaps, arrows point down, and few of them cross."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tinygrad_edu.graph.picture import Layout, _crossings, _nondecreasing, picture

Arrows = list[tuple[int, int]]


@st.composite
def graphs(draw: Any) -> tuple[int, Arrows]:
    """Boxes, each of which has up to three operands among those before it."""
    n = draw(st.integers(1, 12))
    arrows = [
        (a, b) for b in range(1, n) for a in draw(st.lists(st.integers(0, b - 1), max_size=3))
    ]
    return n, arrows


def sizes(n: int) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(n)
    return rng.uniform(0.5, 2, n).tolist(), rng.uniform(0.2, 0.6, n).tolist()


@settings(max_examples=60)
@given(graphs())
def test_boxes_do_not_overlap(graph: tuple[int, Arrows]) -> None:
    n, arrows = graph
    widths, heights = sizes(n)
    layout = Layout(widths, heights, arrows)
    for a, b in combinations(range(n), 2):
        apart_x = abs(layout.x[a] - layout.x[b]) >= (widths[a] + widths[b]) / 2
        apart_y = abs(layout.y[a] - layout.y[b]) >= (heights[a] + heights[b]) / 2
        assert apart_x or apart_y
    for i in range(n):
        assert widths[i] / 2 - 1e-9 <= layout.x[i] <= layout.width - widths[i] / 2 + 1e-9
        assert heights[i] / 2 - 1e-9 <= layout.y[i] <= layout.height - heights[i] / 2 + 1e-9


@settings(max_examples=60)
@given(graphs())
def test_arrows_point_down_from_box_to_box(graph: tuple[int, Arrows]) -> None:
    n, arrows = graph
    widths, heights = sizes(n)
    layout = Layout(widths, heights, arrows)
    assert len(layout.paths) == len(arrows)
    for (a, b), path in zip(arrows, layout.paths, strict=True):
        assert path[0] == pytest.approx((layout.x[a], layout.y[a] + heights[a] / 2))
        assert path[-1] == pytest.approx((layout.x[b], layout.y[b] - heights[b] / 2))
        assert all(y0 <= y1 for (_, y0), (_, y1) in pairwise(path))


@settings(max_examples=60)
@given(graphs())
def test_arrows_pass_beside_boxes(graph: tuple[int, Arrows]) -> None:
    """Where an arrow passes a layer it goes straight down, outside every box of it."""
    n, arrows = graph
    widths, heights = sizes(n)
    layout = Layout(widths, heights, arrows)
    for (a, b), path in zip(arrows, layout.paths, strict=True):
        for i in range(n):
            if layout.y[a] < layout.y[i] < layout.y[b]:
                top, bottom = layout.y[i] - heights[i] / 2, layout.y[i] + heights[i] / 2
                (x,) = {
                    x0
                    for (x0, y0), (x1, y1) in pairwise(path)
                    if x0 == x1 and y0 <= top + 1e-9 and bottom - 1e-9 <= y1
                }
                assert abs(layout.x[i] - x) >= widths[i] / 2


def test_leaves_stand_above_their_first_use() -> None:
    chain = [(0, 1), (1, 2), (2, 4), (3, 4)]
    layout = Layout([1.0] * 5, [0.5] * 5, chain)
    assert layout.y[3] == layout.y[2]


def test_crossings_are_avoided() -> None:
    """A ladder whose rungs are listed crosswise."""
    arrows = [(0, 3), (1, 2), (2, 5), (3, 4)]
    layout = Layout([1.0] * 6, [0.5] * 6, arrows)
    assert _crossings(layout._rows, layout._below) == 0


def test_crossings_are_counted() -> None:
    below: Sequence[Sequence[int]] = [[2, 3], [2, 3], [], []]
    assert _crossings([[0, 1], [2, 3]], below) == 1
    assert _crossings([[0, 1], [3, 2]], below) == 1
    assert _crossings([[0, 1], [2, 3]], [[3], [2], [], []]) == 1
    assert _crossings([[0, 1], [2, 3]], [[2], [3], [], []]) == 0


@given(st.lists(st.floats(-10, 10), max_size=6))
def test_nearest_nondecreasing_numbers(values: list[float]) -> None:
    found = _nondecreasing(values)
    assert len(found) == len(values)
    assert all(a <= b + 1e-12 for a, b in pairwise(found))
    # The projection on a cone is where the rest is orthogonal to it, and against its generators.
    rest = np.subtract(values, found)
    assert abs(np.dot(rest, found)) < 1e-9
    assert all(np.sum(rest[k:]) < 1e-9 for k in range(len(values)))


def test_every_label_is_shown_and_fits_its_box() -> None:
    labels = [["x", "(2,) float32"], ["exp"], ["$not maths_$, WWWWW"]]
    figure = picture(labels, ["white"] * 3, [(0, 1), (1, 2)])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["\n".join(lines) for lines in labels]
    assert len(axes.patches) == 5  # three boxes and two arrows
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for text, box in zip(axes.texts, axes.patches[2:], strict=True):
        inner, outer = text.get_window_extent(), box.get_window_extent()
        assert outer.x0 <= inner.x0 < inner.x1 <= outer.x1
        assert outer.y0 <= inner.y0 < inner.y1 <= outer.y1
