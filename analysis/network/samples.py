"""Variables that are known by a sample of their law: what a max-pooling gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from analysis.network.program import Program
from analysis.network.records import Array
from analysis.network.response import Grid, Response
from analysis.network.roots import GaussianRoot, Root
from analysis.network.sources import Form, Key, UnknownSlice

_NODES = 256
"""Nodes that a sample is condensed to."""
_SHAPED = 0.5
"""What covariances that scatter change in a slope's mean square, as a share of their scatter: up to
0.36 was measured (gelu), and half of it in a second moment."""
_CURVED = 8.0
"""By how much of a function's response to its input's size its curvature counts in full."""
_DRAWN = 0.004
"""Of second moments, averaged over the examples and 2048 draws."""

Shared = Callable[[], tuple[Array, Array | float]]


class SampledRoot(Root):
    """y takes the values x (rows, nodes), in order, with these weights. A row is a case and a place
    in it; `field` gives points of the joint law of all places, (cases, places, points), or is None
    where places are independent.

    `shared`, if it is known what two examples share, gives the law given each of some draws of it:
    points (rows, draws, points), and their weights (rows, points) or one number."""

    def __init__(
        self,
        x: Array,
        weight: Array,
        sources: frozenset[Key],
        field: Callable[[], Array] | None = None,
        shared: Shared | None = None,
        program: Program | None = None,
    ) -> None:
        super().__init__(sources, program)
        self.x, self.weight, self.field, self.shared = x, weight, field, shared

    @staticmethod
    def of_sample(
        sample: Array,
        sources: frozenset[Key],
        field: Callable[[], Array] | None,
        shared: Shared | None,
    ) -> SampledRoot:
        """From equally likely points (rows, points): means of neighbours, scaled so that the second
        moment is kept, and what is exactly 0, too."""
        ordered = np.sort(sample, axis=1)
        rows, points = ordered.shape
        nodes = min(_NODES, points)
        x = ordered[:, : points // nodes * nodes].reshape(rows, nodes, -1).mean(axis=2)
        wanted, kept = (np.mean(a * a, axis=1, keepdims=True) for a in (ordered, x))
        x = x * np.sqrt(wanted / np.maximum(kept, 1e-300))
        return SampledRoot(x, np.full_like(x, 1 / nodes), sources, field, shared)

    def _make_grid(self, kinks: tuple[float, ...]) -> Grid:
        return Grid(self.x, self.weight, np.einsum("bn,bn,bn->b", self.x, self.x, self.weight))

    def _make_shifted(self, offset: int) -> Root:
        raise UnknownSlice("a slice of channels behind max-pooling")

    def pairs(self, index: int, shift: Array) -> Array | None:
        """E[(g(y_v) + shift_v)(g(y_w) + shift_w)] of two places for function number `index`:
        covariances from the points of the joint law, on the scale of means and variances, which are
        known better."""
        if self.field is None:
            return None
        y = self.field()
        cases, places, points = y.shape
        values = self.program.run(y.reshape(-1, points), index)[index][0].reshape(y.shape)
        values = values - values.mean(axis=2, keepdims=True)
        table = values @ values.transpose(0, 2, 1) / points
        grid, ((g, _),) = self.values(index)
        mean = grid.expect(g)
        variance = np.maximum(grid.expect(g * g) - mean**2, 0.0).reshape(cases, places)
        scale = np.sqrt(variance / np.maximum(np.einsum("cww->cw", table), 1e-300))
        mean = (mean + shift).reshape(cases, places)
        spread = table * scale[:, :, None] * scale[:, None, :]
        return np.asarray(spread + mean[:, :, None] * mean[:, None, :])

    def partner(self, index: int) -> Array | None:
        """E[g(y) g(y')] on two examples, which are independent given what they share."""
        given = self._given(index)
        return None if given is None else np.mean(given**2, axis=1)

    def across(self, index: int, shift: Array, places: int) -> Array | None:
        """E[(g(y_v) + shift_v)(g(y'_w) + shift_w)] at a place of one example and one of another."""
        given = self._given(index)
        if given is None:
            return None
        means = (given + shift[:, None]).reshape(-1, places, given.shape[1])
        return np.asarray(means @ means.transpose(0, 2, 1) / given.shape[1])

    def _given(self, index: int) -> Array | None:
        """E[g(y)] given each draw of what is shared, (rows, draws), about the mean that is known
        better."""
        if self.shared is None:
            return None
        points, each = self.shared()
        rows, _, count = points.shape
        g = self.program.run(points.reshape(rows, -1), index)[index][0].reshape(points.shape)
        means = np.einsum("rjn,rn->rj", g, np.broadcast_to(each, (rows, count)))
        grid, ((values, _),) = self.values(index)
        return np.asarray(means + (grid.expect(values) - means.mean(axis=1))[:, None])


Draws = tuple[Array, float]
"""Those of a unit on all examples, (cases, draws), and how much they scatter over networks."""


def law_of(form: Form, drawn: Mapping[int, Draws]) -> Root:
    """The variable that a sum of sources is: Gaussian, or a single source that is known by draws
    (those of the source of each number)."""
    terms = [key for key, c in form.terms.items() if np.any(c)]
    if len(terms) != 1 or terms[0][0] not in drawn:
        return GaussianRoot(form)
    (key,) = terms
    draws, wander = drawn[key[0]]
    return DrawnRoot(form.mean[:, None] + form.terms[key][:, None] * draws, key, wander)


class DrawnRoot(Root):
    """What a unit takes on all examples at once, by draws: node n of every row is the same unit, so
    products of rows tell how examples depend on each other.

    `wander`: relative variance over networks of the covariances that draws were made with."""

    def __init__(
        self, draws: Array, key: Key, wander: float, program: Program | None = None
    ) -> None:
        super().__init__(frozenset({key}), program)
        self.draws, self.key, self.wander = draws, key, wander

    def _make_grid(self, kinks: tuple[float, ...]) -> Grid:
        x = self.draws
        return Grid(x, np.full_like(x, 1 / x.shape[1]), np.einsum("bn,bn->b", x, x) / x.shape[1])

    def _make_shifted(self, offset: int) -> Root:
        number, first = self.key
        return DrawnRoot(self.draws, (number, first + offset), self.wander, self.program)

    def left_open(self, response: Response) -> tuple[float, float]:
        """What another network's covariances change beyond the kurtosis: nothing of a function that
        is homogeneous, as relu is, since lengths are divided away."""
        second, slope = (np.maximum(v, 1e-300) for v in (response.second, response.slope))
        bent = np.abs(response.q**2 * response.second_2) / second
        turned = np.abs(response.q * response.slope_1) / slope
        ahead, back = (min(1.0, _CURVED * float(np.max(v))) for v in (bent, turned))
        return ahead * (_SHAPED / 2 * self.wander + _DRAWN), back * _SHAPED * self.wander
