"""Where a condition that is no polynomial changes sides: sigmoid(x) > x at 0.659...

Sign changes are looked for on a fine grid, over all that activation functions see, and then closed
in upon in many digits; where a short fraction is the root exactly, it is that fraction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from sympy import Expr, Symbol

from analysis.errors import UnsupportedActivation

SEARCHED = np.unique(
    np.concatenate([np.sinh(np.linspace(-12, 12, 8001)), np.linspace(-20, 20, 8001)])
)
"""From -81 000 to 81 000; two sign changes within 0.005 (and 0.3 % of x) would be missed."""
MOST = 40
"""More are taken for infinitely many, which an oscillating function has."""
DIGITS = 60
"""Of a root: more than any quadrature asks for."""


def crossings(f: Expr, x: Symbol) -> list[Expr]:
    """The points where f changes its sign, or begins or ends to be 0, from left to right.

    Raises:
        UnsupportedActivation: there are more than MOST, or f cannot be computed.
    """
    signs = np.sign(_values(f, x))
    change = np.flatnonzero((signs[1:] != signs[:-1]) & np.isfinite(signs[1:] + signs[:-1]))
    if change.size > MOST:
        raise UnsupportedActivation(
            f"the branch condition on {f} changes more than {MOST} times, perhaps infinitely "
            "often; write the pieces that matter as a Piecewise"
        )
    sign = _sign(sp.lambdify(x, f, "mpmath"))
    found = {_root(sign, SEARCHED[i], SEARCHED[i + 1]) for i in change}
    return sorted(found - {None})


def _values(f: Expr, x: Symbol) -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        with np.errstate(all="ignore"):
            values = sp.lambdify(x, f, ["scipy", "numpy"])(SEARCHED)
    except (NameError, TypeError, AttributeError) as error:
        raise UnsupportedActivation(f"{f} cannot be computed: {error}") from None
    return np.broadcast_to(np.asarray(values, np.float64), SEARCHED.shape)


def _sign(f: Callable[[Any], Any]) -> Callable[[Any], int]:
    return lambda x: int(mpmath.sign(mpmath.re(f(x))))


def _root(sign: Callable[[Any], int], low: float, high: float) -> Expr | None:
    """By bisection: what is on the left of the root has the sign of the left end. None where it
    only seemed so, because doubles underflow."""
    with mpmath.workdps(DIGITS):
        a, b = mpmath.mpf(low), mpmath.mpf(high)
        left = sign(a)
        if sign(b) == left:
            return None
        while b - a > mpmath.eps * max(abs(a), abs(b)):
            middle = (a + b) / 2
            if middle in (a, b) or abs(middle) < mpmath.mpf(10) ** -DIGITS:
                break
            a, b = (middle, b) if sign(middle) == left else (a, middle)
        found = (a + b) / 2
        short = sp.Rational(float(found)).limit_denominator(1000)
        if abs(found - mpmath.mpf(int(short.p)) / int(short.q)) < mpmath.mpf(10) ** -30:
            return short
        return sp.Float(found, DIGITS)
