"""What to try every op of the table on, and what it should then give.

`RULES` (and `structure.STRUCTURE`, `cases.FUSED`) hold, for each op, a strategy for operands and
parameters, and an oracle: the textbook definition, written without the engine. Elementwise oracles
are mpmath functions of one element, so they are exact to double precision; all others are NumPy
one-liners.

Operands keep clear of kinks, ties and poles, where a derivative is a convention: those have their
own tests in `test_edges.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import mpmath as mp
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

Interval = tuple[float, float]
Array = np.ndarray


@dataclass(frozen=True)
class Sample:
    """Operands and parameters of one call."""

    xs: tuple[Array, ...]
    params: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        operands = ", ".join(f"{x.dtype}{list(x.shape)}: {x.tolist()}" for x in self.xs)
        return f"Sample({operands}; {self.params})"


@dataclass(frozen=True)
class Case:
    """How to call one op, and what comes out."""

    samples: st.SearchStrategy[Sample]
    oracle: Callable[..., Any]
    scalar: bool = False
    """The oracle takes one element of each operand at a time (mpmath numbers)."""

    def expected(self, sample: Sample) -> Array:
        """The oracle's values."""
        if not self.scalar:
            return np.asarray(self.oracle(*sample.xs, **sample.params))
        xs = np.broadcast_arrays(*sample.xs)
        values = [
            self.oracle(*map(mp.mpf, map(float, row)), **sample.params)
            for row in zip(*(x.ravel() for x in xs), strict=True)
        ]
        return np.array([float(v) for v in values]).reshape(xs[0].shape)


# ------------------------------------------------------------------------------ operands

SIDE = 3
"""Axes are this long at most: enough to tell axes, rows and broadcasting apart."""

seeds = st.integers(0, 2**32 - 1)


def shapes(min_dims: int = 0, max_dims: int = 3, min_side: int = 0) -> Any:
    """Shapes with few short axes, empty ones included."""
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=SIDE)


def relayout(x: Array, layout: str) -> Array:
    """The same values under other strides."""
    if layout == "fortran" and x.ndim:
        return np.asfortranarray(x)
    if layout == "reversed" and x.ndim:
        return np.ascontiguousarray(x[::-1])[::-1]
    if layout == "every second" and x.ndim:
        return np.repeat(x, 2, axis=-1)[..., ::2]
    return x


layouts = st.sampled_from(["plain", "fortran", "reversed", "every second"])


def uniform(rng: np.random.Generator, pieces: Sequence[Interval], shape: tuple[int, ...]) -> Array:
    """Numbers from a union of intervals."""
    low, high = np.array(pieces).T
    which = rng.integers(len(pieces), size=shape)
    return np.asarray(rng.uniform(low[which], high[which]))


@st.composite
def arrays(draw: Any, shape: tuple[int, ...], pieces: Sequence[Interval] = ((-2, 2),)) -> Array:
    """One array, in any memory layout."""
    values = uniform(np.random.default_rng(draw(seeds)), pieces, shape)
    return relayout(values, draw(layouts))


@st.composite
def broadcastable(draw: Any, *domains: Sequence[Interval], **params: Any) -> Sample:
    """An operand for each domain, of shapes that broadcast; each parameter is a strategy."""
    drawn = draw(
        hnp.mutually_broadcastable_shapes(
            num_shapes=len(domains), min_side=0, max_side=SIDE, max_dims=3
        )
    )
    xs = tuple(draw(arrays(s, d)) for s, d in zip(drawn.input_shapes, domains, strict=True))
    return Sample(xs, {name: draw(values) for name, values in params.items()})


def elementwise(oracle: Callable[..., Any], *domains: Sequence[Interval], **params: Any) -> Case:
    """A case for a rule of as many operands as there are domains."""
    return Case(broadcastable(*domains, **params), oracle, scalar=True)


# ------------------------------------------------------------------------------ elementwise ops

REAL = ((-3, 3),)
POSITIVE = ((0.2, 4),)
NONZERO = ((-3, -0.2), (0.2, 3))
UNIT = ((-0.9, 0.9),)
OFF_INTEGER = tuple((k + 0.1, k + 0.9) for k in range(-3, 3))

# Two operands that never tie: one in the lower, one in the upper half of every unit interval.
LOWER_HALF = tuple((k + 0.05, k + 0.45) for k in range(-3, 3))
UPPER_HALF = tuple((k + 0.55, k + 0.95) for k in range(-3, 3))

# A quotient that stays off the integers, where the remainder jumps: (k + 0.5 +- 0.3) / (1 +- 0.05).
OFF_MULTIPLE = (
    tuple((k + 0.2, k + 0.8) for k in range(-3, 3)),
    ((-1.05, -0.95), (0.95, 1.05)),
)

# Two operands that often are equal.
WHOLE = tuple((k, k) for k in range(-1, 3))
TRUTH = ((0, 0), (1, 1))

# Klambauer et al. 2017, appendix A1: the fixed point (mean 0, variance 1) solved for alpha, scale.
_A = mp.erfc(1 / mp.sqrt(2)) * mp.exp(mp.mpf("0.5"))
_B = mp.erfc(mp.sqrt(2)) * mp.exp(2)
SELU_ALPHA = -mp.sqrt(2 / mp.pi) / (_A - 1)
SELU_SCALE = (1 - _A) * mp.sqrt(2 * mp.pi)
SELU_SCALE /= mp.sqrt(2 * _B + mp.pi * _A**2 - 2 * (2 + mp.pi) * _A + mp.pi + 2)


def _softplus(x: Any) -> Any:
    return mp.log(1 + mp.exp(x))


def _gelu_tanh(x: Any) -> Any:
    return x / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3)))


def _clamp(x: Any, low: Any, high: Any) -> Any:
    return low if x < low else high if x > high else x


RULES: dict[str, Case] = {
    "add": elementwise(lambda a, b: a + b, REAL, REAL),
    "sub": elementwise(lambda a, b: a - b, REAL, REAL),
    "mul": elementwise(lambda a, b: a * b, REAL, REAL),
    "div": elementwise(lambda a, b: a / b, REAL, NONZERO),
    "remainder": elementwise(lambda a, b: a - b * mp.floor(a / b), *OFF_MULTIPLE),
    "neg": elementwise(lambda x: -x, REAL),
    "pow": elementwise(lambda x, n: x**n, POSITIVE, REAL),
    "abs": elementwise(abs, NONZERO),
    "maximum": elementwise(max, LOWER_HALF, UPPER_HALF),
    "minimum": elementwise(min, LOWER_HALF, UPPER_HALF),
    "clamp": elementwise(
        _clamp, ((-4, -1.4), (-0.8, 0.8), (1.4, 4)), ((-1.3, -0.9),), ((0.9, 1.3),)
    ),
    "exp": elementwise(mp.exp, REAL),
    "expm1": elementwise(mp.expm1, REAL),
    "log": elementwise(mp.log, POSITIVE),
    "log1p": elementwise(lambda x: mp.log(1 + x), ((-0.8, 3),)),
    "sqrt": elementwise(mp.sqrt, POSITIVE),
    "rsqrt": elementwise(lambda x: 1 / mp.sqrt(x), POSITIVE),
    "sin": elementwise(mp.sin, REAL),
    "cos": elementwise(mp.cos, REAL),
    "tan": elementwise(mp.tan, ((-1.3, 1.3),)),
    "sinh": elementwise(mp.sinh, REAL),
    "cosh": elementwise(mp.cosh, REAL),
    "tanh": elementwise(mp.tanh, REAL),
    "asin": elementwise(mp.asin, UNIT),
    "acos": elementwise(mp.acos, UNIT),
    "atan": elementwise(mp.atan, REAL),
    "erf": elementwise(mp.erf, REAL),
    "relu": elementwise(lambda x: max(x, 0), NONZERO),
    "relu6": elementwise(lambda x: min(max(x, 0), 6), ((-3, -0.2), (0.2, 5.8), (6.2, 9))),
    "leaky_relu": elementwise(
        lambda x, negative_slope: x if x > 0 else negative_slope * x,
        NONZERO,
        negative_slope=st.sampled_from([0.01, 0.5, -0.25]),
    ),
    "elu": elementwise(
        lambda x, alpha: x if x > 0 else alpha * mp.expm1(x),
        NONZERO,
        alpha=st.sampled_from([1.0, 0.5, 2.0]),
    ),
    "selu": elementwise(lambda x: SELU_SCALE * (x if x > 0 else SELU_ALPHA * mp.expm1(x)), NONZERO),
    "sigmoid": elementwise(lambda x: 1 / (1 + mp.exp(-x)), REAL),
    "softplus": elementwise(_softplus, REAL),
    "softsign": elementwise(lambda x: x / (1 + abs(x)), NONZERO),
    "silu": elementwise(lambda x: x / (1 + mp.exp(-x)), REAL),
    "mish": elementwise(lambda x: x * mp.tanh(_softplus(x)), REAL),
    "gelu": elementwise(lambda x: x * mp.ncdf(x), REAL),
    "gelu_tanh": elementwise(_gelu_tanh, REAL),
    "hardtanh": elementwise(
        _clamp,
        ((-4, -1.4), (-0.8, 0.8), (1.4, 4)),
        low=st.sampled_from([-1.0, -1.3]),
        high=st.sampled_from([1.0, 0.9]),
    ),
    "hardswish": elementwise(
        lambda x: x * min(max(x + 3, 0), 6) / 6, ((-5, -3.2), (-2.8, 2.8), (3.2, 5))
    ),
    "sign": elementwise(mp.sign, ((-2, -0.2), (0, 0), (0.2, 2))),
    "floor": elementwise(mp.floor, OFF_INTEGER),
    "floor_divide": elementwise(lambda a, b: mp.floor(a / b), OFF_INTEGER, ((-1, -1), (1, 1))),
    "lt": elementwise(lambda a, b: a < b, WHOLE, WHOLE),
    "le": elementwise(lambda a, b: a <= b, WHOLE, WHOLE),
    "gt": elementwise(lambda a, b: a > b, WHOLE, WHOLE),
    "ge": elementwise(lambda a, b: a >= b, WHOLE, WHOLE),
    "eq": elementwise(lambda a, b: a == b, WHOLE, WHOLE),
    "ne": elementwise(lambda a, b: a != b, WHOLE, WHOLE),
    "logical_and": elementwise(lambda a, b: bool(a) and bool(b), WHOLE, TRUTH),
    "logical_or": elementwise(lambda a, b: bool(a) or bool(b), WHOLE, TRUTH),
    "logical_not": elementwise(lambda a: not a, WHOLE),
    "where": Case(
        broadcastable(TRUTH, REAL, REAL).map(lambda s: Sample((s.xs[0].astype(bool), *s.xs[1:]))),
        np.where,
    ),
}
