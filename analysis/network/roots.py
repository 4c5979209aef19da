"""Variables: the laws that elements of a signal are functions of, as quadrature grids."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.network.program import Program
from analysis.network.records import Array
from analysis.network.response import SMALLEST, STRETCH, Grid, Response
from analysis.network.sources import Form, Key, UnknownSlice

if TYPE_CHECKING:
    from analysis.network.elements import Element

_ORDER = 10
_LEGENDRE = np.polynomial.legendre.leggauss(_ORDER)
_REACH = 9.0
"""A Gaussian has weight 2e-19 beyond 9 standard deviations."""
_STEP = 3.0
"""Width of a quadrature panel in standard deviations of a mixture's components: 10 nodes a panel
integrate such a Gaussian to 1e-9."""
_BLOCK = 64
"""Values handled together, so that of a Gaussian about each only what it reaches is computed."""
_MOST_PANELS = 600
_NEGLIGIBLE = 1e-17
"""Components of less weight do not change a double."""


class Root:
    """A variable: its law and the functions of it that the network computes."""

    sources: frozenset[Key]

    def __init__(self, sources: frozenset[Key], program: Program | None = None) -> None:
        self.program = program or Program()
        self.sources = sources
        self._grids: dict[tuple[float, ...], Grid] = {}
        self._runs: dict[tuple[float, ...], list[tuple[Array, Array]]] = {}
        self._shifted: dict[int, Root] = {}
        self.scattered: dict[Any, tuple[int, Array]] = {}
        """For the backward sweep: the sources of what coefficients scatter by given others."""

    def grid(self, kinks: tuple[float, ...]) -> Grid:
        """Quadrature nodes for functions with these kinks."""
        if kinks not in self._grids:
            self._grids[kinks] = self._make_grid(kinks)
        return self._grids[kinks]

    def kinks_of(self, grid: Grid) -> tuple[float, ...]:
        """The kinks for which a grid of this variable was made."""
        return next(kinks for kinks, own in self._grids.items() if own is grid)

    def values(self, *indices: int) -> tuple[Grid, list[tuple[Array, Array]]]:
        """The grid that suits all of some functions, and the value and derivative of each."""
        kinks = tuple(sorted({k for i in indices for k in self.program.kinks[i]}))
        return self.grid(kinks), [self.run(kinks, i) for i in indices]

    def whole_kinks(self) -> tuple[float, ...]:
        """Where any function of the variable has a kink; final once the forward sweep is over."""
        return tuple(sorted({k for kinks in self.program.kinks for k in kinks}))

    def ends(self, kinks: tuple[float, ...]) -> tuple[Grid, Grid]:
        """The grid of the law with a second moment larger and smaller by a small share, in
        the way in which it scatters over networks: here, with x in proportion."""
        grid = self.grid(kinks)
        up, down = (
            Grid(grid.x * np.sqrt(1 + t), grid.weight, grid.q * (1 + t))
            for t in (STRETCH, -STRETCH)
        )
        return up, down

    def ends_of(self, index: int) -> list[tuple[Grid, tuple[Array, Array]]]:
        """Those grids, with the value and derivative of one function."""
        ends = self.ends(tuple(sorted(self.program.kinks[index])))
        return [(grid, self.program.run(grid.x, index)[index]) for grid in ends]

    def left_open(self, response: Response) -> tuple[float, float]:
        """Relative doubts in a function's second moment and in its slope's."""
        return 0.0, 0.0

    def run(self, kinks: tuple[float, ...], index: int) -> tuple[Array, Array]:
        """Value and derivative of one function on the grid for these kinks."""
        done = self.program.run(self.grid(kinks).x, index, self._runs.get(kinks))
        self._runs[kinks] = done
        return done[index]

    def shifted(self, offset: int) -> Root:
        """The same law and functions in other units."""
        if offset == 0:
            return self
        if offset not in self._shifted:
            self._shifted[offset] = self._make_shifted(offset)
        return self._shifted[offset]

    def _make_grid(self, kinks: tuple[float, ...]) -> Grid:
        raise NotImplementedError

    def _make_shifted(self, offset: int) -> Root:
        raise NotImplementedError


class GaussianRoot(Root):
    """u is a form."""

    def __init__(self, form: Form, program: Program | None = None) -> None:
        super().__init__(frozenset(form.terms), program)
        self.form = form
        self.variance = form.variance
        self._placed: dict[int, GaussianRoot] = {}

    def _make_grid(self, kinks: tuple[float, ...]) -> Grid:
        return Grid.gaussian(self.form.mean, self.variance, kinks)

    def _make_shifted(self, offset: int) -> Root:
        return GaussianRoot(self.form.shifted(offset), self.program)

    def placed(self, places: int) -> Root:
        """The same law at each of some places."""
        if places not in self._placed:
            self._placed[places] = GaussianRoot(at_places(self.form, places), self.program)
        return self._placed[places]


def at_places(form: Form, places: int) -> Form:
    """The same form at each place."""
    terms = {key: np.repeat(c, places) for key, c in form.terms.items()}
    return Form(np.repeat(form.mean, places), terms)


class DataRoot(Root):
    """u runs over given numbers, (cases, units), each as likely as the others."""

    def __init__(self, numbers: Array, key: Key, program: Program | None = None) -> None:
        super().__init__(frozenset({key}), program)
        self.numbers = numbers
        self._key = key
        self._parts: dict[tuple[int, int], DataRoot] = {}
        self._placed: dict[int, DataRoot] = {}

    def _make_grid(self, kinks: tuple[float, ...]) -> Grid:
        x = self.numbers
        return Grid(x, np.full_like(x, 1 / x.shape[1]), np.einsum("bn,bn->b", x, x) / x.shape[1])

    def with_numbers(self, numbers: Array) -> DataRoot:
        """Other numbers that are made of these."""
        return DataRoot(numbers, self._key)

    def by_node(self, values: Array, nodes: int) -> Array:
        """What each unit has, at each node of the grid: the nodes are the units."""
        return values

    def part(self, start: int, stop: int) -> DataRoot:
        """The numbers of some of the units."""
        if (start, stop) not in self._parts:
            number, first = self._key
            numbers = self.numbers[:, start:stop]
            self._parts[start, stop] = DataRoot(numbers, (number, first + start), self.program)
        return self._parts[start, stop]

    def stepped(self, places: int) -> DataRoot:
        """Numbers (places, features) by place: each place has the law of its features."""
        if -places not in self._placed:
            numbers = self.numbers.reshape(len(self.numbers) * places, -1)
            self._placed[-places] = DataRoot(numbers, self._key, self.program)
        return self._placed[-places]

    def placed(self, places: int) -> DataRoot:
        """Numbers (channels, places) by place: each place has the law of its channels."""
        if places not in self._placed:
            cases, units = self.numbers.shape
            by_place = self.numbers.reshape(cases, units // places, places).transpose(0, 2, 1)
            numbers = by_place.reshape(cases * places, units // places)
            self._placed[places] = DataRoot(numbers, self._key, self.program)
        return self._placed[places]


class UnitsRoot(Root):
    """u = s_i v + b_i in unit i, with the Gaussian form v: a mixture of the units' laws. Scales and
    shifts are (1 or cases, units)."""

    def __init__(
        self, form: Form, scales: Array, shifts: Array, program: Program | None = None
    ) -> None:
        super().__init__(frozenset(form.terms), program)
        self.form, self.scales, self.shifts = form, scales, shifts
        units, cases = max(scales.shape[-1], shifts.shape[-1]), len(form.mean)
        most = max(_FEWEST_UNITS, _MOST_NODES // (cases * _NODES_A_UNIT))
        order = np.argsort(np.broadcast_to(scales, (1, units))[0], kind="stable")
        self.picked = order[np.unique(np.linspace(0, units - 1, min(most, units)).astype(int))]

    def _make_grid(self, kinks: tuple[float, ...]) -> Grid:
        units = max(self.scales.shape[-1], self.shifts.shape[-1])
        scales, shifts = (
            np.broadcast_to(a, (len(a), units))[:, self.picked] for a in (self.scales, self.shifts)
        )
        centre = scales * self.form.mean[:, None] + shifts
        sigma = np.abs(scales) * np.sqrt(self.form.variance)[:, None] + 1e-300
        cases, count = centre.shape
        inside = (np.array(kinks) - centre[..., None]) / sigma[..., None]
        edges = np.concatenate(
            [np.broadcast_to(_EDGES, (cases, count, len(_EDGES))), inside], axis=-1
        )
        edges = np.sort(np.clip(edges, -_REACH, _REACH), axis=-1)
        nodes, weights = _LEGENDRE
        half = np.diff(edges, axis=-1)[..., None] / 2
        z = ((edges[..., 1:] + edges[..., :-1])[..., None] / 2 + half * nodes).reshape(
            cases, count, -1
        )
        weight = (half * weights).reshape(cases, count, -1) * np.exp(-z * z / 2)
        weight /= weight.sum(axis=-1, keepdims=True) * count
        x = (centre[..., None] + sigma[..., None] * z).reshape(cases, -1)
        weight = weight.reshape(cases, -1)
        return Grid(x, weight, np.einsum("bn,bn,bn->b", x, x, weight))

    def by_node(self, values: Array, nodes: int) -> Array:
        """What each unit has, at each of so many nodes of the grid."""
        units = max(self.scales.shape[-1], self.shifts.shape[-1])
        own = np.broadcast_to(values, (units,))[self.picked]
        return np.repeat(own, nodes // len(own))

    def _make_shifted(self, offset: int) -> Root:
        raise UnknownSlice("a slice of units that differ by known numbers")


_EDGES = np.array([-9.0, -6.0, -4.0, -2.5, -1.25, 0.0, 1.25, 2.5, 4.0, 6.0, 9.0])
"""Panels for each unit's Gaussian, in standard deviations."""
_NODES_A_UNIT = (len(_EDGES) - 1) * _ORDER
_MOST_NODES = 4_000_000
_FEWEST_UNITS = 16
"""A grid that would have more nodes takes units that are evenly spaced in order of their scale, at
least so many."""


class MixtureRoot(Root):
    """u = f(v) + form, a mixture of Gaussians over the values of f.

    share   of what the second moment scatters by over networks (in standard deviations), the form's
            part, for each case; None if both parts scatter in proportion to their size
    """

    def __init__(
        self, inner: Element, share: Array | None = None, program: Program | None = None
    ) -> None:
        super().__init__(inner.sources, program)
        self.inner, self.share = inner, share
        self._lengths: dict[tuple[float, ...], Array] = {}
        self._ends: dict[tuple[float, ...], tuple[Grid, Grid]] = {}

    def _make_grid(self, kinks: tuple[float, ...]) -> Grid:
        one = np.ones_like(self.inner.form.mean)
        grid, self._lengths[kinks] = self._scaled(kinks, one, one)
        return grid

    def _scaled(self, kinks: tuple[float, ...], f: Array, form: Array) -> tuple[Grid, Array]:
        """The grid with both parts' squares so many times as large, and its nodes' lengths."""
        centres, weights = self._components()
        mean = self.inner.form.mean[:, None]
        centres = (centres - mean) * np.sqrt(f)[:, None] + mean
        sigma = self._sigma(centres, form)
        reached = np.where(weights > _NEGLIGIBLE, centres, centres[:, :1] * 0 + np.nan)
        x, length = _panels(reached, sigma, kinks)
        density = np.empty_like(x)
        for case in range(len(x)):
            live = np.flatnonzero(weights[case] > _NEGLIGIBLE)
            live = live[np.argsort(centres[case][live])]
            density[case] = _density(
                centres[case][live], weights[case][live], float(sigma[case]), x[case]
            )
        weight = density * length
        weight /= weight.sum(axis=1, keepdims=True)
        return Grid(x, weight, np.einsum("bn,bn,bn->b", x, x, weight)), length

    def ends(self, kinks: tuple[float, ...]) -> tuple[Grid, Grid]:
        """Each part larger and smaller by its own measure, neither by more than a small share."""
        if self.share is None:
            return super().ends(kinks)
        if kinks not in self._ends:
            centres, weights = self._components()
            f = np.einsum("bn,bn->b", (centres - self.inner.form.mean[:, None]) ** 2, weights)
            parts = np.maximum([f, self.inner.form.variance], np.finfo(float).tiny)
            moved = np.array([1 - self.share, self.share]) / parts
            moved *= STRETCH / np.maximum(moved.max(axis=0), np.finfo(float).tiny)
            up, down = (self._scaled(kinks, *(1 + t * moved))[0] for t in (1, -1))
            self._ends[kinks] = up, down
        return self._ends[kinks]

    def _components(self) -> tuple[Array, Array]:
        assert self.inner.root is not None
        grid, ((f, _),) = self.inner.root.values(self.inner.index)
        return f + self.inner.form.mean[:, None], grid.weight

    def _sigma(self, centres: Array, form: Array | float = 1.0) -> Array:
        """Of the Gaussian part, its square `form` times as large; where it vanishes beside what it
        is added to, 1e-12 of that."""
        least = 1e-12 * np.abs(centres).max(axis=1) + math.sqrt(SMALLEST)
        return np.asarray(np.maximum(np.sqrt(form * self.inner.form.variance), least))

    def average_given(self, kinks: tuple[float, ...], f: Array, case: int, values: Array) -> Array:
        """E[value | f] for each value of f in a case: values (count, cases, nodes of this grid)."""
        grid, (centres, sigma) = self.grid(kinks), self._given(f, case)
        result = np.empty((len(values), len(centres)))
        order = np.argsort(centres)
        x, weighted = grid.x[case], self._lengths[kinks][case]
        for block in np.array_split(order, max(1, len(order) // _BLOCK)):
            low, high = np.searchsorted(
                x, (centres[block[0]] - _REACH * sigma, centres[block[-1]] + _REACH * sigma)
            )
            rows = bells(centres[block], sigma, x[low:high]) * weighted[low:high]
            total = rows.sum(axis=1)
            averages = rows @ values[:, case, low:high].T
            result[:, block] = (averages / np.where(total > 0, total, 1.0)[:, None]).T
        return result

    def given(self, kinks: tuple[float, ...], f: Array, case: int) -> tuple[Array, Array]:
        """For each value of f in a case: the law of the nodes, and the Gaussian part at each."""
        x, (centres, sigma) = self.grid(kinks).x[case], self._given(f, case)
        rows = bells(centres, sigma, x) * self._lengths[kinks][case]
        total = np.maximum(rows.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        return rows / total, (x - centres[:, None]) / sigma

    def _given(self, f: Array, case: int) -> tuple[Array, float]:
        """In a case the variable's mean for each value of f, and its standard deviation."""
        centres = f + self.inner.form.mean[:, None]
        return centres[case], float(self._sigma(centres)[case])

    def _make_shifted(self, offset: int) -> Root:
        return MixtureRoot(self.inner.shifted(offset), self.share, self.program)


class MaskedRoot(Root):
    """u = value * f(v) with probability `keep`, and else 0."""

    def __init__(
        self,
        inner_root: Root,
        index: int,
        keep: float,
        value: float,
        key: Key,
        program: Program | None = None,
    ) -> None:
        super().__init__(inner_root.sources | {key}, program)
        self.inner_root, self.index = inner_root, index
        self.keep, self.value = keep, value
        self._key = key

    def inner_grid(self, kinks: tuple[float, ...]) -> Grid:
        """The grid of v: split where a function of u has a kink, if u is a multiple of v."""
        own = tuple(k / self.value for k in kinks) if self.index == 0 and self.value else ()
        return self.inner_root.grid(
            tuple(sorted({*own, *self.inner_root.program.kinks[self.index]}))
        )

    def _make_grid(self, kinks: tuple[float, ...]) -> Grid:
        grid = self.inner_grid(kinks)
        f = self.value * self.inner_root.program.run(grid.x, self.index)[self.index][0]
        zero = np.zeros((len(f), 1))
        x = np.concatenate([f, zero], axis=1)
        weight = np.concatenate([self.keep * grid.weight, zero + 1 - self.keep], axis=1)
        return Grid(x, weight, np.einsum("bn,bn,bn->b", x, x, weight))

    def _make_shifted(self, offset: int) -> Root:
        number, first = self._key
        inner = self.inner_root.shifted(offset)
        key = (number, first + offset)
        return MaskedRoot(inner, self.index, self.keep, self.value, key, self.program)


def _density(centres: Array, weights: Array, sigma: float, x: Array) -> Array:
    """Of a mixture of Gaussians about sorted centres, at sorted x."""
    total = np.zeros_like(x)
    for block in np.array_split(np.arange(len(centres)), max(1, len(centres) // _BLOCK)):
        reach = (centres[block[0]] - _REACH * sigma, centres[block[-1]] + _REACH * sigma)
        low, high = np.searchsorted(x, reach)
        total[low:high] += weights[block] @ bells(centres[block], sigma, x[low:high])
    return total


def bells(centres: Array, sigma: float, x: Array) -> Array:
    """Gaussian densities about each centre (rows) at each x (columns)."""
    t = (x[None, :] - centres[:, None]) / sigma
    return np.asarray(np.exp(-t * t / 2) / (sigma * np.sqrt(2 * np.pi)))


def _panels(centres: Array, sigma: Array, kinks: tuple[float, ...]) -> tuple[Array, Array]:
    """Nodes over the reach of a mixture, and the length each stands for."""
    low = np.nanmin(centres, axis=1) - _REACH * sigma
    high = np.nanmax(centres, axis=1) + _REACH * sigma
    count = int(np.clip(np.ceil(np.max((high - low) / (_STEP * sigma))), 8, _MOST_PANELS))
    edges = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, count + 1)
    inside = np.clip(np.array(kinks)[None, :], low[:, None], high[:, None])
    edges = np.sort(np.concatenate([edges, inside], axis=1), axis=1)
    nodes, weights = _LEGENDRE
    half = np.diff(edges, axis=1)[:, :, None] / 2
    middle = (edges[:, 1:] + edges[:, :-1])[:, :, None] / 2
    cases = len(low)
    return (middle + half * nodes).reshape(cases, -1), (half * weights).reshape(cases, -1)
