"""exp, log and tanh as vector instructions, until `vector_math` has them all.

Polynomials of Moshier's Cephes library, single precision.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

SUPPORTED = ("exp", "log", "tanh", "sigmoid")
_EXP: tuple[float, ...] = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3)
_EXP += (4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_TANH: tuple[float, ...] = (
    -5.70498872745e-3,
    2.06390887954e-2,
    -5.37397155531e-2,
    1.33314422036e-1,
    -3.33332819422e-1,
)
_LOG: tuple[float, ...] = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
)
_LOG += (-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)


def emit(name: str, builder: ir.IRBuilder, x: Any) -> Any:
    """The function of this name, of a float scalar or vector. KeyError for what there is not."""
    from tinygrad_edu.kernels.lanes import Lanes

    element = x.type.element if isinstance(x.type, ir.VectorType) else x.type
    if not isinstance(element, ir.FloatType):
        raise KeyError(name)
    lanes = Lanes(builder, x, np.dtype(np.float32))
    return {"exp": _exp, "log": _log, "tanh": _tanh, "sigmoid": _sigmoid}[name](lanes).value


def _polynomial(x, coefficients):
    p = x * coefficients[0] + coefficients[1]
    for c in coefficients[2:]:
        p = p * x + c
    return p


def _select(x, condition, y):
    return x.new(x.builder.select(condition.value, x.value, x.like(y)))


def _integers(x):
    kind = ir.IntType(32)
    return ir.VectorType(kind, x.value.type.count) if hasattr(x.value.type, "count") else kind


def _whole(x, k):
    from tinygrad_edu.kernels.lanes import constant

    return constant(_integers(x), k)


def _exp(x):
    b = x.builder
    nan = x.new(x.value)
    clipped = _select(x.new(x.like(-87.3)), x < -87.3, x)
    x = _select(x.new(x.like(88.3)), x > 88.3, clipped)
    n = (x * 1.44269504088896341).call("rint")
    r = x - n * 0.693359375 - n * -2.12194440e-4
    p = _polynomial(r, _EXP) * (r * r) + r + 1.0
    e = b.shl(b.add(b.fptosi(n.value, _integers(x)), _whole(x, 127)), _whole(x, 23))
    y = p * x.new(b.bitcast(e, x.value.type))
    y = _select(x.new(x.like(0.0)), nan < -87.33, y)
    y = _select(x.new(x.like(float("inf"))), nan > 88.72, y)
    return _select(nan, nan.compare("!=", nan), y)


def _tanh(x):
    a, z = x.call("fabs"), x * x
    small = _polynomial(z, _TANH) * z * x + x
    return _select(small, a < 0.625, (1.0 - 2.0 / (_exp(a + a) + 1.0)).call("copysign", x))


def _sigmoid(x):
    return 1.0 / (1.0 + _exp(-x))


def _log(x):
    b, v = x.builder, x.value
    i = b.sub(b.bitcast(v, _integers(x)), _whole(x, 0x3F3504F3))
    e = x.new(b.sitofp(b.ashr(i, _whole(x, 23)), v.type))
    m = b.add(b.and_(i, _whole(x, 0x007FFFFF)), _whole(x, 0x3F3504F3))
    f = x.new(b.bitcast(m, v.type)) - 1.0
    z = f * f
    y = f + (_polynomial(f, _LOG) * f * z + e * -2.12194440e-4 - z * 0.5) + e * 0.693359375
    y = _select(x.new(x.like(float("-inf"))), x.compare("==", 0.0), y)
    y = _select(x.new(x.like(float("nan"))), x < 0.0, y)
    y = _select(x, x.compare("==", float("inf")), y)
    return _select(x, x.compare("!=", x), y)
