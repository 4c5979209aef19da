"""A number that knows how far it may be off."""

from __future__ import annotations

import math

EPSILON = 2.0**-52


class Number(float):
    """A float with an estimate of its absolute error. Arithmetic with it gives plain floats."""

    error: float

    def __new__(cls, value: float, error: float = 0.0) -> Number:
        """`error` does not include the rounding of `value` itself, which is added."""
        self = super().__new__(cls, value)
        self.error = error + EPSILON * abs(value) if math.isfinite(value) else error
        return self

    def __repr__(self) -> str:
        if not self.error:
            return f"{float(self):.12g}"
        return f"{float(self):.12g} (+- {self.error:.1g})"
