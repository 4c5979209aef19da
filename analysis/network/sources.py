"""Linear forms in independent sources: what a sum of Gaussian signals is made of.

A wide dense layer with fresh zero-mean weights gives each of its units an independent Gaussian
value, whatever its input is. Such a layer is a *source*; a signal that adds layers up is a linear
form in sources, and its covariance with another form is the inner product of their coefficients.
That covariances between branches vanish is thus proved by their having no source in common, and
never assumed.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.errors import AnalysisError
from analysis.network.records import Array

Key = tuple[int, int]
"""A source's number, and which of its units is the first. Units of one source are independent of
each other, so slices that start elsewhere are other, independent sources."""

_numbers = itertools.count()


def fresh() -> Key:
    """A source that nothing depends on yet."""
    return next(_numbers), 0


@dataclass(frozen=True)
class Form:
    """mean + sum of coefficient * source over `terms`; sources are independent N(0, 1). Numbers
    have one entry a case."""

    mean: Array
    terms: Mapping[Key, Array]

    @property
    def variance(self) -> Array:
        """The sum of the squared coefficients."""
        total = np.zeros_like(self.mean)
        for coefficient in self.terms.values():
            total = total + coefficient**2
        return total

    @property
    def constant(self) -> bool:
        """Whether nothing in it is random."""
        return not any(np.any(c) for c in self.terms.values())

    def plus(self, other: Form) -> Form:
        """The sum of two forms."""
        terms = dict(self.terms)
        for key, coefficient in other.terms.items():
            terms[key] = terms[key] + coefficient if key in terms else coefficient
        return Form(self.mean + other.mean, terms)

    def times(self, factor: float | Array) -> Form:
        """The form scaled by a constant."""
        terms = {key: factor * coefficient for key, coefficient in self.terms.items()}
        return Form(factor * self.mean, terms)

    def covariance(self, other: Form) -> Array:
        """The inner product of the coefficients."""
        total = np.zeros_like(self.mean)
        few, many = sorted((self.terms, other.terms), key=len)
        for key, coefficient in few.items():
            if key in many:
                total = total + coefficient * many[key]
        return total

    def regressed(self, on: Form) -> tuple[Array, Form]:
        """(a, rest) with self = a * on + rest, and rest independent of `on` (both are Gaussian)."""
        variance = on.variance
        slope = self.covariance(on) / np.where(variance > 0, variance, 1.0)
        rest = self.plus(on.times(-slope))
        scale = 1e-12 * np.sqrt(self.variance + slope**2 * variance)
        kept = {k: c for k, c in rest.terms.items() if np.any(np.abs(c) > scale)}
        return slope, Form(rest.mean, kept)

    def shifted(self, offset: int) -> Form:
        """The same form in the units from `offset` on."""
        return Form(self.mean, {(n, first + offset): c for (n, first), c in self.terms.items()})


def gaussian(variance: Array, mean: Array | None = None) -> Form:
    """A fresh source with this variance."""
    return Form(np.zeros_like(variance) if mean is None else mean, {fresh(): np.sqrt(variance)})


class UnknownSlice(AnalysisError):
    """A part of the units whose law is not that of all."""
