"""What one element of a signal is made of, exactly: f(u) + an independent Gaussian form.

`u` is a variable with a known law: a Gaussian (a pre-activation), the input's own numbers, or a
mixture of Gaussians (a sum of an activation and a layer). Everything computed element by element
from one variable shares its `Root`, so that joint moments of such signals are integrals over one
grid and nothing has to be assumed about their dependence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from analysis.network.records import Array
from analysis.network.response import Grid
from analysis.network.roots import GaussianRoot, Root
from analysis.network.sources import Form, Key
from tinygrad_edu import ops

# ------------------------------------------------------------------------------ elements


@dataclass(frozen=True)
class Element:
    """f(u) + form, with the form independent of u; `root` None where there is no f."""

    form: Form
    root: Root | None = None
    index: int = 0
    _moments: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def sources(self) -> frozenset[Key]:
        """Everything random in it."""
        own = frozenset(self.form.terms)
        return own if self.root is None else own | self.root.sources

    @property
    def pure(self) -> bool:
        """Whether it is a function of u alone."""
        return self.root is not None and not np.any(self.form.mean) and self.form.constant

    def moments(self) -> tuple[Array, Array, Array]:
        """Mean, second and fourth moment."""
        if "all" not in self._moments:
            self._moments["all"] = self._compute()
        return self._moments["all"]  # type: ignore[no-any-return]

    def _compute(self) -> tuple[Array, Array, Array]:
        mean, variance = self.form.mean, self.form.variance
        second = mean**2 + variance
        fourth = mean**4 + 6 * mean**2 * variance + 3 * variance**2
        if self.root is None:
            return mean, second, fourth
        grid, ((f, _),) = self.root.values(self.index)
        f1, f2, f3, f4 = (grid.expect(f**k) for k in (1, 2, 3, 4))
        if self.pure:
            return f1, f2, f4
        third = mean**3 + 3 * mean * variance
        return (
            f1 + mean,
            f2 + 2 * f1 * mean + second,
            f4 + 4 * f3 * mean + 6 * f2 * second + 4 * f1 * third + fourth,
        )

    def shifted(self, offset: int) -> Element:
        """The same law in the units from `offset` on."""
        root = None if self.root is None else self.root.shifted(offset)
        return Element(self.form.shifted(offset), root, self.index)

    def affine(self, factor: float | Array, shift: float | Array) -> Element:
        """factor * element + shift."""
        form = self.form.times(factor)
        form = replace(form, mean=form.mean + shift)
        return replace(self, form=form, index=self._scaled(factor))

    def _scaled(self, factor: float | Array) -> int:
        if self.root is None or (isinstance(factor, float) and factor == 1):
            return self.index
        constant = np.asarray(factor, np.float64)
        return self.root.program.append(
            ops.mul, {}, (self.index, constant[:, None] if constant.ndim else constant)
        )


def mixed(a: Element, b: Element) -> Array | None:
    """E[a b], or None where their dependence is not known."""
    apart = _means(a, b)
    if apart is None:
        return None
    total = apart + a.form.covariance(b.form)
    for one, other in ((a, b), (b, a)):
        if one.root is None or not other.form.terms or one.root is other.root:
            continue
        if isinstance(one.root, GaussianRoot):
            slope, _ = other.form.regressed(one.root.form)
            grid, ((f, _),) = one.root.values(one.index)
            centred = grid.x - one.root.form.mean[:, None]
            total = total + slope * grid.expect(f * centred)
        elif not one.root.sources.isdisjoint(other.form.terms):
            return None
    return total


def _means(a: Element, b: Element) -> Array | None:
    """E[f_a f_b] and the products with the forms' means, without the forms' own randomness."""
    if a.root is not None and a.root is b.root:
        grid, ((fa, _), (fb, _)) = a.root.values(a.index, b.index)
        f_a, f_b, both = grid.expect(fa), grid.expect(fb), grid.expect(fa * fb)
        return both + f_a * b.form.mean + f_b * a.form.mean + a.form.mean * b.form.mean
    if a.root is None or b.root is None or a.root.sources.isdisjoint(b.root.sources):
        return a.moments()[0] * b.moments()[0]
    if not (isinstance(a.root, GaussianRoot) and isinstance(b.root, GaussianRoot)):
        return None
    (grid_a, ((f, _),)), (grid_b, ((g, _),)) = a.root.values(a.index), b.root.values(b.index)
    total = mehler((grid_a, f), (grid_b, g), correlation(a.root, b.root))
    mean_f, mean_g = grid_a.expect(f), grid_b.expect(g)
    return total + mean_f * b.form.mean + mean_g * a.form.mean + a.form.mean * b.form.mean


def correlation(a: GaussianRoot, b: GaussianRoot) -> Array:
    """Of two Gaussian variables."""
    scale = np.sqrt(np.maximum(a.variance * b.variance, 1e-300))
    return np.asarray(np.clip(a.form.covariance(b.form) / scale, -1, 1))


HERMITE = 40
"""Terms of the expansions below."""


def hermite(f: Array, grid: Grid) -> Array:
    """E[f(u) h_k(z)] for the normalised Hermite polynomials h_k, k < 40, a row for each k."""
    assert grid.z is not None
    weighted = f * grid.weight
    return np.array([np.einsum("bn,bn->b", weighted, h) for h in polynomials(grid.z)])


def polynomials(z: Array) -> Iterator[Array]:
    """The normalised Hermite polynomials, one after the other."""
    before, polynomial = np.zeros_like(z), np.ones_like(z)
    for k in range(HERMITE):
        yield polynomial
        raised = (z * polynomial - np.sqrt(k) * before) / np.sqrt(k + 1)
        before, polynomial = polynomial, raised


def mehler(a: tuple[Grid, Array], b: tuple[Grid, Array], rho: Array) -> Array:
    """E[f(u) g(v)] of Gaussian u, v with correlation rho: sum a_k b_k rho^k (Mehler 1866)."""
    (grid_a, f), (grid_b, g) = a, b
    left = [grid.expect(h * h) for grid, h in ((grid_a, f), (grid_b, g))]
    return expansion(hermite(f, grid_a), hermite(g, grid_b), left[0], left[1], rho)


def expansion(a: Array, b: Array, second_a: Array, second_b: Array, rho: Array) -> Array:
    """The sum of a_k b_k rho^k (b and rho may be tables over pairs). What is left out has the
    squares that are missing to E[f^2] and E[g^2]; it is added as if those terms were alike, which
    is exact for f = g at rho = 1."""
    rest = [np.maximum(s - np.sum(c * c, axis=0), 0) for s, c in ((second_a, a), (second_b, b))]
    total = np.sqrt(rest[0] * rest[1])  # the number of terms is even
    for one, other in zip(a[::-1], b[::-1], strict=True):
        total = total * rho + one * other
    return np.asarray(total)


def summed(a: Element, b: Element) -> Element | None:
    """The law of a + b, or None where it is not of this kind."""
    form = a.form.plus(b.form)
    if a.root is None and b.root is None:
        return Element(form)
    if a.root is b.root:
        return Element(form, a.root, _appended_sum(a.root, (a.index, b.index)))  # type: ignore[arg-type]
    if a.root is not None and b.root is not None:
        return None
    if a.root is None:
        a, b = b, a
    assert a.root is not None
    if a.root.sources.isdisjoint(b.form.terms):
        return Element(form, a.root, a.index)
    inside = expressed(b, a.root)
    if inside is None:
        return None
    index = _appended_sum(a.root, (a.index, inside.index))
    return Element(a.form.plus(inside.form), a.root, index)


def expressed(b: Element, root: Root) -> Element | None:
    """The same element as a function of `root`'s variable and an independent rest, if it is one."""
    if b.root is root:
        return b
    if b.root is not None or not isinstance(root, GaussianRoot):
        return None
    slope, rest = b.form.regressed(root.form)
    if np.ptp(slope) == 0:
        slope = slope[:1]
    identity = Element(Form(np.zeros_like(rest.mean), {}), root, 0)
    if slope.size == 1 and slope[0] == 1:
        return replace(identity, form=rest)
    factor: float | Array = float(slope[0]) if slope.size == 1 else slope
    index = identity._scaled(factor)
    return Element(rest, root, index)


def _appended_sum(root: Root, indices: Sequence[int]) -> int:
    return root.program.append(ops.add, {}, tuple(indices))
