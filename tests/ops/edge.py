"""A function at a kink, a tie or a pole: value and gradient there, and torch's if they differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Numbers = Any
"""A number or a (nested) list of them."""


@dataclass(frozen=True)
class Edge:
    """A function at a point, its value and its gradient for each operand (the result summed)."""

    name: str
    function: Callable[..., Any]
    xs: tuple[Numbers, ...]
    value: Numbers
    grads: tuple[Numbers, ...]
    torch: tuple[Numbers, tuple[Numbers, ...]] | None = None
    why: str = ""


def unary(op: str, x: Numbers, value: Numbers, grad: Numbers, **differ: Any) -> Edge:
    """An edge of a function of one operand."""
    return Edge(op, lambda m, x: getattr(m, op)(x), (x,), value, (grad,), **differ)


def binary(op: str, a: Numbers, b: Numbers, value: Numbers, *grads: Numbers) -> Edge:
    """An edge of a function of two operands."""
    return Edge(op, lambda m, a, b: getattr(m, op)(a, b), (a, b), value, grads)


SELU_SCALE = 1.0507009873554805
SELU_LOWEST = -1.7580993408473766  # -scale * alpha
