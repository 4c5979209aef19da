"""The numerically careful bodies of `ops/floats.py` and `ops/arrays.py` are the textbook functions.

Each is compared with its definition, evaluated by mpmath to 50 digits at the very number that the
body is given, over the whole range of the dtype. Errors are counted in ulp: the spacing of the
result's dtype around the exact value. A result below the smallest normal number may be flushed to 0
(sigmoid does so where exp(-x) overflows), as processors may do it too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest

from tests.ops.samples import RULES
from tinygrad_edu.ops import TABLE, arrays, floats

TEXTBOOK: dict[str, Callable[[Any], Any]] = {
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "erf": mp.erf,
    "expm1": mp.expm1,
    "log1p": mp.log1p,
    "exp": mp.exp,
    "log": mp.log,
    "tanh": mp.tanh,
    "sqrt": mp.sqrt,
}

BODY_ULPS = 4
"""NumPy's vectorised exp and log err by up to 2.6 ulp in float32 (its own tests allow that), a C
library's functions by about 1. sigmoid and softplus add two roundings of half an ulp each; the
error of exp(-x) reaches sigmoid shrunk, by the factor 1 - sigmoid(x)."""


def points(dtype: Any) -> np.ndarray:
    """Numbers of every size and both signs, dense where functions bend."""
    info = np.finfo(dtype)
    tiny, huge = math.log10(float(info.tiny)) + 1, math.log10(float(info.max)) - 1
    sizes = np.concatenate([np.logspace(tiny, huge, 60), np.linspace(1e-3, 120, 200)])
    with np.errstate(over="ignore"):
        return np.concatenate([-sizes, [0.0], sizes]).astype(dtype)


def ulps(found: Any, exact: Any, dtype: Any) -> float:
    """How far apart, in spacings of the dtype around the exact value."""
    if mp.isinf(exact) or abs(exact) > mp.mpf(float(np.finfo(dtype).max)):
        return 0.0 if math.isinf(found) else math.inf
    if found == 0 and abs(exact) < mp.mpf(float(np.finfo(dtype).tiny)):
        return 0.0
    spacing = float(np.spacing(np.abs(np.asarray(float(exact), dtype))))
    with mp.workdps(50):
        return float(abs(mp.mpf(float(found)) - exact) / mp.mpf(spacing))


def exact(name: str, x: float) -> Any:
    """The textbook value."""
    with mp.workdps(50):
        return TEXTBOOK[name](mp.mpf(x))


def in_domain(name: str, x: float) -> bool:
    return {"log": x > 0, "sqrt": x >= 0, "log1p": x > -1}.get(name, True) and abs(x) < 1e4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(TEXTBOOK))
def test_array_body(name: str, dtype: Any) -> None:
    x = np.array([v for v in points(dtype) if in_domain(name, float(v))], dtype)
    with np.errstate(all="ignore"):
        y = getattr(arrays, name)(x)
    assert y.dtype == dtype
    worst = max(
        (ulps(found, exact(name, float(at)), dtype), float(at))
        for at, found in zip(x, y, strict=True)
    )
    assert worst[0] <= BODY_ULPS, f"{worst[0]:.2f} ulp at {worst[1]!r}"


@pytest.mark.parametrize("name", sorted(TEXTBOOK))
def test_float_body(name: str) -> None:
    """Python raises where a result overflows; there is nothing to compare there."""
    for at in map(float, points(np.float64)):
        if not in_domain(name, at):
            continue
        wanted = exact(name, at)
        if abs(wanted) <= mp.mpf(float(np.finfo(np.float64).max)):
            found = getattr(floats, name)(at)
            assert ulps(found, wanted, np.float64) <= BODY_ULPS, f"{name}({at!r})"


@pytest.mark.parametrize(
    ("name", "x", "limit"),
    [
        ("sigmoid", 1e4, 1.0),
        ("sigmoid", -1e4, 0.0),
        ("sigmoid", math.inf, 1.0),
        ("sigmoid", -math.inf, 0.0),
        ("softplus", 1e300, 1e300),
        ("softplus", -1e300, 0.0),
        ("softplus", math.inf, math.inf),
        ("softplus", -math.inf, 0.0),
        ("erf", math.inf, 1.0),
        ("expm1", -math.inf, -1.0),
    ],
)
@pytest.mark.parametrize("reader", [floats, arrays])
def test_far_out(reader: Any, name: str, x: float, limit: float) -> None:
    """No overflow, and no inf - inf."""
    with np.errstate(all="ignore"):
        argument: Any = x if reader is floats else np.array(x)
        assert float(getattr(reader, name)(argument)) == limit


def test_both_readers_have_the_same_names() -> None:
    assert sorted(floats.__all__) == sorted(arrays.__all__)
    assert all(hasattr(reader, name) for reader in (floats, arrays) for name in floats.__all__)


def test_every_reader_has_what_the_rules_ask_for() -> None:
    """A rule may ask its namespace for these names, and for no others."""

    class Recorder:
        asked: set[str] = set()  # noqa: RUF012

        def __getattr__(self, name: str) -> Any:
            self.asked.add(name)
            return getattr(floats, name)

    for name in RULES:
        op: Any = TABLE[name]
        values = [0.5] * op.arity
        params = {"alpha": 1.0} if name == "elu" else {}
        y = op.rule(Recorder(), *values, **params)
        for partial in op.partials:
            if partial is not None and name not in ("leaky_relu", "hardtanh"):
                partial(Recorder(), y, *values, **params)
    assert Recorder.asked <= set(floats.__all__)
