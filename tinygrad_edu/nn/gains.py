"""The gains 1/sqrt(E[phi(z)^2]), z ~ N(0, 1), of the activation functions phi.

Derived from the rules of the engine's ops, and written, by ``python -m analysis.gains --write``;
not to be edited.
"""

from __future__ import annotations

from collections.abc import Callable
from math import erfc, exp, pi, sqrt


def elu(alpha: float) -> float:
    """Of elu, by its alpha."""
    return 1 / sqrt(
        -(alpha**2) * exp(1 / 2) * erfc((1 / 2) * sqrt(2))
        + (1 / 2) * alpha**2 * exp(2) * erfc(sqrt(2))
        + (1 / 2) * alpha**2
        + 1 / 2
    )


def leaky_relu(negative_slope: float) -> float:
    """Of leaky_relu, by its negative slope."""
    return sqrt(2) / sqrt(negative_slope**2 + 1)


GAINS: dict[str, float] = {
    "celu": 1 / sqrt(-exp(1 / 2) * erfc((1 / 2) * sqrt(2)) + (1 / 2) * exp(2) * erfc(sqrt(2)) + 1),
    "elu": 1 / sqrt(-exp(1 / 2) * erfc((1 / 2) * sqrt(2)) + (1 / 2) * exp(2) * erfc(sqrt(2)) + 1),
    "gelu": sqrt(6) / sqrt(sqrt(3) / pi + 2),
    "gelu_tanh": 1.533580521666147,
    "hardswish": 1.7366572127665416,
    "hardtanh": 1 / sqrt(-sqrt(2) * exp(-1 / 2) / sqrt(pi) + 1),
    "leaky_relu": (100 / 10001) * sqrt(20002),
    "logsigmoid": 1.0418668355353018,
    "mish": 1.486847581273208,
    "relu": sqrt(2),
    "relu6": 1 / sqrt(-3 * sqrt(2) * exp(-18) / sqrt(pi) + (35 / 2) * erfc(3 * sqrt(2)) + 1 / 2),
    "selu": 1.0,
    "sigmoid": 1.8462285453386054,
    "silu": 1.6765324703310913,
    "softplus": 1.0418668355353016,
    "softsign": 2.3375333631085398,
    "tanh": 1.5925374197228315,
}
"""With default parameters; bare numbers have no closed form, or a very long one."""

CLOSED_FORMS: dict[str, Callable[[float], float]] = {
    "elu": elu,
    "leaky_relu": leaky_relu,
}
"""The gain as a function of the activation's parameter."""
