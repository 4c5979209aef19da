"""Boxes and arrows on a page, drawn by matplotlib: what Graphviz does, in a small way.

The steps are those of Sugiyama, Tagawa and Toda (1981): layers, so that arrows point down; an order
within each layer that has few crossings; then positions that keep arrows straight.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import ArgumentError

Arrow = tuple[int, int]

MOST_BOXES = 500
"""More than this nobody can read on one page, and ordering them takes too long."""

FONT_SIZE = 8.0
LETTER = 0.602 * FONT_SIZE / 72
"""The width of a letter of DejaVu Sans Mono, in inches, as all lengths here."""
LINE = 1.25 * FONT_SIZE / 72
MARGIN = 0.08
GAP_ACROSS, GAP_DOWN = 0.2, 0.35
SWEEPS = 12
"""How often the layers are put in order. Crossings hardly change after ten."""


def picture(
    labels: Sequence[Sequence[str]], colours: Sequence[str], arrows: Sequence[Arrow]
) -> Any:
    """A matplotlib figure with a box for each label and the arrows between them."""
    if len(labels) > MOST_BOXES:
        raise ArgumentError(
            f"plot: {len(labels)} boxes do not fit in a picture ({MOST_BOXES} do); save the source "
            "instead, drawing.save('graph.dot'), or draw a part of the graph."
        )
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "plot: needs matplotlib; install it with pip install 'tinygrad-edu[plots]'."
        ) from None
    widths = [max(map(len, lines)) * LETTER + 2 * MARGIN for lines in labels]
    heights = [len(lines) * LINE + 2 * MARGIN for lines in labels]
    layout = Layout(widths, heights, arrows)
    figure = Figure(figsize=(layout.width + 2 * MARGIN, layout.height + 2 * MARGIN))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-MARGIN, layout.width + MARGIN)
    axes.set_ylim(layout.height + MARGIN, -MARGIN)
    for path in layout.paths:
        _draw_arrow(axes, path)
    for i, lines in enumerate(labels):
        _draw_box(axes, layout.x[i], layout.y[i], widths[i], heights[i], lines, colours[i])
    return figure


def _draw_box(
    axes: Any, x: float, y: float, width: float, height: float, lines: Sequence[str], colour: str
) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (x - width / 2, y - height / 2)
    style = f"round,pad=0,rounding_size={MARGIN}"
    axes.add_patch(
        FancyBboxPatch(corner, width, height, boxstyle=style, facecolor=colour, edgecolor="0.3",
                       linewidth=0.7)
    )  # fmt: skip
    axes.text(
        x, y, "\n".join(lines), fontsize=FONT_SIZE, family="monospace", linespacing=1.1,
        horizontalalignment="center", verticalalignment="center", parse_math=False,
    )  # fmt: skip


def _draw_arrow(axes: Any, points: Sequence[tuple[float, float]]) -> None:
    """A smooth line through the points that leaves and arrives vertically."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    vertices, codes = [points[0]], [Path.MOVETO]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        middle = (y0 + y1) / 2
        vertices += [(x0, middle), (x1, middle), (x1, y1)]
        codes += [Path.CURVE4] * 3
    path = Path(vertices, codes)
    axes.add_patch(
        FancyArrowPatch(path=path, arrowstyle="-|>", mutation_scale=7, color="0.3", linewidth=0.7)
    )


# ------------------------------------------------------------------------------ the layout


class Layout:
    """Where boxes of these sizes go.

    An arrow that passes a layer gets a point there, which takes a place among the boxes.

    Attributes:
        x, y: The centres of the boxes; y goes down.
        paths: The points of each arrow.
        width, height: Of everything.
    """

    def __init__(
        self, widths: Sequence[float], heights: Sequence[float], arrows: Sequence[Arrow]
    ) -> None:
        self._widths = list(widths)
        self._layer = _layers(len(widths), arrows)
        chains = [self._chain(a, b) for a, b in arrows]
        links = {link for chain in chains for link in itertools.pairwise(chain)}
        self._above: list[list[int]] = [[] for _ in self._widths]
        self._below: list[list[int]] = [[] for _ in self._widths]
        for a, b in sorted(links):
            self._below[a].append(b)
            self._above[b].append(a)
        rows: list[list[int]] = [[] for _ in range(max(self._layer) + 1)]
        for i, layer in enumerate(self._layer):
            rows[layer].append(i)
        self._rows = self._ordered(rows)
        self.x = self._across()
        self._heights = list(heights)
        self.y = self._down()
        self.width = max(x + w / 2 for x, w in zip(self.x, self._widths, strict=True))
        self.height = max(y + h / 2 for y, h in zip(self.y, self._heights, strict=True))
        self.paths = [self._path(chain) for chain in chains]

    def _chain(self, a: int, b: int) -> list[int]:
        """An arrow's ends, and a new point in each layer between them."""
        points = []
        for layer in range(self._layer[a] + 1, self._layer[b]):
            points.append(len(self._widths))
            self._widths.append(0.0)
            self._layer.append(layer)
        return [a, *points, b]

    def _ordered(self, rows: list[list[int]]) -> list[list[int]]:
        """Each layer sorted by the mean place of the neighbours, downwards and upwards in turn; the
        best order that was met."""
        best, fewest = rows, _crossings(rows, self._below)
        for sweep in range(SWEEPS):
            rows = [list(row) for row in rows]
            down = sweep % 2 == 0
            neighbours = self._above if down else self._below
            for number in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
                place = _places(rows[number - 1 if down else number + 1])
                own = _places(rows[number])
                rows[number].sort(key=lambda i: _mean(neighbours[i], place, own[i]))
            crossings = _crossings(rows, self._below)
            if crossings < fewest:
                best, fewest = rows, crossings
        return best

    def _across(self) -> list[float]:
        """Each layer as close to the mean place of its neighbours as its order and widths let."""
        x = [0.0] * len(self._widths)
        for row in self._rows:
            for i, place in zip(row, self._spread(row, [0.0] * len(row)), strict=True):
                x[i] = place
        for sweep in range(SWEEPS):
            for row in self._rows if sweep % 2 == 0 else reversed(self._rows):
                wanted = []
                for i in row:
                    near = [x[j] for j in (*self._above[i], *self._below[i])]
                    wanted.append(sum(near) / len(near) if near else x[i])
                for i, place in zip(row, self._spread(row, wanted), strict=True):
                    x[i] = place
        left = min(x[i] - w / 2 for i, w in enumerate(self._widths))
        return [place - left for place in x]

    def _spread(self, row: list[int], wanted: Sequence[float]) -> list[float]:
        """The places nearest to those wanted (least squares) at which no two boxes overlap."""
        widths = [self._widths[i] for i in row]
        offset = [0.0]
        for a, b in itertools.pairwise(widths):
            offset.append(offset[-1] + (a + b) / 2 + GAP_ACROSS)
        free = _nondecreasing([w - o for w, o in zip(wanted, offset, strict=True)])
        return [f + o for f, o in zip(free, offset, strict=True)]

    def _down(self) -> list[float]:
        """The layers one below the other. A point is as tall as its layer, so that its arrow goes
        straight down between the boxes."""
        y, top = [0.0] * len(self._widths), 0.0
        boxes = len(self._heights)
        self._heights += [0.0] * (len(y) - boxes)
        for row in self._rows:
            tallest = max(self._heights[i] for i in row)
            for i in row:
                y[i] = top + tallest / 2
                self._heights[i] = self._heights[i] if i < boxes else tallest
            top += tallest + GAP_DOWN
        return y

    def _path(self, chain: Sequence[int]) -> list[tuple[float, float]]:
        """From the bottom of a box through points to the top of another one."""
        ends = [
            (self.x[i], self.y[i] + side * self._heights[i] / 2) for i in chain for side in (-1, 1)
        ]
        return ends[1:-1]


def _layers(n: int, arrows: Sequence[Arrow]) -> list[int]:
    """Each box below all its operands; a leaf directly above its first use."""
    layer = [0] * n
    first_use: dict[int, int] = {}
    has_operands = {b for _, b in arrows}
    for a, b in arrows:  # sorted by b, as results come after their operands
        layer[b] = max(layer[b], layer[a] + 1)
    for a, b in arrows:
        first_use[a] = min(first_use.get(a, layer[b]), layer[b])
    return [
        own if i in has_operands or i not in first_use else first_use[i] - 1
        for i, own in enumerate(layer)
    ]


def _crossings(rows: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> int:
    """How many pairs of arrows between neighbouring layers cross."""
    total = 0
    for upper, lower in itertools.pairwise(rows):
        place = _places(lower)
        ends = np.array([place[j] for i in upper for j in sorted(below[i], key=place.__getitem__)])
        total += sum(int(np.count_nonzero(ends[:k] > end)) for k, end in enumerate(ends))
    return total


def _places(row: Sequence[int]) -> dict[int, float]:
    return {i: float(place) for place, i in enumerate(row)}


def _mean(neighbours: Sequence[int], place: dict[int, float], otherwise: float) -> float:
    return sum(place[j] for j in neighbours) / len(neighbours) if neighbours else otherwise


def _nondecreasing(values: Sequence[float]) -> list[float]:
    """The non-decreasing numbers nearest to these: neighbours in the wrong order are replaced by
    their mean, until none are (pool adjacent violators)."""
    pools: list[tuple[float, int]] = []
    for value in values:
        pool = (value, 1)
        while pools and pools[-1][0] > pool[0]:
            mean, count = pools.pop()
            total = count + pool[1]
            pool = ((mean * count + pool[0] * pool[1]) / total, total)
        pools.append(pool)
    return [mean for mean, count in pools for _ in range(count)]
