"""Points of the joint law of all positions of a few units: what has no closed form is averaged over
them.

Keys and queries of an attention are Gaussian fields over positions (`fields`), exactly so in the
limit of a wide model, whatever the width of a head. A point is a draw of one head's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.network.context import Context, UnknownSignal
from analysis.network.fields import LARGEST
from analysis.network.points import square_root
from analysis.network.records import Array, Signal
from analysis.network.roots import DataRoot, GaussianRoot
from analysis.network.sources import Form, Key

MOST_POINTS = 32_768
_MOST_NUMBERS = 3_000_000
_FEWEST = 64
SURE = 5.0
"""Standard errors of an average over points that its bound has: 6e-7 of a normal law lie beyond."""


def count_of(numbers: int) -> int:
    """How many points of so many numbers each are drawn."""
    count = min(MOST_POINTS, _MOST_NUMBERS // numbers)
    if count < _FEWEST:
        if _FEWEST * numbers > LARGEST:
            raise UnknownSignal(
                "an attention over so many positions and examples; pass fewer examples, or shorter "
                "ones"
            )
        return _FEWEST
    return count


class Draws:
    """Points of signals that share sources: each source is drawn once."""

    def __init__(self, points: int, units: int, context: Context, seed: int = 0) -> None:
        self.points, self.units, self.context = points, units, context
        self._normal = np.random.default_rng(seed).standard_normal
        self._drawn: dict[Key, Array] = {}

    def of(self, x: Signal) -> Array:
        """(cases, points, places, units)."""
        element = x.element
        root = None if element is None else element.root
        if element is None or (root is not None and not element.form.constant):
            raise UnknownSignal("a product of signals whose joint law is not known")
        if isinstance(root, DataRoot):
            grid = root.program.run(root.numbers, element.index)[element.index][0]
            values = (grid + element.form.mean[:, None]).reshape(-1, 1, x.places, x.units)
            if x.units != self.units:
                raise UnknownSignal("heads of the data themselves")
            return np.broadcast_to(values, (len(values), self.points, x.places, x.units))
        if root is None:
            return self._form(element.form, x.places)
        if not isinstance(root, GaussianRoot):
            raise UnknownSignal("a product of signals whose joint law is not known")
        v = self._form(root.form, x.places).transpose(0, 2, 1, 3)
        rows = v.reshape(v.shape[0] * v.shape[1], -1)
        f = root.program.run(rows, element.index)[element.index][0] + element.form.mean[:, None]
        return np.asarray(f.reshape(v.shape).transpose(0, 2, 1, 3))

    def _form(self, form: Form, places: int) -> Array:
        total: Any = form.mean.reshape(-1, 1, places, 1)
        for key, coefficient in form.terms.items():
            c = coefficient.reshape(-1, 1, places, 1)
            if key not in self._drawn:
                self._drawn[key] = self._field(key, len(c), places)
            total = total + c * self._drawn[key]
        shape = (len(form.mean) // places, self.points, places, self.units)
        return np.asarray(np.broadcast_to(total, shape))

    def _field(self, key: Key, cases: int, places: int) -> Array:
        """A source of variance 1 at all positions."""
        if key[0] < 0:  # a bias is the same number at all positions
            return self._normal((cases, self.points, 1, self.units))
        fields = self.context.notes.get("fields", {})
        table = fields[key]() if key in fields else None
        if table is None and places > 1:
            raise UnknownSignal("how positions depend on each other is not known here")
        normal = self._normal((cases, self.points, places, self.units))
        if table is None:
            return normal
        return np.asarray(square_root(table)[:, None] @ normal)


def relative_error(by_point: Array) -> float:
    """Of the average over points (last axis) and everything else, its bound relative to it."""
    each = by_point.reshape(-1, by_point.shape[-1]).mean(axis=0)
    whole = abs(float(each.mean()))
    if each.size < 2 or not whole:
        return 0.0
    return SURE * float(each.std(ddof=1)) / float(np.sqrt(each.size)) / whole
