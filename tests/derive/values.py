"""Derivatives of Values, and what they should be."""

from __future__ import annotations

from collections.abc import Callable

from tinygrad_edu.derive.scalar import grad_values
from tinygrad_edu.graph.value import Value


def gradient(y: Value | list[Value], x: Value, create_graph: bool = False) -> Value:
    (found,) = grad_values(y, x, create_graph=create_graph)
    assert found is not None
    return found


def central_difference(f: Callable[[float], float], x: float) -> float:
    """Of fourth order: wrong by about 1e-12 for an f of moderate size."""
    h = 3e-4
    return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h)
