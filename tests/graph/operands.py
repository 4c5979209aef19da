"""Operands for every op on Values, away from the kinks, and how to call the op's method on them."""

from __future__ import annotations

from typing import Any

from tinygrad_edu.graph.tape import OPS
from tinygrad_edu.graph.value import Value

_REAL = [(-3.7,), (-1.3,), (-0.4,), (0.3,), (0.9,), (2.2,), (7.1,)]
_POSITIVE = [(0.2,), (0.9,), (3.1,), (8.0,)]
_INSIDE = [(-0.9,), (-0.2,), (0.6,)]
_PAIRS = [(-1.3, 0.7), (0.4, -2.1), (2.5, 3.5), (-0.6, -0.2)]

_SPECIAL: dict[str, list[tuple[float, ...]]] = {
    **dict.fromkeys(("log", "sqrt", "rsqrt"), _POSITIVE),
    **dict.fromkeys(("asin", "acos"), _INSIDE),
    "log1p": [(-0.7,), (0.4,), (2.0,)],
    **dict.fromkeys(("add", "sub", "mul", "div", "maximum", "minimum"), _PAIRS),
    "remainder": [(-1.3, 0.7), (0.5, -2.1), (7.5, 3.5)],
    "pow": [(0.7, 2.3), (2.5, -1.5), (1.4, 0.6)],
    "where": [(1.0, 0.3, -0.4), (0.0, 0.3, -0.4)],
    "clamp": [(0.3, -1.0, 1.0), (-2.0, -1.0, 1.0), (2.0, -1.0, 1.0)],
    "leaky_relu": [(-1.5, 0.1), (0.8, 0.1)],
    "elu": [(-1.5, 0.7), (0.8, 0.7)],
    "hardtanh": [(-1.5, -1.0, 2.0), (0.3, -1.0, 2.0), (2.5, -1.0, 2.0)],
}

OPERANDS = {op.name: _SPECIAL.get(op.name, _REAL) for op in OPS if op is not None}
"""By the name of the op; all the operands of its rule, parameters too."""


def call(name: str, *xs: Any) -> Value:
    """The method of this name. `where` is called on its second operand, as in torch; parameters,
    which are numbers to a method, are taken from Values."""
    if name == "where":
        condition, x, other = xs
        return x.where(condition, other)  # type: ignore[no-any-return]
    return getattr(xs[0], name)(*xs[1:])  # type: ignore[no-any-return]
