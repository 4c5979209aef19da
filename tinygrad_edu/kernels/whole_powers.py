"""Whole powers as products, where that is as exact as a power is."""

from __future__ import annotations

from typing import Any

MOST_FACTORS, MOST_INVERSES = 4, 2
"""For floats, the highest power and the highest negative one (a product of inverses) within two
units in the last place, what powers are held to. Of five factors some results are off by three."""


def product(x: Any, n: int) -> Any:
    """x to the power n >= 1 by repeated squaring, for whatever can be multiplied."""
    found = None
    while True:
        if n % 2:
            found = x if found is None else found * x
        n //= 2
        if not n:
            return found
        x = x * x
